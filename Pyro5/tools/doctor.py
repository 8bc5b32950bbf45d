"""Diagnosis: ``python -m Pyro5.tools.doctor [URI]`` checks the conditions for a successful call.

Each line begins with ``ok``, ``note`` (not a defect, but possibly relevant) or ``WRONG``; a line with an arrow below says
what to do. The exit code is 0 if nothing is wrong, 1 if something is wrong, 2 for an invalid command line.

With ``--json`` the output is an object: ``findings``, a list of objects with ``check``, ``level`` (ok, note or wrong),
``text`` and ``remedy``; and ``wrong``, the number of those that are wrong. Later releases may add keys.
"""
from __future__ import annotations

import argparse
import functools
import json
import sys
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from .. import config
from .._cli import access_options, console, machine_check, peer_check
from .._cli.findings import NOTE, OK, WRONG, Finding, bounded
from .._cli.parser import ToolParser
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
    from .._cli.etcd_check import check_etcd  # imports http.client
    return check_etcd(storage)


def examine(checks: Iterable[Check]) -> int:
    """Run the checks, print their findings, and return the number of problems."""
    wrong = 0
    for _, finding in _findings(checks):
        color = {OK: "green", NOTE: "yellow", WRONG: "red"}[finding.level]
        first, *remedy = str(finding).split("\n")
        console.say(console.joined(console.paint(color, finding.level), first[len(finding.level):]), *remedy)
        wrong += finding.level == WRONG
    return wrong


def _findings(checks: Iterable[Check]) -> Iterator[Tuple[str, Finding]]:
    """Run the checks, and yield their findings, each with the name of its check."""
    for what, check in checks:
        # Each check has a time limit: a host that does not answer must not keep the tool from the other checks.
        for finding in bounded(what, check):
            yield what, finding


def examine_as_json(checks: Iterable[Check]) -> int:
    """Run the checks, print their findings as JSON, and return the number of problems."""
    found: List[Dict[str, Any]] = [{"check": what, **finding._asdict(), "level": finding.level.lower()}
                                   for what, finding in _findings(checks)]
    wrong = [finding for finding in found if finding["level"] == WRONG.lower()]
    console.say(*json.dumps({"findings": found, "wrong": len(wrong)}, indent=2).split("\n"))
    return len(wrong)


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(
        prog="pyro5 doctor", description="Check everything that a call needs: settings, host names, ports, broadcasts and "
        "the name server. With the uri of an object, also check the connection to this object.",
        epilog="The exit code is 1 if a problem was found.")
    parser.add_argument("uri", nargs="?", help="uri of an object, or its name in the name server")
    parser.add_argument("-s", "--storage", metavar="etcd:URL", help="also check the etcd cluster that a name server uses: its "
                        "option --storage")
    parser.add_argument("-t", "--timeout", type=console.seconds, metavar="SECONDS", help="seconds to wait for a reply "
                        "(default: the setting COMMTIMEOUT)")
    access_options.add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    return parser


def _parse(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(args)
    if options.storage is not None and not options.storage.startswith("etcd:"):
        parser.error("only storages of the type etcd: can be checked")
    if options.uri is not None and options.uri.startswith("etcd:"):
        parser.error("%s is a storage: pass it with the option -s" % options.uri)
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
        report = examine_as_json if options.json else examine
        wrong.append(report(checks_for(options.uri, options.storage)))

    failure = console.exit_code_of(use_access_and_examine)
    if failure:  # an exception in the tool itself, or Ctrl-C
        return failure
    if not options.json:
        console.say(console.paint("red", "Wrong: %d, see above." % wrong[0]) if wrong[0] else "Nothing is wrong.")
    # For scripts: notes are no problems.
    return 1 if wrong[0] else 0


if __name__ == "__main__":
    sys.exit(main())
