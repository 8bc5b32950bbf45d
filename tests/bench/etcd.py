"""Measures name servers on etcd: ``python -m tests.bench.etcd [NAMES]`` prints how long it takes to mirror so many names, the
memory that they take, lookups in comparison with the storage in memory, and how long until all watchers know of a change.

With the arguments ``serve SPEC NAMES`` it is the name server, with ``fill SPEC NAMES`` it registers the names.
"""
from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any, Dict, List

from Pyro5 import nameserver
from Pyro5._naming.storage.specs import open_storage
from Pyro5.client import Proxy

from .._naming.storage import etcd_server
from ..support import clean_environment
from . import watchers
from .names import peak_memory_bytes, registrations

NAMES, LOOKUPS, ROUNDS, WATCHERS = 100000, 2000, 9, 100
NAMES_AT_ONCE = 5000
LOOKED_UP = "wanted.3"
COMMAND = (sys.executable, "-m", "tests.bench.etcd")


def fill(spec: str, count: int) -> None:
    """Register so many names."""
    storage = open_storage(spec)
    entries = list(registrations(count))
    for start in range(0, count, NAMES_AT_ONCE):
        portion = entries[start:start + NAMES_AT_ONCE]
        storage.patiently(lambda portion=portion: [  # type: ignore[misc]
            storage.store(name, (uri, tags)) for name, uri, tags in portion])
    storage.close()


def serve(spec: str, count: int) -> None:
    """Run a name server; print its port, and how long it took to read the names, and their memory."""
    before, began = peak_memory_bytes(), time.perf_counter()
    storage = open_storage(spec)
    seconds, used = time.perf_counter() - began, peak_memory_bytes() - before
    if spec == "memory":
        storage.update({name: (uri, tags) for name, uri, tags in registrations(count)})
    daemon = nameserver.NameServerDaemon("127.0.0.1", 0, storage=storage)
    print(daemon.sock.getsockname()[1], seconds, used, flush=True)
    daemon.requestLoop()


def _start(*args: str) -> Any:
    return subprocess.Popen([*COMMAND, "serve", *args], env=clean_environment(None),
                            stdout=subprocess.PIPE, text=True)


def measure(count: int = NAMES) -> Dict[str, float]:
    """Return the figures: seconds, megabytes, microseconds, milliseconds."""
    with etcd_server.Cluster() as cluster:
        spec = cluster.spec("bench")
        # In a process of its own: the peak memory of this one would count for the others.
        subprocess.run([*COMMAND, "fill", spec, str(count)], env=clean_environment(None), check=True)
        servers = [_start("memory", str(count)), _start(spec, str(count))]
        try:
            (memory_port, _, _), (port, seconds, used) = [server.stdout.readline().split() for server in servers]
            times = _lookups([int(memory_port), int(port)])
            told = watchers.measure_at(int(port), WATCHERS, 20, 20)
        finally:
            for server in servers:
                server.kill()
                server.communicate()
    return {"mirrored in seconds": float(seconds), "megabytes": int(used) / 1e6, "lookup in memory": times[0],
            "lookup": times[1], "lookups in comparison": times[0] / times[1], "watchers told": told["told"],
            "watchers told at most": told["told at most"]}


def _lookups(ports: List[int]) -> List[float]:
    """Return the microseconds of a lookup at each name server: the medians of rounds in turns."""
    found: List[List[float]] = [[] for _ in ports]
    proxies = [Proxy("PYRO:Pyro.NameServer@127.0.0.1:%d" % port) for port in ports]
    for _ in range(ROUNDS):
        for times, proxy in zip(found, proxies):
            began = time.perf_counter()
            for _ in range(LOOKUPS):
                proxy.lookup(LOOKED_UP)
            times.append(1e6 * (time.perf_counter() - began) / LOOKUPS)
    for proxy in proxies:
        proxy._pyroRelease()
    return [statistics.median(times) for times in found]


if __name__ == "__main__":
    if sys.argv[1:2] in (["serve"], ["fill"]):
        {"serve": serve, "fill": fill}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    else:
        for what, figure in measure(*map(int, sys.argv[1:])).items():
            print("%-22s %10.3f" % (what, figure))
