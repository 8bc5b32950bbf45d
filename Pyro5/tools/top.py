"""Shows what the servers of a name server are doing: ``python -m Pyro5.tools.top`` prints a table of their methods, with calls
per second, and renews it in the terminal until Ctrl-C is pressed. If the output is not a terminal, it is printed once.

The exit code is 0 on success, 1 on failure (with one line on standard error that says why), 2 for an invalid command line.
"""
from __future__ import annotations

import argparse
import shutil
import sys
import threading
from types import MappingProxyType
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from .. import errors
from .._cli import access_options, console
from .._cli.parser import ToolParser
from .._cli.server_stats import Line, lines_of, locations_of, names_of_generated_ids, read_all, table
from ..client import locate_ns

SECONDS = 2.0  # that a server has to answer
_HOME_AND_CLEAR = "\x1b[H\x1b[J"


def _registered(options: argparse.Namespace) -> Dict[str, Any]:
    """Return the URIs of all registered objects by name. Raises NamingError."""
    with locate_ns(options.host, options.port) as nameserver:
        found: Dict[str, Any] = nameserver.list()
    return found


def screen(found: Mapping[str, Any], before: Mapping[str, Any], options: argparse.Namespace,
           names: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Yield the lines of one screen.

    Args:
        found: location of a server -> statistics, or an exception.
        before: the same, some seconds earlier.
        names: generated object id -> name in the name server.
    """
    lines: List[Line] = []
    for location, report in sorted(found.items()):
        if not isinstance(report, dict):
            yield console.joined(location, "  ", console.paint("red", errors.one_line(str(report))))
            continue
        earlier = before.get(location)
        health, clients = report["health"], report["connections"]
        yield console.joined(location, "  ", console.paint("green" if health == "SERVING" else "red", health),
                            "  clients: %s idle, %s busy" % (clients.get("idle"), clients.get("busy")))
        each = lines_of(report, earlier if isinstance(earlier, dict) else None)
        lines += [line._replace(object_id="%s@%s" % (names.get(line.object_id, line.object_id), location)) for line in each
                  if options.all or line.object_id != "Pyro.Daemon"]
    yield ""
    lines.sort(key=lambda line: (-(line.rate or 0.0), -line.calls, line.object_id, line.method))
    yield from table(lines)


def _run(options: argparse.Namespace) -> None:
    access_options.use(options)
    is_terminal = sys.stdout.isatty() and not options.once
    before: Dict[str, Any] = {}
    while True:
        registered = _registered(options)
        found = read_all(locations_of(registered.values()), SECONDS)
        lines = list(screen(found, before, options, names_of_generated_ids(registered)))
        if not is_terminal:
            console.say(*lines)
            return
        size = shutil.get_terminal_size()
        sys.stdout.write(_HOME_AND_CLEAR)
        console.say(*lines[:size.lines - 1])
        before = found
        threading.Event().wait(options.interval)


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 top", description="Show the calls per second, errors and durations of all methods of all "
                        "servers that have registered objects in a name server.")
    option = parser.add_argument
    option("-H", "--host", default="", help="host of the name server, or a list of hosts (default: search for it)")
    option("-p", "--port", type=console.port, help="port of the name server (default: the setting NS_PORT)")
    option("--interval", type=console.seconds, default=2.0, metavar="SECONDS",
           help="pause between two refreshes (default: 2)")
    option("--once", action="store_true", help="print the table once")
    option("--all", action="store_true", help="also show the calls of the servers' own objects")
    option("-v", "--verbose", action="store_true", help="print the tracebacks of errors")
    access_options.add_client_options(parser)
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    return console.exit_code_of(lambda: _run(options), lambda error: console.complain_with_class(error, options.verbose))


if __name__ == "__main__":
    sys.exit(main())
