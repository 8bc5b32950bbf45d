"""Races for the output of connections: replies that are held, and replies that several threads send over one connection."""
from __future__ import annotations

import socket
import threading
from typing import Any, Callable, Dict, List
from unittest import mock

from Pyro5._server import shared_output as flushing
from Pyro5._server.connection import ServerConnection
from Pyro5.protocol import MSG_RESULT, SendingMessage
from Pyro5.server import Daemon

from .rawclient import PATIENCE_SECONDS, RawClient, Served, call_request, connected_to
from .support import daemon_thread

BURST = 10  # requests that are sent together
InThreads = Callable[[int, Callable[[int, int], None]], None]


class _Server:
    """Notes which connections the loop has to look at."""

    def __init__(self) -> None:
        self.noticed: List[Any] = []

    def notice(self, connection: Any) -> None:
        self.noticed.append(connection)


def held_replies(steps: int, in_threads: InThreads) -> None:
    """Each thread sends requests in bursts, and the replies that are held are sent by another thread all the time. Takes a
    tenth of the steps.
    """
    daemon = Daemon("127.0.0.1")
    daemon.register(Served(), "obj")
    clients: Dict[int, RawClient] = {}

    def step(thread: int, number: int) -> None:
        if thread not in clients:
            clients[thread] = RawClient(connected_to(daemon)).greet()
        client = clients[thread]
        values = [[thread, number, each] for each in range(BURST)]
        client.send(b"".join([call_request("echo", value) for value in values]))
        if [client.reply() for _ in values] != values:
            raise AssertionError("other replies, or another order")

    with mock.patch.object(flushing, "HOLD_SECONDS", 0.0), daemon_thread(daemon):
        try:
            in_threads(max(3, steps // 10), step)
        finally:
            for client in clients.values():
                client.close()


def shared_output(steps: int, in_threads: InThreads) -> None:
    """All threads send over one connection, and it is flushed at the same time."""
    ours, theirs = socket.socketpair()
    server = _Server()
    with ours, RawClient(theirs) as peer:
        ours.setblocking(False)
        connection = ServerConnection(ours, server, 0, handshake_done=True)
        connection.is_shared = True
        received: List[Any] = []

        def read() -> None:
            message = peer.read()
            while message is not None:
                received.append((message.seq, int(bytes(message.data).split(b" ")[0])))
                message = peer.read()

        def step(thread: int, number: int) -> None:
            payload = b"%d %s" % (number, b"x" * (5000 if number % 7 == 0 else 5))
            connection.finish_detached(mock.sentinel.call, SendingMessage(MSG_RESULT, 0, thread, 1, payload))
            connection.flush_detached()
            if server.noticed:
                connection.flush()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            in_threads(steps, step)
            connection.flush_until(PATIENCE_SECONDS, lambda: False)
        finally:
            ours.shutdown(socket.SHUT_WR)
            reader.join(PATIENCE_SECONDS)
    for thread in {thread for thread, _ in received}:
        if [number for each, number in received if each == thread] != list(range(steps)):
            raise AssertionError("replies of a thread were lost, or came in another order")
    if len({thread for thread, _ in received}) * steps != len(received) or not received:
        raise AssertionError("replies were lost")


RACES = {
    "output of a connection": shared_output,
    "connections with replies that are held": held_replies,
}
