"""Base of the server types: one loop that accepts, reads, writes and waits for all clients at once, and never for one.

Every idle connection is registered in the selector.  When a whole request is in, the subclass decides which thread runs
it: it runs it at once (multiplex) or hands the connection to a worker (thread), who gives it back with park().
"""
from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Optional

from .. import errors
from .._net.tls import handshake_refused
from .._wire.reader import RECEIVE_BYTES
from ..socketutil import events_wanted, is_timeout, tls_handshake_step
from . import error_log, quotas
from .acceptor import Entrance
from .callbacks import DaemonCallbacks
from .connection import ServerConnection
from .eventloop import END_SECONDS, READ, WRITE, EventLoop
from .listener import Listener
from .quotas import Limited
from .timeouts import Deadlines

log = logging.getLogger("Pyro5.server.loop")

REFUSAL_SECONDS = 1.0  # how long a refused client may take to read why
MANY_ENDED = 50  # so many connections that have ended may wait until the loop has something else to do
REFUSALS_AT_ONCE = 100  # clients that find the server full, and are told so; when there are more, these are cut off


class SocketServer(Limited, EventLoop):
    """Base of the server types; subclasses say which thread runs a request.

    Everything belongs to the thread that runs the loop, except what says otherwise.

    Attributes:
        sock: the listening socket.
        locationStr: ``host:port``, or ``./u:path`` for a Unix domain socket.
        unreachable_reason: why other machines cannot use that location, if they cannot though they should.
        selector: what the loop waits with; combined servers share one.
    """

    closes_idle = False  # whether COMMTIMEOUT also ends connections that wait between two requests

    sock: Any
    locationStr: str
    unreachable_reason = ""

    def __init__(self, callbacks: DaemonCallbacks) -> None:
        super().__init__()
        self.callbacks = callbacks
        self.handshake_account, self.new_account = quotas.LoopAccount(), quotas.LoopAccount()
        self._connections: Dict[Any, ServerConnection] = {}  # by socket
        self._entrance: Optional[Entrance] = None
        self._refusals = Deadlines(REFUSAL_SECONDS)

    # ------------------------------------------------------------ what the subclasses say

    def serve(self, connection: ServerConnection) -> bool:
        """A request is at hand: run it now and give True, or hand the connection to another thread and give False."""
        raise NotImplementedError

    def end(self, connection: ServerConnection) -> None:
        """A connection has ended: run what belongs to its end (user code among it)."""
        raise NotImplementedError

    def calls_running(self) -> int:
        """How many requests other threads are running now."""
        return 0

    def stop_workers(self, timeout_seconds: float) -> None:
        """End and join the threads, if there are any, but wait no longer than this."""

    # ------------------------------------------------------------ the documented contract

    def init(self, daemon: Any, host: str, port: int, unixsocket: Optional[str] = None) -> None:
        """Bind, and make ready to serve.

        Raises:
            OSError: the address cannot be used; the text names it.
        """
        listener = Listener(host, port, unixsocket)
        self.sock = listener.sock
        self.locationStr = listener.location
        self.unreachable_reason = listener.unreachable_reason
        self.watch_wakeup()
        self._entrance = Entrance(listener, self, self._take_in)
        self._entrance.watch(True)

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Handle what happened on :attr:`sockets`, for a program that runs its own event loop."""
        with self.running():
            if self.stopping:
                return
            again_at = self._accept_again_at()
            if again_at is not None:  # clients wait that cannot be accepted: do not let the program spin
                self._released.wait(max(0.0, again_at - time.monotonic()))
            self.run_once(0)
            for connection in [c for c in self._all() if c.watched and c.has_outgoing]:
                self._flush_aside(connection)

    @property
    def sockets(self) -> List[Any]:
        """The listening socket, those of all clients, and, while one is written to in the background, what tells its end."""
        connections = self._all()
        busy = [] if all(c.watched for c in connections) else [self._wakeup]
        listening = [] if self._entrance is None else [self.sock]
        return listening + [c.sock for c in connections if c.watched] + busy + self._sockets_of_combined()

    def _flush_aside(self, connection: ServerConnection) -> None:
        """A foreign event loop does not wait for writing: let a thread send what the client did not take at once."""
        self.hand_over(connection)
        threading.Thread(target=self._flush_and_park, args=(connection,), name="Pyro-flush", daemon=True).start()

    def _flush_and_park(self, connection: ServerConnection) -> None:
        connection.flush_until(self._poll_seconds, lambda: self.stopping)
        self.park(connection)

    # ------------------------------------------------------------ for the loop

    def tick(self) -> None:
        self.read_settings()
        self.apply_limits()
        self.callbacks.tick()

    def next_due(self) -> Optional[float]:
        if not (self._handshakes or self._silence or self._refusals):
            return self._accept_again_at()
        due_times = (self._handshakes.next_due(), self._silence.next_due(), self._refusals.next_due(), self._accept_again_at())
        return min((t for t in due_times if t is not None), default=None)

    def do_what_is_due(self, now: float) -> None:
        for connection in self._handshakes.take_expired(now):
            self._not_introduced(connection)
        for connection in self._silence.take_expired(now):
            self._silent_for_too_long(connection)
        for connection in self._refusals.take_expired(now):
            self.drop(connection)
        if self._entrance is not None and self._entrance.is_due(now):
            self._make_room()
            self._entrance.watch(True)

    def _accept_again_at(self) -> Optional[float]:
        return None if self._entrance is None else self._entrance.again_at

    def free(self) -> None:
        """Part with the idle clients, let running calls and replies finish for a moment, then close everything."""
        entrance, self._entrance = self._entrance, None  # in this order: no thread finds a closed one in `sockets`
        if entrance is not None:
            entrance.close()
        deadline = time.monotonic() + self._finish_seconds
        self._drop_idle()
        while time.monotonic() < deadline and self._something_under_way():
            self.run_once(0.05)
            self._drop_idle()
        for connection in self._all():
            self.drop(connection)
        while self.parked:  # clients that a foreign event loop has let in just before
            self.drop(self.parked.popleft())
        self.stop_workers(max(END_SECONDS, deadline - time.monotonic()))
        self.callbacks.finish(max(END_SECONDS, deadline - time.monotonic()))

    def _drop_idle(self) -> None:
        for connection in [c for c in self._all() if c.watched == READ and not c.closing]:
            self.drop(connection)

    def let_go(self) -> None:
        for connection in self._all():
            if not connection.keep_open:
                connection.sock.close()
        if self._entrance is not None:
            self.sock.close()
        super().let_go()

    def _something_under_way(self) -> bool:
        return self.calls_running() > 0 or any(c.has_outgoing or c.suspended_batch for c in self._all())

    # ------------------------------------------------------------ accepting

    def _take_in(self, sock: Any) -> None:
        self._attempt(self.adopt, ServerConnection.accepted(sock, self))

    def _all(self) -> List[ServerConnection]:
        """All connections.  A copy: workers may add one meanwhile."""
        return list(self._connections.values())

    def adopt(self, connection: ServerConnection) -> None:
        """Take a new connection in, if there is room."""
        self.apply_limits()
        is_full = self._is_full() and not self._make_room()
        self._connections[connection.sock] = connection
        log.debug("client connected from %s", error_log.client_name(connection))
        if is_full:
            self._watch(connection, READ)
            self._turn_away(connection)
        else:
            self.begin_waiting(connection)

    def _is_full(self) -> bool:
        excess = len(self._connections) - len(self._refusals) - self.limits.connections
        # Those that the loop watches are there. So only the others are looked at: crowds at the door cost little.
        return excess >= 0 and excess >= quotas.count_gone([c for c in self._all() if not c.watched])

    def begin_waiting(self, connection: ServerConnection) -> None:
        """Wait for what a new connection says first."""
        self._watch(connection, READ)
        self._start_waiting(connection)

    def _make_room(self) -> bool:
        """Part with the client that has been waiting longest without introducing itself; tell whether there was one."""
        stranger = self._handshakes.oldest()
        while stranger is not None and not stranger.claim_introduction():  # a worker is about to let it in, or has done so
            self._handshakes.stop(stranger)
            stranger = self._handshakes.oldest()
        if stranger is None:
            return False
        log.info("closing the connection with %s, which has not introduced itself: others want in",
                 error_log.client_name(stranger))
        self.drop(stranger)
        return True

    def _turn_away(self, connection: ServerConnection) -> None:
        if connection.tls_handshake or len(self._refusals) >= REFUSALS_AT_ONCE:
            self.drop(connection)
        else:
            self._refuse(connection, errors.ProtocolError(
                "the server is busy: %d clients are connected, more are not let in" % self.limits.connections))

    # ------------------------------------------------------------ connections

    def _watch(self, connection: ServerConnection, events: int) -> None:
        """Wait for these events of a connection; 0: for none."""
        if connection.watched == events:
            return
        if not connection.watched:
            self.register(connection.sock, events, connection)
        elif events:
            self.selector.modify(connection.sock, events, connection)
        else:
            with contextlib.suppress(KeyError, ValueError):  # somebody has closed the socket behind our back
                self.selector.unregister(connection.sock)
        connection.watched = events

    def connection_ready(self, connection: ServerConnection, events: int) -> None:
        """Go on with a connection whose socket is ready."""
        if connection.watched and not connection.gone:
            self._attempt(self._go_on, connection)

    def _attempt(self, step: Callable[[ServerConnection], None], connection: ServerConnection) -> None:
        """Do something for a connection; whatever goes wrong ends this connection only."""
        try:
            step(connection)
        except errors.ProtocolError as x:
            self._refuse(connection, x)
        except OSError as x:
            log.debug("connection with %s lost: %s", error_log.client_name(connection), x)
            self.drop(connection)
        except Exception:  # border of a request: a fault in here must not end the loop of all the others
            log.exception("connection with %s failed, closing it", error_log.client_name(connection))
            self.drop(connection)
        except GeneratorExit:  # raised by a method: it means nothing here
            self.drop(connection)
        except BaseException:
            self.drop(connection)  # a method raised SystemExit or the like: its client is answered by the close
            raise

    def _go_on(self, connection: ServerConnection) -> None:
        if connection.tls_handshake and not self._tls_handshake_done(connection):
            return
        if connection.has_outgoing:
            if connection.flush():
                self._serve_all(connection)
            else:
                self._silence.start(connection, time.monotonic())
                self._buffered.note(connection)
        elif self._receive(connection):
            self._serve_all(connection)

    def _serve_all(self, connection: ServerConnection) -> None:
        """Serve what has arrived, and what the selector does not see because it is in the TLS layer already."""
        self._serve_what_is_in(connection)
        while connection.watched == READ and connection.has_hidden_bytes() and self._receive(connection):
            self._serve_what_is_in(connection)

    def _tls_handshake_done(self, connection: ServerConnection) -> bool:
        try:
            wanted = tls_handshake_step(connection.sock)
        except OSError as x:
            if not handshake_refused(x):
                raise
            self._tls_refused(connection, x)
            return False
        if wanted:
            self._watch(connection, wanted)
            return False
        connection.tls_handshake = False
        self._watch(connection, READ)
        return True

    def _tls_refused(self, connection: ServerConnection, error: OSError) -> None:
        """One side does not like the other's certificate, or the client talks no TLS: it was told in terms of TLS."""
        log.warning("closing the connection with %s: the TLS handshake failed: %s (does the client use TLS, and do the "
                    "certificates fit?)", error_log.client_name(connection), error)
        connection.tls_handshake = False
        connection.closing = True
        self._end_after_refusal(connection)

    def _receive(self, connection: ServerConnection) -> bool:
        """Receive once; False if nothing came, or the connection ended."""
        if connection in self._refusals:
            if not connection.sock.recv(RECEIVE_BYTES):  # unread data would, at the close, destroy the reply under way
                self.drop(connection)
            return False
        try:
            if connection.receive():
                return True
        except OSError as x:
            wanted = READ if is_timeout(x) else events_wanted(x, READ)
            if not wanted:
                raise
            self._watch(connection, wanted)
            return False
        self.drop(connection)
        return False

    def _serve_what_is_in(self, connection: ServerConnection) -> None:
        """Serve the whole messages that have arrived, in order, as long as the client takes the replies."""
        while not (connection.closing or connection.has_outgoing or connection.oneway_full
                   or self.stopping and not connection.suspended_batch):
            if not connection.fetch_message():
                break
            if not self.serve(connection):
                return
        self._settle(connection)

    def _settle(self, connection: ServerConnection) -> None:
        """Wait for what comes next on a connection: its replies taken, more requests, or its end."""
        if connection.has_outgoing:
            self._watch(connection, WRITE)
        elif connection.closing:
            self._end_after_refusal(connection)
            return
        elif connection.oneway_full and self.callbacks.must_pause(connection):
            self.hand_over(connection)
            return
        else:
            self._watch(connection, READ)
        self._start_waiting(connection)
        if connection.has_outgoing or connection.mid_message:
            self._buffered.note(connection)
            for stalled in self._buffered.take_excess():
                self.drop(stalled)
        else:
            self._buffered.forget(connection)

    def _start_waiting(self, connection: ServerConnection) -> None:
        """Let the time run that the client has for its next step."""
        if connection.handshake_done:
            self._handshakes.stop(connection)
            self._silence.start(connection, time.monotonic())
        elif connection not in self._handshakes:  # a handshake gets no more time because it dribbles
            self._handshakes.start(connection, time.monotonic())

    def hand_over(self, connection: ServerConnection) -> None:
        """Leave a connection to a worker, who gives it back with park()."""
        self._watch(connection, 0)
        self._forget_times(connection)

    def park(self, connection: ServerConnection) -> None:
        """Give a connection back to the loop.  For workers."""
        self.parked.append(connection)
        if not connection.ended or len(self.parked) > MANY_ENDED:
            self._wakeup.wake()

    def take_back(self, connection: ServerConnection) -> None:
        """Go on with a connection that a worker gave back."""
        if connection.gone:
            return
        if connection.sock not in self._connections:
            self._attempt(self.adopt, connection)
        else:
            self._attempt(self._serve_all, connection)

    # ------------------------------------------------------------ ends

    def _refuse(self, connection: ServerConnection, error: errors.ProtocolError) -> None:
        """What a client sent cannot be read: tell it why if that is possible, and part."""
        log.warning("closing the connection with %s: %s", error_log.client_name(connection), error)
        if connection.closing:
            self.drop(connection)  # refused already, and that went wrong too
            return
        connection.closing = True
        self._attempt(lambda refused: self._send_refusal(refused, error), connection)

    def _send_refusal(self, connection: ServerConnection, error: errors.ProtocolError) -> None:
        reply = self.callbacks.build_refusal(connection, error)
        if reply is None:
            self.drop(connection)
            return
        connection.send_message(reply)
        self._settle(connection)

    def _end_after_refusal(self, connection: ServerConnection) -> None:
        """Everything is sent: let the client read it before the connection is closed."""
        if connection.lost or connection.keep_open:
            self.drop(connection)
            return
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(connection)
            return
        self._refusals.start(connection, time.monotonic())
        self._forget_times(connection)
        self._watch(connection, READ)

    def _not_introduced(self, connection: ServerConnection) -> None:
        """The time for the handshake has passed."""
        if connection.watched and (connection.tls_handshake or connection.closing):
            self.drop(connection)
        elif connection.watched:  # else a worker has it
            self._refuse(connection, errors.ProtocolError("no handshake within %g seconds" % self._handshakes.seconds))

    def _silent_for_too_long(self, connection: ServerConnection) -> None:
        """COMMTIMEOUT has passed since a connection was last heard of."""
        if self.closes_idle or connection.mid_message or connection.has_outgoing:
            log.info("closing the connection with %s: silent for %g seconds (COMMTIMEOUT)",
                     error_log.client_name(connection), self._silence.seconds)
            self.drop(connection)

    def drop(self, connection: ServerConnection) -> None:
        """End a connection that the loop owns."""
        if connection.gone or self.in_forked_child():
            return
        connection.gone = True
        self._watch(connection, 0)
        self._forget_times(connection)
        self._refusals.stop(connection)
        self._connections.pop(connection.sock, None)
        if connection.claim_end():
            self.end(connection)

    def _forget_times(self, connection: ServerConnection) -> None:
        self._handshakes.stop(connection)
        self._silence.stop(connection)
        self._buffered.forget(connection)
