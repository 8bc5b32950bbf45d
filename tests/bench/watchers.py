"""Measures watchers of a name server: ``python -m tests.bench watchers [NUMBER]`` prints how long it takes until all of them
know of a change, and what they cost clients that register names which they do not watch.

The watchers run in one process with an event loop of their own, the name server in another.
"""
from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from typing import Any, Dict, List, Sequence

from Pyro5 import aio
from Pyro5.client import locate_ns

from ..support import clean_environment

WATCHERS = 100
CHANGES = 20
REGISTRATIONS = 300
URI = "PYRO:one@host:1"
PROGRAM = """
from Pyro5.nameserver import NameServerDaemon
daemon = NameServerDaemon("127.0.0.1", 0)
print(daemon.sock.getsockname()[1], flush=True)
daemon.requestLoop()
"""


def measure(watchers: int, changes: int = CHANGES, registrations: int = REGISTRATIONS) -> Dict[str, float]:
    """Return the times in milliseconds: until the last watcher knows of a change (the median of all changes, and the longest
    one), and of a registration without and with the watchers.
    """
    server = subprocess.Popen([sys.executable, "-c", PROGRAM], env=clean_environment(None), stdout=subprocess.PIPE, text=True)
    with server:
        try:
            assert server.stdout is not None
            return asyncio.run(_measure(int(server.stdout.readline()), watchers, changes, registrations))
        finally:
            server.terminate()


def measure_at(port: int, watchers: int, changes: int, registrations: int) -> Dict[str, float]:
    """Return the same for a name server that runs already."""
    return asyncio.run(_measure(port, watchers, changes, registrations))


async def _measure(port: int, watchers: int, changes: int, registrations: int) -> Dict[str, float]:
    loop = asyncio.get_running_loop()
    ready: Any = asyncio.Semaphore(0)
    told: Any = asyncio.Semaphore(0)

    async def watch() -> None:
        async with await aio.locate_ns("127.0.0.1", port) as ns:
            async for event in ns.watch("watched."):
                (ready if event.kind == "ready" else told).release()

    with locate_ns("127.0.0.1", port) as ns:
        before = await loop.run_in_executor(None, _register, ns, registrations)
        tasks = [asyncio.ensure_future(watch()) for _ in range(watchers)]
        for _ in tasks:
            await ready.acquire()
        after = await loop.run_in_executor(None, _register, ns, registrations)
        times: List[float] = []
        for _ in range(changes):
            began = time.perf_counter()
            await loop.run_in_executor(None, ns.register, "watched.name", URI)
            for _ in tasks:
                await told.acquire()
            times.append(1000 * (time.perf_counter() - began))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {"told": statistics.median(times), "told at most": max(times), "registration before": before,
            "registration": after}


def _register(ns: Any, count: int) -> float:
    began = time.perf_counter()
    for number in range(count):
        ns.register("other.%d" % (number % 50), URI)
    return 1000 * (time.perf_counter() - began) / count


def run(arguments: Sequence[str]) -> None:
    """Print the figures."""
    number = int(arguments[0]) if arguments else WATCHERS
    print("%d watchers of a name server, milliseconds" % number)
    for what, milliseconds in measure(number).items():
        print("%-22s %10.2f" % (what, milliseconds))
