"""
Help for the lost: ``python -m Pyro5.tools.doctor [URI]`` checks what must be right before a call can work.

Each line begins with ``ok``, ``note`` (no defect, but maybe what you look for) or ``WRONG``; a line with an arrow below says
what to do. The exit code is 0 if nothing is wrong, 1 if something is, 2 when the command line could not be understood.
"""
from __future__ import annotations

import argparse
import functools
import sys
from typing import Callable, Iterable, List, Optional, Sequence, Tuple

from .._cli import console, machine_check, peer_check
from .._cli.findings import WRONG, Finding, bounded

Check = Tuple[str, Callable[[], Iterable[Finding]]]


def checks_for(uri: Optional[str]) -> List[Check]:
    """Give all checks, with a name each."""
    needs_name_server = uri is None or not (uri.upper().startswith("PYRO:") or "@" in uri)  # which says where to look
    checks: List[Check] = [
        ("settings", machine_check.check_settings),
        ("host names", machine_check.check_host_names),
        ("ports of this machine", machine_check.check_ports),
        ("broadcasts", machine_check.check_broadcasts),
        ("name server", functools.partial(machine_check.check_name_server, needs_name_server)),
    ]
    if uri is not None:
        checks.append((uri, functools.partial(peer_check.check_object, uri)))
    return checks


def examine(checks: Iterable[Check]) -> int:
    """Run the checks, print what they find, and give how many things are wrong."""
    wrong = 0
    for what, check in checks:
        for finding in bounded(what, check):
            console.say(*str(finding).split("\n"))
            wrong += finding.level == WRONG
    return wrong


def _parse(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pyro5 doctor", description="Check what must be right before a call can work: settings, host names, ports, "
        "broadcasts, the name server; and, given its uri, everything on the way to an object.",
        epilog="The exit code is 1 if something is wrong.")
    parser.add_argument("uri", nargs="?", help="uri of an object, or its name in the name server")
    return parser.parse_args(args)


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; give its exit code."""
    options = _parse(args)
    wrong: List[int] = []
    failure = console.exit_code_of(lambda: wrong.append(examine(checks_for(options.uri))))
    if failure:
        return failure
    console.say("Nothing is wrong." if not wrong[0] else "Wrong: %d, see above." % wrong[0])
    return 1 if wrong[0] else 0


if __name__ == "__main__":
    sys.exit(main())
