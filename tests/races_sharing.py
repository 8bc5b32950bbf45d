"""The races of shared proxies and of the calls that a daemon runs; part of ``tests.races``, with its arguments."""
from __future__ import annotations

import concurrent.futures
import threading
import uuid
from typing import Any, Callable, Dict, List

from Pyro5 import errors
from Pyro5._calls.exclusive import ExclusiveUse
from Pyro5._calls.running_calls import RunningCall, RunningCalls
from Pyro5._client.futures import CallFuture
from Pyro5._client.futures import BackgroundCalls
from Pyro5._client.pool import IdleConnections
from Pyro5._client.retry import RetryBudget
from Pyro5._observe.statistics import Statistics, now
from Pyro5.client import Proxy
from Pyro5.protocol import MSG_INVOKE, ReceivingMessage, SendingMessage

from .peers import settings as changed_settings
from .rawclient import Served, WatchedDaemon
from .support import daemon_thread

InThreads = Callable[[int, Callable[[int, int], None]], None]
THREADS = 8


def check(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def connections(steps: int, in_threads: InThreads) -> None:
    """All threads call over one proxy with fewer connections than threads, which one of them closes. A tenth of the steps."""
    daemon = WatchedDaemon("127.0.0.1")
    daemon.register(Served(), "obj")
    with changed_settings(PROXY_CONNECTIONS=3), daemon_thread(daemon), Proxy(daemon.uriFor("obj")) as shared:
        def step(thread: int, number: int) -> None:
            check(shared.echo([thread, number]) == [thread, number], "the reply to another thread's request")
        in_threads(max(5, steps // 10), step)
        pool = shared._pyro.pool
        check(not pool.waiters, "a thread still waits")
        check(len(pool.connections()) <= 3, "more connections than allowed")
        check(not [each for each in pool.connections() if each.lock.locked()], "a connection was not released")


def idle_connections(steps: int, in_threads: InThreads) -> None:
    """Links are added and discarded while the thread that closes idle connections starts and ends."""
    closed = threading.Event()

    class Link:
        def close_idle(self, idle_before: float) -> bool:
            closed.set()
            return False

    idle = IdleConnections(idle_seconds=0.0)
    kept: List[Link] = []

    def step(thread: int, number: int) -> None:
        link = Link()
        idle.add(link)
        if number % 2:
            idle.discard(link)
        else:
            kept.append(link)
    in_threads(steps, step)
    closed.clear()
    last = Link()
    idle.add(last)
    check(closed.wait(60), "a link is not watched: the thread has ended")


def background_calls(steps: int, in_threads: InThreads) -> None:
    """Each thread submits calls, and cancels some of them while they run."""
    calls = BackgroundCalls()

    def call(future: CallFuture) -> Any:
        return "result"

    def step(thread: int, number: int) -> None:
        future = calls.submit(call, 3)
        was_cancelled = number % 2 and future.cancel()
        try:
            result = future.result(60)
        except concurrent.futures.CancelledError:
            result = None
        check(result == (None if was_cancelled else "result"), "the outcome is not the one that cancel() returned")
    in_threads(max(5, steps // 5), step)


def retry_budget(steps: int, in_threads: InThreads) -> None:
    """No two threads spend the same part of the budget."""
    budget, allowed = RetryBudget(), [0] * THREADS

    def step(thread: int, number: int) -> None:
        allowed[thread] += budget.spend(steps)
    in_threads(steps, step)
    check(sum(allowed) == steps, "%d failures instead of %d were allowed" % (sum(allowed), steps))


def exclusive_use(steps: int, in_threads: InThreads) -> None:
    """At most one connection has acquired an object."""
    exclusive, inside = ExclusiveUse(RunningCalls()), [0]

    def step(thread: int, number: int) -> None:
        try:
            exclusive.acquire("obj", thread)
        except errors.BusyError:
            return
        inside[0] += 1
        check(inside[0] == 1, "two connections have acquired the object")
        exclusive.check("obj", thread, b"")
        inside[0] -= 1
        if number % 3:
            exclusive.release("obj", thread)
        else:
            exclusive.client_gone(thread)
    in_threads(steps, step)
    check(not exclusive.holders, "an object was not released")


class _Connection:
    peer_address = None


def running_calls(steps: int, in_threads: InThreads) -> None:
    """A cancellation that arrives in the moment in which the call begins is not lost."""
    running = RunningCalls()
    ids = [[uuid.uuid4().bytes for _ in range(THREADS // 2)] for _ in range(steps)]
    meeting = [threading.Barrier(2) for _ in range(THREADS // 2)]
    connection = _Connection()

    def step(thread: int, number: int) -> None:
        pair = thread // 2
        correlation_id = ids[number][pair]
        message = SendingMessage(MSG_INVOKE, 0, 1, 1, b"", correlation_id=correlation_id, compress=False, max_size=0)
        meeting[pair].wait(60)
        if thread % 2:
            running.cancel(correlation_id, message.seq)
            meeting[pair].wait(60)
        else:
            call = running.begin(connection, ReceivingMessage(message.data))
            meeting[pair].wait(60)
            check(call.reason, "the cancellation was lost")
            running.end(call)
    in_threads(max(5, steps // 5), step)


def durations(steps: int, in_threads: InThreads) -> None:
    """All threads note calls of one method, and of others that the table has no room for, and one looks at the sums."""
    statistics = Statistics(lambda object_id, method: (object_id, method), 3)
    calls = RunningCalls()
    calls.statistics = statistics

    def step(thread: int, number: int) -> None:
        for method in ("add", "method %d" % (number % 10)):
            call = RunningCall()
            call.object_id, call.method, call.started = "object", method, now()
            call.failed = call.is_special = number % 5 == 0
            calls.end(call)
        if thread == 0:
            check(statistics.rows()["object"]["add"]["calls"] >= number + 1, "a call is missing")
    in_threads(steps, step)
    rows = [row for methods in statistics.rows().values() for row in methods.values()]
    check(sum(row["calls"] for row in rows) == 2 * THREADS * steps, "calls were lost")
    check(sum(row["errors"] for row in rows) == 2 * THREADS * ((steps + 4) // 5), "errors were lost")


RACES: Dict[str, Callable[[int, InThreads], None]] = {
    "connections of a proxy": connections,
    "proxies with several connections": idle_connections,
    "calls in the background": background_calls,
    "failures that a proxy may repeat": retry_budget,
    "objects in exclusive use": exclusive_use,
    "calls that a daemon is running": running_calls,
    "durations of calls": durations,
}
