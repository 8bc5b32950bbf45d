"""What is measured: every case is a function that works for so many seconds, and tells how many things it did per second.

The value that comes back is checked before the clock runs.
"""
from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import serpent

from Pyro5 import api
from Pyro5.callcontext import current_context

from . import workload
from .timing import measured, rate, rate_of_threads

BATCHED_CALLS = 200
ENDLESS = 10 ** 12
ONEWAY_BURST = 1000
THREADS = 8
TOLD_SECONDS = 0.25
# the setting that makes streams fetch several items per round trip, where Pyro5 has it
STREAM_SETTING = "ITER_STREAM_BATCH"
STREAM_ITEMS = 100
ASYNCIO_CLIENT = "Pyro5.aio"  # where Pyro5 has it
CALLS_IN_FLIGHT = 64


class Peer(NamedTuple):
    """An object, the serializer to call it with, and a proxy that is connected to it."""

    uri: str
    serializer: str
    proxy: Any


Case = Callable[[Peer, float], float]


def connect(uri: str, serializer: str) -> Any:
    """Return a connected proxy."""
    proxy = api.Proxy(uri)
    proxy._pyroSerializer = serializer
    proxy._pyroBind()
    return proxy


def expect(wanted: Any, got: Any) -> None:
    if wanted != got:
        raise ValueError("the server answered something else: %.80r" % (got,))


def nothing(peer: Peer, seconds: float) -> float:
    expect(None, peer.proxy.nothing())
    return rate(peer.proxy.nothing, seconds)


def add(peer: Peer, seconds: float) -> float:
    expect(workload.SUM, peer.proxy.add(*workload.SUMMANDS))
    return rate(lambda: peer.proxy.add(20, 22), seconds)


def echo(value: Any) -> Case:
    """Make a case that sends a value to and fro."""
    def case(peer: Peer, seconds: float) -> float:
        got = peer.proxy.echo(value)
        # serpent sends bytes as a dict with base 64 text in it
        expect(value, serpent.tobytes(got) if isinstance(got, dict) and isinstance(value, bytes) else got)
        return rate(lambda: peer.proxy.echo(value), seconds)
    return case


def batch(peer: Peer, seconds: float) -> float:
    def action() -> List[Any]:
        calls = api.BatchProxy(peer.proxy)
        for number in range(BATCHED_CALLS):
            calls.add(number, 1)
        return list(calls() or ())
    expect(list(range(1, BATCHED_CALLS + 1)), action())
    return rate(action, seconds, BATCHED_CALLS)


def tell_in_bursts(peer: Peer, seconds: float, clock_waits: bool) -> float:
    """Make oneway calls in bursts, waiting after each until the server has run all; the clock may stop while it waits."""
    clock = time.perf_counter
    told = peer.proxy.told(0, 0)
    count, elapsed = 0, 0.0
    while elapsed < seconds:
        started = clock()
        for number in range(ONEWAY_BURST):
            peer.proxy.tell(number)
        sent = clock()
        count += ONEWAY_BURST
        while peer.proxy.told(told + count, TOLD_SECONDS) < told + count:
            pass
        elapsed += (clock() if clock_waits else sent) - started
    return count / elapsed


def oneway(peer: Peer, seconds: float) -> float:
    return tell_in_bursts(peer, seconds, clock_waits=True)


def oneway_sent(peer: Peer, seconds: float) -> float:
    return tell_in_bursts(peer, seconds, clock_waits=False)


def stream(peer: Peer, seconds: float) -> float:
    items = peer.proxy.numbers(ENDLESS)
    expect(0, next(items))
    try:
        return rate(lambda: next(items), seconds)
    finally:
        items.close()


def stream_in_groups(peer: Peer, seconds: float) -> float:
    setattr(api.config, STREAM_SETTING, STREAM_ITEMS)
    try:
        return stream(peer, seconds)
    finally:
        api.config.reset()


def visit(peer: Peer, seconds: float) -> float:
    """Connect, call, release."""
    def action() -> None:
        with api.Proxy(peer.uri) as proxy:
            proxy._pyroSerializer = peer.serializer
            proxy.nothing()
    action()
    return rate(action, seconds)


def library_alone(peer: Peer, seconds: float) -> float:
    """Write and read with the serpent library what an echo of the records has to, on both sides; no server is asked."""
    def action() -> None:
        for _ in range(2):
            serpent.loads(serpent.dumps(workload.RECORDS))
    return rate(action, seconds)


