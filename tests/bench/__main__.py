"""Prints how long calls take, and how many times as long as sending the same bytes to and fro over a bare socket; then how
long it takes to use a name server.

What is compared is measured by turns within one run, so that a slow or busy machine changes the times but hardly the ratios.
"""
from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import socket
import subprocess
import sys
from typing import Any, Callable, Iterator, List, Tuple

from Pyro5 import api

from . import names
from .measuring import compare
from .servers import receive_frame, send_frame

RECORD = {
    "id": 123456, "name": "Ada Lovelace", "email": "ada@example.com", "active": True, "score": 97.25, "tags": ["a", "b"],
    "address": {"street": "12 High Street", "city": "London", "zip": "N1 9GU"}, "parent": None, "visits": 42,
    "notes": "first of them all", "limits": [1, 10, 100]}
CASES: Tuple[Tuple[str, Any], ...] = (
    ("no arguments", None), ("record of 11 fields", RECORD), ("100 KB of text", "x" * 100000))
SERIALIZERS = ("serpent", "json", "marshal", "msgpack")


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[str]:
    """Run one of the servers in a process of its own; gives the line that it prints first."""
    process = subprocess.Popen([sys.executable, "-m", __package__ + ".servers", *arguments],
                               stdout=subprocess.PIPE, universal_newlines=True)
    with process:
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no output")
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def action_for(proxy: Any, value: Any) -> Callable[[], Any]:
    return proxy.nothing if value is None else lambda: proxy.echo(value)


def exchange(connection: socket.socket, data: bytes) -> None:
    send_frame(connection, data)
    receive_frame(connection)


def measure(uri: str, bare: socket.socket, rounds: int, times: int) -> Iterator[List[str]]:
    """Give a row of results for every serializer and every kind of call."""
    for serializer in SERIALIZERS:
        if serializer == "msgpack" and importlib.util.find_spec("msgpack") is None:
            continue
        with api.Proxy(uri) as proxy:
            proxy._pyroSerializer = serializer
            for title, value in CASES:
                data = repr(value).encode()
                result = compare(action_for(proxy, value), functools.partial(exchange, bare, data), rounds, times)
                yield [serializer, title, "%.0f" % (result.seconds * 1e6),
                       "%.0f" % (result.base_seconds * 1e6), "%.2f" % result.ratio]


def measure_calls(servertype: str, rounds: int, times: int) -> None:
    layout = "%-10s %-20s %12s %12s %8s"
    print("server type %s" % servertype)
    print(layout % ("serializer", "call", "call, us", "bare, us", "ratio"))
    with server("bare") as port, server("pyro", servertype) as uri:
        with socket.create_connection(("127.0.0.1", int(port))) as bare:
            bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for row in measure(uri, bare, rounds, times):
                print(layout % tuple(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure calls, and name servers.")
    parser.add_argument("what", nargs="*", default=["calls", "names"], help="calls, names, or both (default)")
    parser.add_argument("--servertype", default="thread", help="for calls: thread (default) or multiplex")
    parser.add_argument("--rounds", type=int, default=15, help="how often to measure each, by turns (15)")
    parser.add_argument("--calls", type=int, default=200, help="calls in each measurement (200)")
    parser.add_argument("--names", type=int, default=100000, help="names in the name server (100000)")
    options = parser.parse_args()
    if "calls" in options.what:
        measure_calls(options.servertype, options.rounds, options.calls)
    if "names" in options.what:
        names.main(options.names, options.rounds, options.calls)


if __name__ == "__main__":
    main()
