"""TLS handshakes of a server: one step after the other, shared out between the addresses of the clients.

A step of a handshake may sign something with the server's private key, which takes milliseconds (8 ms with an RSA key of 4096
bits), and costs the client nothing. So these steps wait in a queue of their own. In each of its turns, the loop does one of
them, after all that it can do for connected clients. If another thread can do it, the loop does none itself.
"""
from __future__ import annotations

import logging
import os
from typing import Any, Dict, Optional, Union

from .._calls import error_log
from .._net.stream_sockets import peer_has_closed
from .._net.tls import handshake_refused
from ..socketutil import tls_handshake_step
from .address_queue import AddressQueue, address_key
from .connection import ServerConnection
from .eventloop import READ

log = logging.getLogger("Pyro5.server.loop")

STEP_SECONDS = 0.005  # an estimate of the time of a step, which puts it behind the messages of other new clients
# Steps that run in other threads at the same time: signing does not hold the interpreter's lock, so each may occupy a
# processor. Half of them are left to the clients that are connected.
MAX_IN_THREADS = max(1, (os.cpu_count() or 1) // 2)

# What a step has led to: the event to wait for, 0 if the handshake is complete, or the error that ended it.
Outcome = Union[int, OSError]


def _step(connection: ServerConnection) -> Outcome:
    try:
        return tls_handshake_step(connection.sock)
    except OSError as x:
        return x


def _is_over(connection: ServerConnection) -> bool:
    """Return whether the costly step of a handshake is of no use: its time has passed while it waited for its turn, or the
    client has disconnected, as those of a flood often do.
    """
    if connection.closing:
        return True
    # After that step, what the client has sent before its end is read: an alert that says why it ends the handshake.
    sock: Any = connection.sock
    return not sock.has_sent and bool(peer_has_closed(sock))


class TlsHandshakes:
    """The connections whose TLS handshake can continue. Belongs to the thread of the loop, except where stated otherwise.

    While steps wait for the loop, this object is among the parked connections, as if it were one of them: it has its place in
    the fair order, with the account of the clients that have not finished their handshake.

    Args:
        server: a SocketServer.

    Attributes:
        expected_seconds, loop_seconds, shared_seconds, usual_seconds, waits_at: see FairOrder.
    """

    dropped = True  # at the end, parked connections are dropped; there is nothing to do for this one

    def __init__(self, server: Any) -> None:
        self._server = server
        self.loop_account = server.handshake_account
        self.expected_seconds = STEP_SECONDS
        self.loop_seconds = self.usual_seconds = self.shared_seconds = 0.0
        self.waits_at: Optional[float] = None
        self._queue = AddressQueue()
        self._in_threads: Dict[ServerConnection, Optional[Outcome]] = {}  # each is owned by the thread that does its step
        self._is_parked = False

    def is_in_thread(self, connection: ServerConnection) -> bool:
        """Return whether another thread owns the connection at the moment."""
        return connection in self._in_threads

    def add(self, connection: ServerConnection) -> None:
        """Continue the handshake of a connection, which has become ready, when it is its turn."""
        # Not watched while it waits: otherwise select() would return all of them again and again.
        self._server._watch(connection, 0)
        self._queue.add(connection, address_key(connection.peer_address))
        self._start_steps()

    def discard(self, connection: ServerConnection) -> None:
        """Forget a connection that is closed."""
        self._queue.discard(connection)

    def resume(self) -> None:
        """Do one step. Called by the loop when it is the turn of this object."""
        self._is_parked = False
        if self._queue:
            connection = self._queue.take()
            self._server._attempt(self._do_step, connection)
        self._start_steps()

    def _do_step(self, connection: ServerConnection) -> None:
        if _is_over(connection):
            self._server.drop(connection)
        else:
            self._finish_step(connection, _step(connection))

    def _start_steps(self) -> None:
        """Start the next steps in other threads; without any, the loop has to continue in its next turn."""
        while self._queue and len(self._in_threads) < MAX_IN_THREADS:
            if not self._server.has_thread_for_tls():
                break
            connection = self._queue.take()
            if _is_over(connection):
                self._server.drop(connection)
                continue
            self._in_threads[connection] = None
            try:
                self._server.run_in_thread(self._do_step_in_thread, connection)
            except RuntimeError:  # the system cannot start a thread
                del self._in_threads[connection]
                self._server._attempt(self._do_step, connection)
                break
        # With steps in threads, the loop is woken when they are done.
        if self._queue and not self._in_threads and not self._is_parked:
            self._is_parked = True
            self._server.parked.append(self)

    def _do_step_in_thread(self, connection: ServerConnection) -> None:
        """Do a step for a connection, which this thread owns, and return it to the loop. Called in another thread."""
        # The key is there until the loop removes it, so the dict keeps its size: other threads may iterate over it.
        self._in_threads[connection] = _step(connection)
        self._server.park(connection)

    def finish_in_thread(self, connection: ServerConnection) -> None:
        """Continue with a connection that a thread has returned."""
        outcome = self._in_threads.pop(connection)
        self._start_steps()
        if outcome is not None and not connection.dropped:
            self._server._attempt(lambda returned: self._finish_step(returned, outcome), connection)

    def _finish_step(self, connection: ServerConnection, outcome: Outcome) -> None:
        if connection.closing:
            self._server.drop(connection)
        elif isinstance(outcome, OSError):
            self._fail(connection, outcome)
        elif outcome:
            self._server._watch(connection, outcome)
        else:
            # From here on it is a connection like any other; its handshake timeout goes on.
            connection.tls_handshake = False
            self._server._watch(connection, READ)
            # The first message may have arrived together with the end of the handshake.
            self._server.connection_ready(connection, READ)

    def _fail(self, connection: ServerConnection, error: OSError) -> None:
        """Close a connection whose TLS handshake failed. The client has been told by TLS itself."""
        if not handshake_refused(error):
            raise error
        log.warning("closing the connection with %s: the TLS handshake failed: %s (does the client use TLS, and do the "
                    "certificates fit?)", error_log.client_name(connection), error)
        connection.tls_handshake = False
        connection.closing = True
        self._server._end_after_refusal(connection)
