"""Measures name servers on etcd: ``python -m tests.bench etcd [NAMES]`` prints how long it takes to mirror so many names, the
memory that they take, lookups in comparison with the storage in memory, and how long until all watchers know of a change; and
what each of them must not exceed.

Run as a program with the arguments ``serve SPEC NAMES`` it is the name server, with ``fill SPEC NAMES`` it stores the names.
"""
from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any, Dict, List, Sequence

from Pyro5 import nameserver
from Pyro5._naming.storage.etcd import messages
from Pyro5._naming.storage.etcd.client import EtcdClient
from Pyro5._naming.storage.etcd.records import Record, encode_key, encode_value
from Pyro5._naming.storage.etcd.target import parse_target
from Pyro5._naming.storage.specs import open_storage
from Pyro5.client import Proxy

from .._naming.storage import etcd_server
from ..support import clean_environment
from . import watchers
from .names import peak_memory_bytes, registrations

NAMES, LOOKUPS, ROUNDS, WATCHERS = 100000, 500, 41, 100
FILL_SECONDS = 60.0     # for one transaction
# What a figure is at most, or at least for a ratio.
LIMITS = {"mirrored in seconds": 10.0, "megabytes": 100.0, "lookups in comparison": 0.9, "watchers told, ms": 50.0}
LOOKED_UP = "wanted.3"
COMMAND = (sys.executable, "-m", "tests.bench.etcd")


def fill(spec: str, count: int) -> None:
    """Store so many names, without the comparisons by which a name server notices the changes of others."""
    target = parse_target(spec.partition(":")[2])
    client = EtcdClient(target)
    operations = [messages.put_op(encode_key(target.prefix, (name, "")), encode_value(Record(uri, tags, None)))
                  for name, uri, tags in registrations(count)]
    for start in range(0, count, messages.OPERATIONS):
        request = messages.txn_request([], operations[start:start + messages.OPERATIONS])
        client.post(messages.TXN, request, FILL_SECONDS, FILL_SECONDS)
    client.close()


def serve(spec: str, count: int) -> None:
    """Run a name server; print its port, how long it took to read the names, for how long it used a processor, and the memory.
    """
    before, began, used_before = peak_memory_bytes(), time.perf_counter(), time.process_time()
    storage = open_storage(spec)
    seconds, busy = time.perf_counter() - began, time.process_time() - used_before
    used = peak_memory_bytes() - before
    if spec == "memory":
        storage.update({name: (uri, tags) for name, uri, tags in registrations(count)})
    daemon = nameserver.NameServerDaemon("127.0.0.1", 0, storage=storage)
    print(daemon.sock.getsockname()[1], seconds, busy, used, flush=True)
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
            (memory_port, *_), (port, seconds, busy, used) = [server.stdout.readline().split() for server in servers]
            memory_times, times = _lookups([int(memory_port), int(port)])
            told = watchers.measure_at(int(port), WATCHERS, 20, 20)
        finally:
            for server in servers:
                server.kill()
                server.communicate()
    # Of rounds that follow each other: what else the machine does changes more slowly.
    ratio = statistics.median(one / other for one, other in zip(memory_times, times))
    return {"mirrored in seconds": float(seconds), "of which it was busy": float(busy), "megabytes": int(used) / 1e6,
            "lookup in memory, us": statistics.median(memory_times), "lookup, us": statistics.median(times),
            "lookups in comparison": ratio, "watchers told, ms": told["told"], "the last time of all": told["told at most"]}


def _lookups(ports: List[int]) -> List[float]:
    """Return the microseconds of a lookup at each name server, in rounds that take turns."""
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
    return found


def line(what: str, figure: float) -> str:
    """Return a figure as a line of text, with its limit if it has one."""
    limit = LIMITS.get(what)
    if limit is None:
        return "%-22s %10.3f" % (what, figure)
    is_ratio = limit < 1
    return "%-22s %10.3f   (%s %g%s)" % (what, figure, "at least" if is_ratio else "at most", limit,
                                         "" if (figure >= limit if is_ratio else figure <= limit) else ": MISSED")


def run(arguments: Sequence[str]) -> None:
    """Print the figures."""
    if etcd_server.WHY_NOT:
        print("name servers on etcd are not measured: %s" % etcd_server.WHY_NOT)
        return
    for what, figure in measure(*map(int, arguments)).items():
        print(line(what, figure))


if __name__ == "__main__":
    {"serve": serve, "fill": fill}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
