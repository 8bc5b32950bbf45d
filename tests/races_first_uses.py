"""The races of what is created when it is first used, and of item streams that end in any thread; part of ``tests.races``,
with its arguments.
"""
from __future__ import annotations

import contextvars
import socket
import threading
from typing import Any, Callable, Dict, List

from Pyro5._calls.running_calls import RunningCalls
from Pyro5._client.connection import Connection
from Pyro5._client.link import Link
from Pyro5._values import exceptions
from Pyro5._values.uri import URI
from Pyro5.protocol import MSG_INVOKE, ReceivingMessage, SendingMessage
from Pyro5.socketutil import SocketConnection

InThreads = Callable[[int, Callable[[int, int], None]], None]


def check(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


class _Resource:
    """Counts how often it is closed."""

    def __init__(self) -> None:
        self.closings: List[int] = []  # appending is atomic, a count would not be

    def close(self) -> None:
        self.closings.append(threading.get_ident())


def tracked_resources(steps: int, in_threads: InThreads) -> None:
    """Each connection is closed while all threads track resources in it, after its first ones. A tenth of the steps."""
    count = max(5, steps // 10)
    pairs = [socket.socketpair() for _ in range(count)]
    connections = [SocketConnection(sock) for sock, _ in pairs]
    resources: List[List[_Resource]] = [[] for _ in connections]
    tracking = [threading.Barrier(8) for _ in connections]

    def step(thread: int, number: int) -> None:
        connection, first = connections[number], _Resource()
        resources[number].append(first)
        tracking[number].wait(60)
        connection.tracked_resources.add(first)
        tracking[number].wait(60)
        if thread < 2:
            connection.close()
        else:
            connection.tracked_resources.add(_Resource())  # too late, or just not

    try:
        in_threads(count, step)
        for number, those in enumerate(resources):
            check([1] * 8 == [len(each.closings) for each in those], "resources of %d were not closed once" % number)
    finally:
        for _, other in pairs:
            other.close()


def parts_of_a_proxy(steps: int, in_threads: InThreads) -> None:
    """All threads ask for what a proxy creates when it is first used."""
    links = [Link(URI("PYRO:obj@127.0.0.1:1")) for _ in range(steps)]
    found: List[List[Any]] = [[] for _ in links]

    def step(thread: int, number: int) -> None:
        found[number].append((links[number].background, links[number].retry_budget))
    in_threads(steps, step)
    check(all(len(set(each)) == 1 for each in found), "threads of one proxy got different objects")


def events_of_a_call(steps: int, in_threads: InThreads) -> None:
    """Threads of one method ask for the event of their call, set when one of them cancels it. A tenth of the steps."""
    count = max(5, steps // 10)
    running = RunningCalls()
    ours, theirs = socket.socketpair()
    connection: Any = SocketConnection(ours, keep_open=True)
    connection.peer_address = None
    request = SendingMessage(MSG_INVOKE, 0, 1, 1, b"", compress=False, max_size=0)
    # in a context of their own: each becomes the running call of the current context
    calls = [contextvars.copy_context().run(running.begin, connection, ReceivingMessage(request.data)) for _ in range(count)]
    found: List[List[Any]] = [[] for _ in calls]

    def step(thread: int, number: int) -> None:
        found[number].append(calls[number].cancelled)
        if thread == 0:
            calls[number].cancel("the test says so")
    try:
        in_threads(count, step)
        check(all(len(set(each)) == 1 for each in found), "threads of one call got different events")
        check(all(each[0].wait(0) for each in found), "an event was not set")
    finally:
        for call in calls:
            running.watcher.forget(call)
        running.watcher.stop()
        ours.close()
        theirs.close()


def streams_of_a_proxy(steps: int, in_threads: InThreads) -> None:
    """Item streams of one connection are opened and ended in all threads, and closed with the next request."""
    link = Link(URI("PYRO:obj@127.0.0.1:1"))
    ours, theirs = socket.socketpair()
    with theirs:
        connection = Connection(ours, "of the test")

        def step(thread: int, number: int) -> None:
            stream_id = "%d.%d" % (thread, number)
            link.stream_homes[stream_id] = connection
            connection.streams.add(stream_id)
            link.abandoned_streams.append(stream_id)
            link._close_abandoned_streams(_Refusing())
            link.forget_stream(stream_id)
        in_threads(steps, step)
        connection.close()
    check(not connection.streams and not link.stream_homes, "a stream is left")


class _Refusing:
    """A connection that discards the requests to close a stream."""

    mid_exchange = False

    def send_if_ready(self, request: Any) -> bool:
        return True


def names_of_exceptions(steps: int, in_threads: InThreads) -> None:
    """Exception classes are registered and removed in all threads, while exceptions are sent."""
    classes: List[Any] = [type("Problem%d" % number, (Exception,), {}) for number in range(8)]
    names = ["problem %d" % number for number in range(8)]

    def step(thread: int, number: int) -> None:
        exceptions.set_wire_name(classes[thread], names[thread])
        sent = [exceptions.exception_to_dict(clazz(), tagged=True)["__class__"] for clazz in classes]
        check(sent[thread] == names[thread], "the name of a registered class was lost")
        exceptions.set_wire_name(classes[thread], None)
        sent = [exceptions.exception_to_dict(clazz(), tagged=True)["__class__"] for clazz in classes]
        check(sent[thread] != names[thread], "the name of a class stayed after its removal")
    in_threads(steps, step)


# By the rows of the table in docs/architecture.md.
RACES: Dict[str, Callable[[int, InThreads], None]] = {
    "resources that a connection tracks": tracked_resources,
    "parts of a proxy that are created when needed": parts_of_a_proxy,
    "the event of a cancelled call": events_of_a_call,
    "item streams of a connection of a proxy": streams_of_a_proxy,
    "names of registered exceptions": names_of_exceptions,
}
