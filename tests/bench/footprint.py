"""Measures what Pyro5 takes when it does little: memory of idle connections, and the time to start."""
from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import time
from typing import Any, Dict, List, Sequence

from .processes import BenchmarkError, Side
from .progress import Progress

# Connections that are made before memory is looked at, so that what the first ones take is not counted.
FIRST_CONNECTIONS = 20


def resident_bytes(process_id: int) -> int:
    """Return how much memory a process has in use.

    Raises:
        BenchmarkError: this system does not say.
    """
    try:
        kilobytes = subprocess.run(["ps", "-o", "rss=", "-p", str(process_id)], stdout=subprocess.PIPE, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as x:
        raise BenchmarkError("cannot see the memory of processes: %s" % x) from x
    return int(kilobytes) * 1024


class IdleConnections:
    """A server with idle connections, one without, and clients that call both."""

    def __init__(self, side: Side, server: str, serializer: str, at_end: contextlib.ExitStack) -> None:
        self._serializer = serializer
        self._caller = at_end.enter_context(side.start_client())
        self._holder = at_end.enter_context(side.start_client())
        full, empty = (at_end.enter_context(side.start_server("programs.server", server)) for _ in range(2))
        self._full, self._empty = full.read(), empty.read()

    def hold(self, count: int) -> Dict[str, Any]:
        """Make the connections; tell how many there are, and what memory each takes."""
        self._rate(self._full, 0.1)
        self._hold(FIRST_CONNECTIONS)
        self._holder.ask("forget")
        before = resident_bytes(self._full["pid"])
        answer = self._hold(count)
        bytes_each = (resident_bytes(self._full["pid"]) - before) / max(answer["held"], 1)
        return {"asked": count, "held": answer["held"], "why": answer["why"], "bytes_each": bytes_each}

    def _hold(self, count: int) -> Dict[str, Any]:
        return self._holder.ask("hold", uri=self._full["uri"], serializer=self._serializer, count=count)

    def compare(self, rounds: int, seconds: float) -> Dict[str, List[float]]:
        """Call both servers by turns."""
        found: Dict[str, List[float]] = {"beside": [], "alone": []}
        pair = [("beside", self._full), ("alone", self._empty)]
        for number in range(rounds):
            # neither is always the first one
            for name, server in pair if number % 2 == 0 else pair[::-1]:
                found[name].append(self._rate(server, seconds))
        return found

    def _rate(self, server: Dict[str, Any], seconds: float) -> float:
        answer = self._caller.ask("measure", case="nothing", uri=server["uri"], serializer=self._serializer, seconds=seconds)
        if "error" in answer:
            raise BenchmarkError("beside idle connections: %s" % answer["error"])
        return float(answer["rate"])


def idle_connections(sides: Sequence[Side], servers: Sequence[str], serializer: str, count: int, rounds: int,
                     seconds: float, progress: Progress) -> List[Dict[str, Any]]:
    """Measure so many idle connections; gives a result for each server type and side."""
    found = []
    for server, side in itertools.product(servers, sides):
        progress.step("%d idle connections, %s" % (count, server))
        result: Dict[str, Any] = {"server": server, "side": side.name, "error": ""}
        try:
            with contextlib.ExitStack() as at_end:
                at_end.callback(progress.clear)
                idle = IdleConnections(side, server, serializer, at_end)
                result.update(idle.hold(count))
                result.update(idle.compare(rounds, seconds))
        except BenchmarkError as x:
            # what has been measured before is worth keeping
            result["error"] = str(x)
        found.append(result)
    return found


def seconds_to_run(side: Side, *arguments: str) -> float:
    started = time.perf_counter()
    side.run(*arguments)
    return time.perf_counter() - started


def start_up(sides: Sequence[Side], rounds: int, progress: Progress) -> List[Dict[str, Any]]:
    """Measure how long the name server's tool, a bare Python, and importing Pyro5 and what it needs take, for each side."""
    found: List[Dict[str, Any]] = [{"side": side.name, "ping": [], "bare": [], "plain": [], "import": [], "needed": []}
                                   for side in sides]
    with contextlib.ExitStack() as at_end:
        at_end.callback(progress.clear)
        servers = [at_end.enter_context(side.start_server("programs.server", "names")) for side in sides]
        ports = [server.read()["uri"].rpartition(":")[2] for server in servers]
        for number in range(rounds + 1):
            progress.step("start-up, round %d" % number)
            for side, port, result in zip(sides, ports, found):
                # the first time is for the files to be compiled, and read from the disk
                keep_start(result, measure_start(side, port), is_first=number == 0)
    return found


def keep_start(result: Dict[str, Any], one: Dict[str, Any], is_first: bool) -> None:
    result["heavy"] = one["heavy"]
    for name in () if is_first else ("ping", "bare", "plain", "import", "needed"):
        result[name].append(one[name])


def measure_start(side: Side, port: str) -> Dict[str, Any]:
    loading = json.loads(side.run("-m", "programs.loading"))
    return {"ping": seconds_to_run(side, "-m", "Pyro5.nsc", "-n", "127.0.0.1", "-p", port, "ping"),
            "bare": seconds_to_run(side, "-c", "import socket, ssl"), "plain": seconds_to_run(side, "-c", "pass"),
            "import": loading["seconds"], "heavy": loading["heavy"],
            "needed": json.loads(side.run("-m", "programs.loading", *loading["needed"]))["seconds"]}
