"""How something is measured: repeated for a while, by one thread or by several, with the processor time of both sides."""
from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Tuple

MICRO = 1e6


def rate(action: Callable[[], Any], seconds: float, units: int = 1) -> float:
    """Repeat an action for this time, at least once; return the units per second, when each repetition has so many."""
    with measured():
        started = time.perf_counter()
        count, ended = repeat(action, started + seconds)
    return count * units / (ended - started)


def repeat(action: Callable[[], Any], deadline: float) -> Tuple[int, float]:
    """Repeat an action until the deadline, at least once; return how often, and when it ended."""
    clock = time.perf_counter
    action()
    count, now = 1, clock()
    while now < deadline:
        action()
        count += 1
        now = clock()
    return count, now


def rate_of_threads(number: int, connected: Callable[[], ContextManager[Callable[[], Any]]], seconds: float) -> float:
    """Repeat actions in several threads at once; return the repetitions of all together per second.

    Args:
        connected: called in each thread; its result is entered to get the action, and left when the thread ends.
    """
    done: List[Tuple[int, float]] = []
    started: List[float] = []
    # Of all threads and this one: when all are connected, when they begin, when they end, and before they close.
    step = threading.Barrier(number + 1)

    def caller() -> None:
        try:
            with connected() as action:
                action()
                step.wait()
                step.wait()
                done.append(repeat(action, started[0] + seconds))
                step.wait()
                step.wait()
        except BaseException:
            step.abort()
            raise
    callers = [threading.Thread(target=caller) for _ in range(number)]
    for thread in callers:
        thread.start()
    # A thread that fails ends the waiting of all others.
    with contextlib.suppress(threading.BrokenBarrierError):
        step.wait()
        with measured():
            started.append(time.perf_counter())
            step.wait()
            step.wait()
        step.wait()
    for thread in callers:
        thread.join()
    if len(done) < number:
        raise ValueError("a thread has failed")
    return sum(count for count, _ in done) / (max(ended for _, ended in done) - started[0])


class Meter:
    """Counts the time, and the processor time of both sides, from `begin` to `end`.

    Args:
        server_seconds: return the processor time of the server's process.
    """

    def __init__(self, server_seconds: Callable[[], float]) -> None:
        self._server_seconds = server_seconds
        self._began: Tuple[float, float, float] = (0.0, 0.0, 0.0)
        self.passed: Tuple[float, float, float] = (0.0, 0.0, 0.0)  # time, of the client, of the server
        self.has_ended = False

    def begin(self) -> None:
        server = self._server_seconds()
        self._began = time.perf_counter(), time.process_time(), server

    def end(self) -> None:
        elapsed, client = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        self.passed = elapsed, client, self._server_seconds() - self._began[2]
        self.has_ended = True


_meters: List[Meter] = []   # that of the measurement


@contextlib.contextmanager
def measured() -> Iterator[None]:
    """Count the processor time of this block, instead of that of the whole measurement: without that of connecting."""
    for meter in _meters:
        meter.begin()
    yield
    for meter in _meters:
        meter.end()


def with_processor_time(measure: Callable[[], float], server_seconds: Callable[[], float]) -> Dict[str, float]:
    """Measure a rate; return it with the microseconds of processor time that each unit took on both sides.

    Args:
        server_seconds: return the processor time of the server's process.
    """
    meter = Meter(server_seconds)
    meter.begin()
    _meters.append(meter)
    try:
        units = measure()
    finally:
        _meters.clear()
    if not meter.has_ended:
        meter.end()
    elapsed, client, server = meter.passed
    each = MICRO / elapsed / units if units else 0.0
    return {"rate": units, "client_us": client * each, "server_us": server * each}
