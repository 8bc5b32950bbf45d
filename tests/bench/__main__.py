"""Prints how long calls take, and how many times as long as sending the same bytes to and fro over a bare socket.

Both are measured by turns within one run, so that a slow or busy machine changes the times but hardly the ratios.
"""
from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import socket
import statistics
import subprocess
import sys
import time
from typing import Any, Callable, Iterator, List, Tuple

from Pyro5 import api

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


def seconds_for(action: Callable[[], Any], times: int) -> float:
    """Measure how long one action takes when it is done so many times in a row."""
    started = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - started) / times


def compare(action: Callable[[], Any], base: Callable[[], Any], rounds: int, times: int) -> Tuple[float, float, float]:
    """Give the medians of the seconds of action, of those of base, and of the ratios of both in each round."""
    seconds_for(action, 3)
    pairs = [(seconds_for(action, times), seconds_for(base, times)) for _ in range(rounds)]
    return (statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs),
            statistics.median(a / b for a, b in pairs))


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
                yield [serializer, title, "%.0f" % (result[0] * 1e6), "%.0f" % (result[1] * 1e6), "%.2f" % result[2]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure calls against bare sockets.")
    parser.add_argument("--servertype", default="thread", help="thread (default) or multiplex")
    parser.add_argument("--rounds", type=int, default=15, help="how often to measure each, by turns (15)")
    parser.add_argument("--calls", type=int, default=200, help="calls in each measurement (200)")
    options = parser.parse_args()
    layout = "%-10s %-20s %12s %12s %8s"
    print("server type %s" % options.servertype)
    print(layout % ("serializer", "call", "call, us", "bare, us", "ratio"))
    with server("bare") as port, server("pyro", options.servertype) as uri:
        with socket.create_connection(("127.0.0.1", int(port))) as bare:
            bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for row in measure(uri, bare, options.rounds, options.calls):
                print(layout % tuple(row), flush=True)


if __name__ == "__main__":
    main()
