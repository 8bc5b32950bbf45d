"""A client of the soak as a process: ``python -m tests.soak.clients KIND SECONDS THREAD_URI MULTIPLEX_URI NAMES_URI``.

It prints what it did, as a line of JSON, each so many seconds, until its standard input is closed.
"""
from __future__ import annotations

import contextlib
import json
import queue
import random
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

import serpent

from Pyro5 import errors
from Pyro5._client.batch import BatchProxy
from Pyro5._values.uri import URI
from Pyro5.client import Proxy
from Pyro5.serializers import serializers

from ..peers import free_port
from . import rude
from .meter import Meter

BULK_BYTES = 1000000
CALLS_PER_CONNECTION = 200
NAMES_OF_ONE_CLIENT = 20
# How likely a client of the name server registers an object that does not exist, for autoclean to find.
DEAD_SHARE = 0.02
VALUES: Tuple[Any, ...] = (
    None, 1, "text", [1, 2.5, "x"], {"name": "value", "list": [True, None]}, "long " * 1000, list(range(300)),
    [{"id": number, "label": "number %d" % number} for number in range(20)])


class Mistake(Exception):
    """A server did something else than it should."""


def expect(expected: Any, got: Any) -> None:
    if expected != got:
        raise Mistake("expected %.100r, got %.100r" % (expected, got))


class Client:
    """One of a process' threads: takes turns with one server until it is told to stop.

    Args:
        where: the name of the server.
        uri: of the object.
    """

    pause_seconds = 0.005
    timed = False  # whether its steps are calls that are alike, and tell how long a call takes

    def __init__(self, where: str, uri: str, meter: Meter, seed: int) -> None:
        self.where = where
        self.uri = uri
        self.meter = meter
        self.random = random.Random(seed)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with contextlib.closing(self.steps()) as steps:
                    while not stop.wait(self.pause_seconds) and self._step(steps):
                        pass
            except Exception as x:  # whatever a step may raise is what the soak is looking for
                self.meter.failed("%s, %s: %s: %s" % (type(self).__name__, self.where, type(x).__name__, x))
                stop.wait(0.1)

    def _step(self, steps: Iterator[None]) -> bool:
        began = time.perf_counter()
        if next(steps, self) is self:
            return False
        self.meter.done(self.where)
        if self.timed:
            self.meter.took(self.where, time.perf_counter() - began)
        return True

    def steps(self) -> Any:
        """Go on for a while; yield after each step."""
        raise NotImplementedError


class Caller(Client):
    """Calls with all serializers: values, attributes, errors, batches, oneway calls."""

    def steps(self) -> Any:
        with Proxy(self.uri) as proxy:
            proxy._pyroSerializer = self.random.choice(sorted(serializers))
            for _ in range(CALLS_PER_CONNECTION):
                self.random.choice((self.call, self.attribute, self.error, self.batch, self.notes))(proxy)
                yield

    def call(self, proxy: Any) -> None:
        value = self.random.choice(VALUES)
        expect(value, proxy.echo(value))

    def attribute(self, proxy: Any) -> None:
        proxy.temperature = 21.5
        expect(21.5, proxy.temperature)

    def error(self, proxy: Any) -> None:
        try:
            proxy.refuse("closed")
        except ValueError as x:
            expect(("closed",), x.args)
        else:
            raise Mistake("there was no error")

    def batch(self, proxy: Any) -> None:
        batch = BatchProxy(proxy)
        for count in range(5):
            batch.total(list(range(count)))
        expect([0, 0, 1, 3, 6], list(batch() or ()))

    def notes(self, proxy: Any) -> None:
        proxy.note("one")
        batch = BatchProxy(proxy)
        batch.note("two")
        batch(oneway=True)


class Timed(Client):
    """Makes the same small call again and again, to see how long it takes."""

    timed = True

    def steps(self) -> Any:
        with Proxy(self.uri) as proxy:
            proxy._pyroBind()
            for number in range(CALLS_PER_CONNECTION):
                expect(number, proxy.echo(number))
                yield


class TimedLookup(Client):
    """The same for a name server."""

    timed = True

    def steps(self) -> Any:
        with Proxy(self.uri) as proxy:
            proxy._pyroBind()
            for _ in range(CALLS_PER_CONNECTION):
                expect("Pyro.NameServer", proxy.lookup("Pyro.NameServer").object)
                yield


