"""Diagnosis: ``python -m Pyro5.tools.doctor [URI]`` checks the conditions for a successful call.

Each line begins with ``ok``, ``note`` (not a defect, but possibly relevant) or ``WRONG``; a line with an arrow below says
what to do. The exit code is 0 if nothing is wrong, 1 if something is wrong, 2 for an invalid command line.
"""
from __future__ import annotations

import argparse
import functools
import sys
from typing import Callable, Iterable, List, Optional, Sequence, Tuple

from .. import config
from .._cli import access_options, console, machine_check, peer_check
from .._cli.findings import WRONG, Finding, bounded
from .._net.addresses import name_server_host

Check = Tuple[str, Callable[[], Iterable[Finding]]]


def checks_for(uri: Optional[str], storage: Optional[str] = None) -> List[Check]:
    """Return all checks with their names."""
    needs_name_server = uri is None or not (uri.upper().startswith("PYRO:") or "@" in uri)  # which contains the location
    # From the inside to the outside: a wrong setting explains most of what follows.
    checks: List[Check] = [
        ("settings", machine_check.check_settings),
        ("host names", machine_check.check_host_names),
        ("ports of this machine", machine_check.check_ports),
        ("broadcasts", machine_check.check_broadcasts),
        ("name server", functools.partial(machine_check.check_name_server, needs_name_server)),
    ]
    # Before the search for a name server, which uses the list.
    if "," in name_server_host():
        checks.insert(-1, ("list of name servers", machine_check.check_name_servers))
    if uri is not None:
        checks.append((uri, functools.partial(peer_check.check_object, uri)))
    if storage is not None:
        checks.append((storage, functools.partial(_check_storage, storage)))
    return checks


def _check_storage(storage: str) -> Iterable[Finding]:
    from .._cli.etcd_check import check_etcd
    return check_etcd(storage)


def examine(checks: Iterable[Check]) -> int:
    """Run the checks, print their findings, and return the number of problems."""
    wrong = 0
    for what, check in checks:
        # Each check has a time limit: a host that does not answer must not keep the tool from the other checks.
        for finding in bounded(what, check):
            console.say(*str(finding).split("\n"))
            wrong += finding.level == WRONG
    return wrong


def _parse(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pyro5 doctor", description="Check everything that a call needs: settings, host names, ports, broadcasts and "
        "the name server. With the uri of an object, also check the connection to this object.",
        epilog="The exit code is 1 if a problem was found.")
    parser.add_argument("uri", nargs="?", help="uri of an object, or its name in the name server")
    parser.add_argument("-s", "--storage", metavar="etcd:URL", help="also check the etcd cluster that a name server uses: its "
                        "option --storage")
    parser.add_argument("-t", "--timeout", type=console.seconds, metavar="SECONDS", help="seconds to wait for a reply "
                        "(default: the setting COMMTIMEOUT)")
    access_options.add_client_options(parser)
    options = parser.parse_args(args)
    if options.storage is not None and not options.storage.startswith("etcd:"):
        parser.error("only storages of the type etcd: can be checked")
    return options


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = _parse(args)
    wrong: List[int] = []
    # A list, since exit_code_of() does not return the result.

    def use_access_and_examine() -> None:
        access_options.use(options)
        if options.timeout is not None:
            config.COMMTIMEOUT = options.timeout
        wrong.append(examine(checks_for(options.uri, options.storage)))

    failure = console.exit_code_of(use_access_and_examine)
    if failure:  # an exception in the tool itself, or Ctrl-C
        return failure
    console.say("Nothing is wrong." if not wrong[0] else "Wrong: %d, see above." % wrong[0])
    # For scripts: notes are no problems.
    return 1 if wrong[0] else 0


if __name__ == "__main__":
    sys.exit(main())
