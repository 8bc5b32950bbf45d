"""Measures how long a server takes to answer: ``python -m Pyro5.tools.ping URI`` calls it some times, and prints whether it
serves the object.

The exit code is 0 if the object is served, 1 if it is not or on failure (with one line on standard error that says why), 2 for
an invalid command line.
"""
from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Sequence

from .. import errors
from .._cli import console, object_options
from .._cli.object_options import json_text
from .._cli.parser import ToolParser
from .._cli.server_stats import duration
from ..constants import DAEMON_NAME


def _round_trip(proxy: Any) -> float:
    began = time.perf_counter()
    proxy._pyroInvoke("ping", [], {}, objectId=DAEMON_NAME)
    return time.perf_counter() - began


def _health(proxy: Any) -> str:
    """Return the health of the object; for servers of other releases, whether it is registered."""
    object_id = proxy._pyroUri.object
    try:
        state = proxy._pyroInvoke("health", [object_id], {}, objectId=DAEMON_NAME)
    except AttributeError as x:
        if not errors.is_remote(x):
            raise
        return "SERVING"  # connecting has shown that the object is there
    return "SERVING" if state == "SERVING" else "NOT_SERVING"


def _measure(proxy: Any, options: argparse.Namespace, times: List[float]) -> None:
    for number in range(options.count):
        if number:
            threading.Event().wait(options.interval)
        times.append(_round_trip(proxy))
        if not options.json:
            console.say("%s: %s" % (proxy._pyroUri, duration(times[-1])))


def _report(options: argparse.Namespace, found: Dict[str, Any]) -> None:
    times = found["times"]
    if options.json:
        console.say(*json_text(found, indent=2).split("\n"))
    elif times:
        console.say("%s; connected in %s; fastest %s, median %s, slowest %s" % (
            found["health"], duration(found["connect"]), duration(min(times)), duration(statistics.median(times)),
            duration(max(times))))


def _run(options: argparse.Namespace) -> None:
    times: List[float] = []
    with object_options.proxy_of(options) as proxy:
        began = time.perf_counter()
        proxy._pyroBind()
        connected = time.perf_counter() - began
        uri, state = str(proxy._pyroUri), _health(proxy)
        try:
            _measure(proxy, options, times)
        finally:  # also after Ctrl-C
            _report(options, {"uri": uri, "health": state, "connect": connected, "times": times})
    if state != "SERVING":
        raise errors.DaemonError("the object is not served: its server says NOT_SERVING")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000000):
        raise argparse.ArgumentTypeError("a number from 1 to 1000000, not %s" % text[:100])
    return int(text)


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 ping", description="Measure how long a server takes to answer, and show whether it serves "
                        "an object.")
    object_options.add_options(parser)
    option = parser.add_argument
    option("-c", "--count", type=_count, default=3, help="number of calls (default: 3)")
    option("--interval", type=console.seconds, default=0.5, metavar="SECONDS",
           help="pause between two calls (default: 0.5)")
    option("--json", action="store_true", help="print the result as JSON, with all times in seconds")
    option("uri", help="uri of an object, or its name in the name server")
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    return object_options.exit_code_of(_run, make_parser().parse_args(args))


if __name__ == "__main__":
    sys.exit(main())