class Streamer(Client):
    """Reads item streams: to the end, in part, or not at all; closes them, or only forgets them."""

    def steps(self) -> Any:
        with Proxy(self.uri) as proxy:
            for _ in range(30):
                count = self.random.randrange(20)
                items = proxy.parts(count)
                wanted = self.random.choice((count, count // 2, 0))
                for number in range(wanted):
                    expect([number] * 10, next(items))
                if self.random.random() < 0.5:
                    items.close()
                yield


class Visitor(Client):
    """Connects, calls once, and goes; some leave with a stream open, or without a word of good-bye."""

    def steps(self) -> Any:
        with Proxy(self.uri) as proxy:
            expect(3, proxy.total([1, 2]))
            if self.random.random() < 0.2:
                next(proxy.parts(5))
        yield


class Bulk(Client):
    """Sends and gets large things, in the ways that there are."""

    pause_seconds = 0.1

    def steps(self) -> Any:
        with Proxy(self.uri) as proxy:
            proxy._pyroSerializer = self.random.choice(sorted(serializers))
            for _ in range(5):
                expect("x" * BULK_BYTES, proxy.echo("x" * BULK_BYTES))
                yield
                if proxy._pyroSerializer != "json":  # has no bytes
                    expect(b"b" * BULK_BYTES, serpent.tobytes(proxy.bulk(BULK_BYTES)))
                    yield


class NameUser(Client):
    """Registers, looks up, searches and removes names; some of the objects that it registers do not exist."""

    def steps(self) -> Any:
        with Proxy(self.uri) as names:
            for number in range(NAMES_OF_ONE_CLIENT):
                name = "soak.%s.%d" % (threading.get_ident(), number)
                uri = "PYRO:%s@%s" % ("Pyro.NameServer", URI(self.uri).location)
                names.register(name, uri, metadata=["soak", "number.%d" % (number % 3)])
                expect(uri, str(names.lookup(name)))
                expect(True, name in names.list(prefix="soak."))
                expect(True, name in names.list(regex=r"soak\.\d+\.\d+"))
                expect(True, name in names.yplookup(meta_all=["soak"]))
                yield
                expect(1, names.remove(name))
                if self.random.random() < DEAD_SHARE:
                    names.register("dead.%d" % self.random.randrange(1000000), "PYRO:gone@127.0.0.1:%d" % DEAD_PORT)


class Rude(Client):
    """Everything that one should not do to a server."""

    pause_seconds = 0.03

    def steps(self) -> Any:
        with rude.Crowd(URI(self.uri)) as crowd:
            for _ in range(50):
                self.random.choice(rude.WAYS)(crowd)
                yield


DEAD_PORT = free_port()


class Kind(NamedTuple):
    """What the threads of a process are, by the server that each of them has."""

    on_servers: Any = None
    on_names: Any = None


KINDS: Dict[str, Kind] = {
    "timing": Kind(Timed, TimedLookup), "calls": Kind(Caller), "streams": Kind(Streamer), "visits": Kind(Visitor),
    "bulk": Kind(Bulk), "names": Kind(None, NameUser), "rude": Kind(Rude, Rude)}


def make_clients(kind: str, uris: Dict[str, str], meter: Meter) -> List[Client]:
    classes = {"thread": KINDS[kind].on_servers, "multiplex": KINDS[kind].on_servers, "names": KINDS[kind].on_names}
    return [classes[where](where, uri, meter, seed) for seed, (where, uri) in enumerate(uris.items()) if classes[where]]


def main(kind: str, seconds: float, uris: Dict[str, str]) -> None:
    meter, stop = Meter(), threading.Event()
    ended: queue.Queue[str] = queue.Queue()
    jobs: List[Callable[[], Any]] = [lambda one=each: one.run(stop)  # type: ignore[misc]
                                     for each in make_clients(kind, uris, meter)]
    jobs.append(lambda: ended.put(sys.stdin.read()))  # the process that started this one closes it at the end, or is gone
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    while not stop.is_set():
        with contextlib.suppress(queue.Empty):
            ended.get(timeout=seconds)
            stop.set()
        print(json.dumps(meter.take()), flush=True)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, errors.ConnectionClosedError):
        main(sys.argv[1], float(sys.argv[2]), dict(zip(("thread", "multiplex", "names"), sys.argv[3:])))