def threads(number: int, is_shared: bool = False) -> Case:
    """Return a case in which threads call at once, each with a proxy of its own, or all with the same one; the calls of all
    are counted together.
    """
    def case(peer: Peer, seconds: float) -> float:
        @contextlib.contextmanager
        def connected() -> Iterator[Callable[[], Any]]:
            with connect(peer.uri, peer.serializer) as own:
                yield own.nothing

        if not is_shared:
            return rate_of_threads(number, connected, seconds)
        with connect(peer.uri, peer.serializer) as proxy:
            return rate_of_threads(number, lambda: contextlib.nullcontext(proxy.nothing), seconds)
    return case


def in_flight(peer: Peer, seconds: float, new_event_loop: Any = asyncio.new_event_loop) -> float:
    """Keep CALLS_IN_FLIGHT calls in flight on one connection, from as many tasks."""
    aio: Any = importlib.import_module(ASYNCIO_CLIENT)

    async def caller(proxy: Any, deadline: float) -> int:
        count, clock = 0, time.perf_counter
        while not count or clock() < deadline:
            await proxy.add(20, 22)
            count += 1
        return count

    async def measure() -> float:
        async with aio.Proxy(peer.uri, serializer=peer.serializer) as proxy:
            expect(workload.SUM, await proxy.add(*workload.SUMMANDS))
            with measured():
                started = time.perf_counter()
                counts = await asyncio.gather(*[caller(proxy, started + seconds) for _ in range(CALLS_IN_FLIGHT)])
                elapsed = time.perf_counter() - started
            return float(sum(counts) / elapsed)

    loop = new_event_loop()
    try:
        return float(loop.run_until_complete(measure()))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def in_flight_uvloop(peer: Peer, seconds: float) -> float:
    """Do the same as in_flight() in the event loop of uvloop."""
    return in_flight(peer, seconds, importlib.import_module("uvloop").new_event_loop)


def annotated(peer: Peer, seconds: float) -> float:
    """Send a large annotation each way."""
    current_context.annotations = {workload.ANNOTATION_ID: workload.blob(workload.ANNOTATION_BYTES)}
    try:
        expect(workload.ANNOTATION_BYTES, peer.proxy.annotated())
        expect(workload.ANNOTATION_BYTES, len(current_context.response_annotations[workload.ANNOTATION_ID]))
        return rate(peer.proxy.annotated, seconds)
    finally:
        current_context.annotations = {}


def array_case(method: str, shared: bool) -> Case:
    """Make a case that sends a numpy array, over a connection of its own."""
    def case(peer: Peer, seconds: float) -> float:
        numpy = importlib.import_module("numpy")
        api.register_types("numpy")
        value = numpy.arange(workload.LARGE_BLOB_BYTES // 8, dtype="<f8")
        before, api.config.SHARED_MEMORY = api.config.SHARED_MEMORY, shared
        try:
            proxy = connect(peer.uri, peer.serializer)
        finally:
            api.config.SHARED_MEMORY = before
        with proxy:
            call = getattr(proxy, method)
            call(value)  # the first one prepares the memory
            got = call(value)
            expect(True, bool((got == value).all()) if method == "echo" else got == value.nbytes)
            return rate(lambda: call(value), seconds)
    return case


CASES: Dict[str, Case] = {
    "nothing": nothing,
    "add": add,
    "record": echo(workload.RECORD),
    "records": echo(workload.RECORDS),
    "text": echo("x" * workload.TEXT_CHARACTERS),
    "blob": echo(workload.blob(workload.BLOB_BYTES)),
    "large": echo(workload.blob(workload.LARGE_BLOB_BYTES)),
    "batch": batch,
    "oneway": oneway,
    "oneway_sent": oneway_sent,
    "stream": stream,
    "visit": visit,
    "one_thread": threads(1),
    "library_alone": library_alone,
    "threads": threads(THREADS),
    "shared": threads(THREADS, is_shared=True),
    "processes": add,
    "annotations": annotated,
}
if hasattr(api, "register_types"):
    api.register_types(workload.Sample)
    CASES["samples"] = echo(workload.SAMPLES)
    CASES["samples_as_dicts"] = echo(workload.SAMPLES_AS_DICTS)
if hasattr(api.config, "SHARED_MEMORY"):
    CASES["array_tcp"] = array_case("echo", shared=False)
    CASES["array_shared"] = array_case("echo", shared=True)
    CASES["array_sent"] = array_case("size", shared=True)
if hasattr(api.config, STREAM_SETTING):
    CASES["stream_in_groups"] = stream_in_groups
if importlib.util.find_spec(ASYNCIO_CLIENT) is not None:
    CASES["in_flight"] = in_flight
    if importlib.util.find_spec("uvloop") is not None:
        CASES["in_flight_uvloop"] = in_flight_uvloop
