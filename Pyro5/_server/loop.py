"""Base class of the server types: one loop accepts, reads, writes and waits for all clients, and never blocks on one of them.

Every idle connection is registered in the selector. When a complete request has been received, the subclass decides
which thread runs it: the loop itself (multiplex), or a worker (thread), which returns the connection with park().
"""
from __future__ import annotations

import logging
import socket
import time
from typing import Any, Callable, List, Optional

from .. import errors
from .._calls import error_log
from .._wire.reader import RECEIVE_BYTES
from ..socketutil import events_wanted, is_timeout
from . import quotas
from .acceptor import Acceptor
from .callbacks import DaemonCallbacks
from .connection import ServerConnection
from .eventloop import END_SECONDS, NEVER, READ, WRITE
from .listener import Listener
from .quotas import Limited
from .shared_output import SharedOutputLoop
from .tls_handshakes import TlsHandshakes

log = logging.getLogger("Pyro5.server.loop")


class SocketServer(Limited, SharedOutputLoop):
    """Base class of the server types; subclasses decide which thread runs a request.

    Everything belongs to the thread that runs the loop, unless stated otherwise.

    Attributes:
        sock: the listening socket.
        locationStr: ``host:port``, or ``./u:path`` for a Unix domain socket.
        unreachable_reason: why other machines cannot use that location; empty if they can, or are not meant to.
        selector: waits for the sockets; combined servers share one.
    """

    detached_pool: Any = None  # the threads for concurrent methods that are not async
    closes_idle = False  # whether COMMTIMEOUT also closes connections that are idle between two requests

    sock: Any
    locationStr: str
    unreachable_reason = ""

    def __init__(self, callbacks: DaemonCallbacks) -> None:
        super().__init__()
        self.callbacks = callbacks
        self.handshake_account, self.new_account = quotas.LoopAccount(), quotas.LoopAccount()
        self._acceptor: Optional[Acceptor] = None
        self._tls = TlsHandshakes(self)

    # ------------------------------------------------------------ methods for subclasses to override

    def serve(self, connection: ServerConnection) -> bool:
        """Run the received request and return True, or hand the connection to another thread and return False."""
        raise NotImplementedError

    def end(self, connection: ServerConnection) -> None:
        """Free what belongs to a connection that has ended. May run user code."""
        raise NotImplementedError

    def calls_running(self) -> int:
        """Return the number of requests that other threads are running."""
        return 0

    def in_worker(self) -> bool:
        return self.callbacks.in_async_loop()

    def has_thread_for_tls(self) -> bool:
        """Return whether a thread is free for a step of a TLS handshake, see run_in_thread()."""
        return False

    def run_in_thread(self, job: Callable[[ServerConnection], None], connection: ServerConnection) -> None:
        """Call the job with the connection in another thread. Raises RuntimeError if none can be started."""
        raise RuntimeError("this server has no threads")

    def stop_workers(self, timeout_seconds: float) -> None:
        """End and join the threads, if there are any, but wait at most this long."""

    # ------------------------------------------------------------ the documented contract

    def init(self, daemon: Any, host: str, port: int, unixsocket: Optional[str] = None) -> None:
        """Start listening, and prepare to serve.

        Raises:
            OSError: cannot listen on that address; the text names it.
        """
        self.serve_listener(Listener(host, port, unixsocket), Acceptor)

    def serve_listener(self, listener: Listener, make_acceptor: Callable[..., Acceptor]) -> None:
        """Accept clients on a listening socket, and prepare to serve them."""
        self.sock = listener.sock
        self.locationStr = listener.location
        self.unreachable_reason = listener.unreachable_reason
        # The wake-up first: shutdown() may be called as soon as the first client is accepted.
        self.watch_wakeup()
        self._acceptor = make_acceptor(listener, self, self._add_accepted)
        self._acceptor.watch(True)

    @property
    def sockets(self) -> List[Any]:
        """The listening socket, those of clients, and, while a thread is writing, the wake-up that reports its end."""
        connections = self.all_connections()
        busy = [] if all(c.watched for c in connections) else [self._wakeup]
        listening = [] if self._acceptor is None else [self.sock]
        return listening + [c.sock for c in connections if c.watched] + busy + self._sockets_of_combined()

    # ------------------------------------------------------------ called by the loop

    def tick(self) -> None:
        self.read_settings()
        self.apply_limits()
        self.next_deadline()
        self.callbacks.tick()

    def next_deadline(self) -> float:
        deadlines = (self._handshakes.next_deadline(), self._idle_deadlines.next_deadline(),
                     self._refusals.next_deadline(), self._accept_retry_at())
        self.earliest_deadline = due = min((t for t in deadlines if t is not None), default=NEVER)
        return due

    def handle_expired(self, now: float) -> None:
        for connection in self._handshakes.pop_expired(now):
            self._handshake_timed_out(connection)
        for connection in self._idle_deadlines.pop_expired(now):
            self._idle_timed_out(connection)
        for connection in self._refusals.pop_expired(now):
            self.drop(connection)
        if self._acceptor is not None and self._acceptor.is_retry_due(now):
            # Closing a connection without a handshake frees a descriptor for a client that will send one.
            if self._acceptor.is_out_of_resources():
                self._make_room()
            self._acceptor.resume()

    def _accept_retry_at(self) -> Optional[float]:
        return None if self._acceptor is None else self._acceptor.retry_at

    def free(self) -> None:
        """Close idle connections, give running calls and replies a moment to finish, then close everything."""
        acceptor, self._acceptor = self._acceptor, None  # first, so that `sockets` never has a closed one
        if acceptor is not None:
            acceptor.close()
        deadline = time.monotonic() + self._finish_seconds
        self._drop_idle()
        # Connections that workers return, and unsent replies, are still handled by the loop meanwhile.
        while time.monotonic() < deadline and self._is_busy():
            self.run_once(0.05)
            self._drop_idle()
        for connection in self.all_connections():
            connection.cancel_deferred()
            self.drop(connection)
        self.reply_flusher.stop()
        while self.parked:  # accepted by a program with its own event loop just before
            self.drop(self.parked.popleft())
        self.stop_workers(max(END_SECONDS, deadline - time.monotonic()))
        self.callbacks.finish(max(END_SECONDS, deadline - time.monotonic()))

    def _drop_idle(self) -> None:
        for connection in [c for c in self.all_connections() if c.watched == READ and not (c.closing or c.detached)]:
            # A detached call that has just ended may have left its reply.
            if connection.sends_all_held():
                self.drop(connection)
            else:
                self.notice(connection)

    def close_in_child(self) -> None:
        for connection in self.all_connections():
            if not connection.keep_open:
                connection.sock.close()
        if self._acceptor is not None:
            self.sock.close()
        super().close_in_child()

    def _is_busy(self) -> bool:
        return self.calls_running() > 0 or any(
            c.outgoing or c.suspended_batch or c.deferred or c.detached for c in self.all_connections())

    # ------------------------------------------------------------ accepting

    def _add_accepted(self, sock: Any) -> None:
        self._attempt(self.add_connection, ServerConnection.accepted(sock, self))

    def add_connection(self, connection: ServerConnection) -> None:
        """Add a new connection, or refuse it if the server is full."""
        self.apply_limits()
        is_full = self._is_full() and not self._make_room()
        self._connections[connection.sock] = connection
        self._count_changed()
        log.debug("client connected from %s", error_log.client_name(connection))
        if is_full:
            self._watch(connection, READ)
            self._refuse_full(connection)
        else:
            self.begin_waiting(connection)

    def _count_changed(self) -> None:
        if self._acceptor is not None:
            self._acceptor.count_changed(len(self._connections))

    def begin_waiting(self, connection: ServerConnection) -> None:
        """Wait for the handshake of a new connection."""
        self._watch(connection, READ)
        self._start_timeout(connection)

    def _is_in_thread(self, connection: ServerConnection) -> bool:
        return self._tls.is_in_thread(connection)

    # ------------------------------------------------------------ connections

    def _watch(self, connection: ServerConnection, events: int) -> None:
        """Make the loop wait for these events of a connection; 0: for none."""
        if connection.watched == events:  # most calls change nothing, and every change is a system call (epoll_ctl)
            return
        if not connection.watched:
            self.register(connection.sock, events, connection)
        elif events:
            self.selector.modify(connection.sock, events, connection)
        else:
            try:
                self.selector.unregister(connection.sock)
            except (KeyError, ValueError):
                pass  # the program has closed the socket itself
        connection.watched = events

    def connection_ready(self, connection: ServerConnection, events: int) -> None:
        """Continue with a connection whose socket is ready."""
        # Another event of the same select() may have handed it to a worker, or dropped it.
        if not connection.watched or connection.dropped:
            return
        try:
            if connection.tls_handshake:
                self._tls.add(connection)
            elif connection.outgoing:  # back-pressure: while replies are unsent, no further request of this client is read
                self._flush(connection)
            elif self._receive(connection):
                (self._serve_all if connection.has_tls else self.serve_received)(connection)
        except BaseException as x:
            if self.end_failed(connection, x):
                raise

    def _attempt(self, step: Callable[[ServerConnection], None], connection: ServerConnection) -> None:
        """Run a step for a connection; an error ends this connection only."""
        try:
            step(connection)
        except BaseException as x:
            if self.end_failed(connection, x):
                raise

    def end_failed(self, connection: ServerConnection, error: BaseException) -> bool:
        """End a connection after an error. Return whether the loop ends, too."""
        if isinstance(error, errors.ProtocolError):
            self.refuse(connection, error)
            return False
        if isinstance(error, OSError):
            log.debug("connection with %s lost: %s", error_log.client_name(connection), error)
        elif isinstance(error, Exception):  # an error in this library must not end the loop of all clients
            log.error("connection with %s failed, closing it", error_log.client_name(connection), exc_info=error)
        self.drop(connection)
        # A method raised SystemExit or similar: its client gets no reply. GeneratorExit has no meaning outside of generators.
        return not isinstance(error, (Exception, GeneratorExit))

    def _flush(self, connection: ServerConnection) -> None:
        if connection.flush():
            self._serve_all(connection)
        else:
            self._idle_deadlines.start(connection, time.monotonic())
            self._buffered.note(connection)

    def _serve_all(self, connection: ServerConnection) -> None:
        """Serve the received requests, including data inside the TLS layer, which the selector does not see."""
        self.serve_received(connection)
        while connection.has_tls and connection.watched == READ and connection.has_tls_bytes() and self._receive(connection):
            self.serve_received(connection)

    def _receive(self, connection: ServerConnection) -> bool:
        """Receive once. Return False if nothing was received, or the connection ended."""
        if connection.closing and connection in self._refusals:
            # closing a socket with unread data discards the reply that is being sent
            if not connection.sock.recv(RECEIVE_BYTES):
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

    def serve_received(self, connection: ServerConnection) -> None:
        """Serve the complete requests that have been received, in order, as long as the client accepts the replies."""
        while not (connection.closing or connection.outgoing or self.stopping and not connection.suspended_batch):
            # Decided here, where the next request is fetched: if a oneway call ends in this moment, the loop goes on, because
            # no event comes for what was received already. Otherwise its thread returns the connection, see OnewayCalls.
            if connection.oneway_full and self.callbacks.must_pause(connection):
                connection.send_held()
                self.hand_over(connection)
                return
            if not connection.fetch_message():
                break
            if not self.serve(connection):
                return
        self._await_next(connection)

    def _await_next(self, connection: ServerConnection) -> None:
        """Wait for the next step of a connection: sending the rest of its replies, further requests, or its end."""
        connection.send_held()
        if connection.outgoing:
            connection.is_plain = False
            self._watch(connection, WRITE)
        elif connection.closing:
            connection.is_plain = False  # what it still sends is not answered
            self._end_after_refusal(connection)
            return
        else:
            self._watch(connection, READ)
        self._start_timeout(connection)
        if not connection.is_plain or self._buffered.total_bytes:
            self._count_partial_messages(connection)

    def hand_over(self, connection: ServerConnection) -> None:
        """Make a worker the owner of a connection. It returns the connection with park()."""
        self._watch(connection, 0)
        self._forget_times(connection)

    def resume_parked(self, connection: Any) -> None:
        """Continue with a connection that a worker has returned, or with the TLS handshakes that wait for the loop."""
        if connection is self._tls:
            self._tls.resume()
            return
        if self._tls.is_in_thread(connection):
            self._tls.finish_in_thread(connection)
            return
        if connection.dropped:
            return
        # Not known yet if a worker has accepted it and left it to the loop.
        if connection.sock not in self._connections:
            self._attempt(self.add_connection, connection)
            # moved here from another process, with the first message, for which no event comes
            if connection.watched == READ and connection.mid_message:
                self._attempt(self._serve_all, connection)
        else:
            self._attempt(self._serve_all, connection)

    def look_at(self, connection: ServerConnection) -> None:
        if connection.dropped:
            self._end_once(connection)
        # Only if all that was received has been served: for others, an event is coming, or their owner does this.
        elif connection.watched == READ and connection not in self._refusals:
            self._attempt(self._await_next, connection)

    # ------------------------------------------------------------ ends

    def refuse(self, connection: ServerConnection, error: errors.ProtocolError) -> None:
        """Send a client the reason why its data is invalid, if that is possible, and close the connection."""
        log.warning("closing the connection with %s: %s", error_log.client_name(connection), error)
        if connection.closing:
            self.drop(connection)  # refused already, and sending the refusal failed
            return
        connection.closing = True
        self._attempt(lambda refused: self._send_refusal(refused, error), connection)

    def _send_refusal(self, connection: ServerConnection, error: errors.ProtocolError) -> None:
        reply = self.callbacks.build_refusal(connection, error)
        if reply is None:
            self.drop(connection)
            return
        connection.send_message(reply)
        self._await_next(connection)

    def _end_after_refusal(self, connection: ServerConnection) -> None:
        """Close a connection after the client has had time to read the last reply."""
        if connection.lost or connection.keep_open:
            self.drop(connection)
            return
        try:
            # Closing with unread data would make the system discard the reply: read until the client closes.
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(connection)
            return
        self._refusals.start(connection, time.monotonic())
        self._forget_times(connection)
        self._watch(connection, READ)

    def _handshake_timed_out(self, connection: ServerConnection) -> None:
        """Refuse a client whose handshake took too long."""
        # No message can be sent before TLS is set up, or after a refusal.
        if connection.watched and (connection.tls_handshake or connection.closing):
            self.drop(connection)
        elif connection.tls_handshake:
            connection.closing = True  # its next step waits for its turn, or is being done in a thread: its owner drops it
        elif connection.watched:  # else a worker owns it
            self.refuse(connection, errors.ProtocolError("no handshake within %g seconds" % self._handshakes.seconds))

    def _idle_timed_out(self, connection: ServerConnection) -> None:
        """Close a connection that has been silent for COMMTIMEOUT seconds, if its state does not allow that."""
        if connection.detached:
            self._idle_deadlines.start(connection, time.monotonic())  # not idle: its calls run
        elif self.closes_idle or connection.mid_message or connection.has_outgoing:
            log.info("closing the connection with %s: silent for %g seconds (COMMTIMEOUT)",
                     error_log.client_name(connection), self._idle_deadlines.seconds)
            self.drop(connection)

    def drop(self, connection: ServerConnection) -> None:
        """Close a connection that the loop owns, and remove it."""
        # A child process must not shut down the connections of its parent.
        if connection.dropped or self.in_forked_child():
            return
        connection.dropped = True
        self._tls.discard(connection)
        self._watch(connection, 0)
        self._forget_times(connection)
        self._refusals.stop(connection)
        self._connections.pop(connection.sock, None)
        self._count_changed()
        if not self.stopping:
            connection.cancel_detached()  # the last one to end makes the loop continue here, see look_at()
        self._end_once(connection)

    def _end_once(self, connection: ServerConnection) -> None:
        # A worker that noticed the end at the same time may have the claim; then it frees everything.
        if not (connection.detached and not self.stopping) and connection.claim_end():
            self.end(connection)
