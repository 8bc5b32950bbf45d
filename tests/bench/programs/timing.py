"""How something is measured: repeated for a while, by one thread or by several, with the processor time of both sides."""
from __future__ import annotations

import threading
import time
from typing import Any, Callable, ContextManager, Dict, List, Tuple

MICRO = 1e6


def rate(action: Callable[[], Any], seconds: float, units: int = 1) -> float:
    """Repeat an action for this time, at least once; return the units per second, when each repetition has so many."""
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
    ready = threading.Barrier(number, lambda: started.append(time.perf_counter()))

    def caller() -> None:
        try:
            with connected() as action:
                action()
                ready.wait()
                done.append(repeat(action, started[0] + seconds))
        except BaseException:
            ready.abort()
            raise
    callers = [threading.Thread(target=caller) for _ in range(number)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    if len(done) < number:
        raise ValueError("a thread has failed")
    return sum(count for count, _ in done) / (max(ended for _, ended in done) - started[0])


def with_processor_time(measure: Callable[[], float], server_seconds: Callable[[], float]) -> Dict[str, float]:
    """Measure a rate; return it with the microseconds of processor time that each unit took on both sides.

    Args:
        server_seconds: return the processor time of the server's process.
    """
    server, client, started = server_seconds(), time.process_time(), time.perf_counter()
    units = measure()
    elapsed, client = time.perf_counter() - started, time.process_time() - client
    server = server_seconds() - server
    each = MICRO / elapsed / units if units else 0.0
    return {"rate": units, "client_us": client * each, "server_us": server * each}
