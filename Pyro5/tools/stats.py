"""Shows what a server has counted: ``python -m Pyro5.tools.stats URI`` prints the calls, errors and durations of its methods,
its connections and its last errors.

The exit code is 0 on success, 1 on failure (with one line on standard error that says why), 2 for an invalid command line.
"""
from __future__ import annotations

import sys
from typing import Any, Iterator, Mapping, Optional, Sequence

from .._cli import object_options
from .._cli.parser import ToolParser
from .._cli.server_stats import duration, lines_of, read_stats, table


def report(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that show the statistics of a server."""
    processes = found.get("processes")
    who = "%d processes" % len(processes) if isinstance(processes, list) else "process %d" % found["pid"]
    yield "%s  %s  %s  up %s" % (found["location"], found["health"], who, duration(found["uptime"]))
    yield "connections: %s idle, %s busy; item streams: %s" % (
        found["connections"].get("idle"), found["connections"].get("busy"), found["streams"])
    workers = found.get("workers")
    if isinstance(workers, dict):
        yield "threads: %s, %s busy, %s at most; waiting calls: %s" % tuple(
            workers.get(name) for name in ("threads", "busy", "maximum", "waiting_calls"))
    yield "bytes: %s received, %s sent" % (found["bytes"].get("received"), found["bytes"].get("sent"))
    if found["refusals"]:
        yield "refused: " + ", ".join("%s %s" % (number, reason) for reason, number in sorted(found["refusals"].items()))
    yield ""
    yield from table(sorted(lines_of(found), key=lambda line: -line.calls))
    for object_id, rows in found["objects"].items():
        for method, row in rows.items():
            last = row.get("last_error")
            if isinstance(last, dict):
                yield "last error of %s.%s: %s: %s" % (object_id, method, last.get("type"), last.get("text"))


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 stats", description="Show what a server has counted: calls, errors and durations of its "
                        "methods, connections, threads and last errors.")
    object_options.add_options(parser)
    parser.add_argument("--json", action="store_true", help="print the statistics as JSON")
    parser.add_argument("uri", help="uri of an object of the server, or its name in the name server")
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    return object_options.exit_code_of(lambda options: object_options.show(options, read_stats, report),
                                       make_parser().parse_args(args))


if __name__ == "__main__":
    sys.exit(main())
