"""Measures name servers on each kind of storage, full and almost empty.

Run as a program it is the name servers for one kind: ``python -m tests.bench.names KIND FOLDER NAMES FEW``, with the
files in the folder. It prints the uri of the one with all the names, that of the one with few, and how much memory the names
of the first take.
"""
from __future__ import annotations

import argparse
import contextlib
import dbm.dumb
import itertools
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, FrozenSet, Iterator, List, Sequence, Tuple

from Pyro5 import api, nameserver
from Pyro5._naming.storage.specs import open_storage

from .measuring import compare

STORAGES = ("memory", "sql", "dbm")
# So many names begin with WANTED, and have that tag.
MATCHES = 10
WANTED = "wanted"
# How many times fewer names the other name server has, in which the same is looked for.
FEWER = 100


def registrations(count: int) -> Iterator[Tuple[str, str, FrozenSet[str]]]:
    """Return names with their uris and tags. Some are wanted, the others come before and after them in every order."""
    for number in range(count):
        name = WANTED + ".%d" % number if number < MATCHES else "%s.name.%d" % ("az"[number % 2], number)
        yield name, "PYRO:obj_%032x@host.example.com:%d" % (number, 1024 + number % 60000), frozenset(
            ["class:example.Example", WANTED if number < MATCHES else "group.%d" % (number % 1000)])


def make_file(kind: str, path: str, count: int) -> None:
    """Make the file of a storage with so many names. One by one, with each of them safe on the disk, takes longer."""
    if kind == "sql":
        open_storage("sql:" + path).close()
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            for number, (name, uri, tags) in enumerate(registrations(count)):
                database.execute("INSERT INTO pyro_names VALUES (?, ?, ?)", (number, name, uri))
                database.executemany("INSERT INTO pyro_metadata VALUES (?, ?)", [(number, tag) for tag in tags])
    elif kind == "dbm":
        with contextlib.closing(dbm.dumb.open(path, "n")) as file:
            for name, uri, _ in registrations(count):
                file[name] = uri


def path_for(kind: str, folder: str, count: int) -> str:
    return os.path.join(folder, "%s.%d" % (kind, count))


def peak_memory_bytes() -> int:
    # the unit is KiB, but on macOS it is bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def open_full(kind: str, path: str, count: int) -> Any:
    """Open a storage that has so many names."""
    storage = open_storage("memory" if kind == "memory" else "%s:%s" % (kind, path))
    if kind == "memory":
        for name, uri, tags in registrations(count):
            storage[name] = uri, tags
    return storage


def serve(kind: str, folder: str, *counts: int) -> None:
    """Run two name servers with so many names."""
    paths = [path_for(kind, folder, count) for count in counts]
    before = peak_memory_bytes()
    storages = [open_full(kind, paths[0], counts[0])]
    memory_bytes = peak_memory_bytes() - before
    storages.append(open_full(kind, paths[1], counts[1]))
    (uri, daemon, _), (small_uri, small_daemon, _) = [
        nameserver.start_ns("127.0.0.1", 0, enableBroadcast=False, storage=storage) for storage in storages]
    daemon.combine(small_daemon)
    print(uri, small_uri, memory_bytes, flush=True)
    daemon.requestLoop()


@contextlib.contextmanager
def servers(kind: str, *counts: int) -> Iterator[Tuple[Any, Any, int]]:
    """Run two name servers with so many names; give a proxy for each, and the memory that the names of the first take."""
    with contextlib.ExitStack() as at_end:
        folder = at_end.enter_context(tempfile.TemporaryDirectory())
        for count in counts:
            make_file(kind, path_for(kind, folder, count), count)
        process = at_end.enter_context(subprocess.Popen(
            [sys.executable, "-m", __name__, kind, folder, *map(str, counts)], universal_newlines=True,
            stdout=subprocess.PIPE))
        try:
            full_uri, small_uri, memory_bytes = process.stdout.readline().split() if process.stdout else ("", "", "")
            with api.Proxy(full_uri) as full, api.Proxy(small_uri) as small:
                yield full, small, int(memory_bytes)
        finally:
            process.kill()


def actions(kind: str, names: Any) -> Dict[str, Callable[[], Any]]:
    """Return what is measured: title -> what a client does."""
    name = WANTED + ".3"
    location = names._pyroUri.location
    numbers = itertools.count()
    found: Dict[str, Callable[[], Any]] = {
        "register": lambda: names.register("new.%d" % next(numbers), "PYRO:x@localhost:1"),
        "lookup": lambda: names.lookup(name),
        "PYRONAME": lambda: api.resolve("PYRONAME:%s@%s" % (name, location)),
        "list, %d found" % MATCHES: lambda: names.list(prefix=WANTED),
    }
    if kind != "dbm":
        found["yplookup all, %d found" % MATCHES] = lambda: names.yplookup(meta_all=["class:example.Example", WANTED])
        found["yplookup any, %d found" % MATCHES] = lambda: names.yplookup(meta_any=["nosuch", WANTED])
    return found


def measure(count: int, rounds: int, times: int) -> Iterator[List[str]]:
    """Return a row of results for everything that is measured."""
    for kind in STORAGES:
        with servers(kind, count, max(count // FEWER, MATCHES)) as (full, small, memory_bytes):
            small_actions = actions(kind, small)
            for title, action in actions(kind, full).items():
                result = compare(action, small_actions[title], rounds, times)
                call = compare(action, full.ping, rounds, times)
                yield [kind, title, "%.0f" % (result.seconds * 1e6), "%.0f" % (1 / result.seconds),
                       "%.2f" % call.ratio, "%.2f" % result.ratio]
            yield [kind, "memory of the names, MB", "%.1f" % (memory_bytes / 1e6), "", "", ""]


def run(arguments: Sequence[str]) -> None:
    """Measure, as the options say."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench names", description="Measure name servers.")
    parser.add_argument("--rounds", type=int, default=15, help="how often to measure each, by turns (15)")
    parser.add_argument("--calls", type=int, default=200, help="calls in each measurement (200)")
    parser.add_argument("--names", type=int, default=100000, help="names in the name server (100000)")
    options = parser.parse_args(arguments)
    main(options.names, options.rounds, options.calls)


def main(count: int, rounds: int, times: int) -> None:
    layout = "%-8s %-24s %10s %11s %10s %10s"
    print("name server with %d names, compared with a call that does nothing, and with %d names"
          % (count, max(count // FEWER, MATCHES)))
    print(layout % ("storage", "operation", "time, us", "per second", "nothing", "few names"))
    for row in measure(count, rounds, times):
        print((layout % tuple(row)).rstrip(), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
