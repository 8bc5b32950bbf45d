"""What statistics cost: calls of two servers that differ in the setting STATISTICS only, by turns; the median of the ratios.

Run as a program with the argument ``serve`` it is one of the servers, and prints its uri.
"""
from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from typing import Any, Iterator, List, Sequence

from Pyro5 import api

from ..support import clean_environment

LIMIT = 1.02  # calls may take so many times as long


@api.expose
class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b


def serve() -> None:
    """Run a server until its standard input is closed."""
    with api.Daemon("127.0.0.1") as daemon:
        print(daemon.register(Calculator()), flush=True)
        daemon.requestLoop()


@contextlib.contextmanager
def server(is_counting: bool, server_type: str) -> Iterator[Any]:
    """Run a server; give a proxy."""
    environment = clean_environment({"PYRO_STATISTICS": "yes" if is_counting else "no", "PYRO_SERVERTYPE": server_type})
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.observing", "serve"], env=environment,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with process.stdout, api.Proxy(process.stdout.readline().strip()) as proxy:
            proxy.add(20, 22)
            yield proxy
    finally:
        process.terminate()
        process.wait()


def seconds(proxy: Any, calls: int) -> float:
    """Return how long so many calls take."""
    add, began = proxy.add, time.perf_counter()
    for _ in range(calls):
        add(20, 22)
    return time.perf_counter() - began


def ratios(server_type: str, rounds: int, calls: int) -> List[float]:
    """Return how many times as long calls take with statistics, for each round."""
    found = []
    with server(True, server_type) as counting, server(False, server_type) as other:
        for number in range(rounds):
            # By turns: whatever else the machine does then slows down both.
            first, second = (counting, other) if number % 2 else (other, counting)
            times = {id(first): seconds(first, calls), id(second): seconds(second, calls)}
            found.append(times[id(counting)] / times[id(other)])
    return found


def run(arguments: Sequence[str]) -> None:
    """Print a line for each server type."""
    rounds, calls = 200, 300
    print("statistics on, compared with off: add(20, 22), %d rounds of %d calls (at most %.0f %% are allowed)" % (
        rounds, calls, (LIMIT - 1) * 100))
    for server_type in "thread", "multiplex":
        found = sorted(ratios(server_type, rounds, calls))
        print("%-10s %+.1f %% (quartiles %+.1f %% to %+.1f %%)" % (
            server_type, (statistics.median(found) - 1) * 100, (found[rounds // 4] - 1) * 100,
            (found[rounds * 3 // 4] - 1) * 100), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        run(sys.argv[1:])
