"""Server type ``thread``: the loop waits for idle connections, and a pool of worker threads runs the calls.

A worker keeps a busy connection for a few milliseconds after each reply, so that the next request of the same client
needs no hand-over between threads. Then it returns the connection to the loop. So THREADPOOL_SIZE limits the calls
that run at the same time, not the connected clients; a client that finds all workers busy waits for the next free one.

A client keeps its thread, because objects may hold sqlite connections, COM apartments, OpenGL contexts and locks,
which can only be used in one thread. As long as no more than THREADPOOL_SIZE clients are connected, the handshake, all
calls and the cleanup of a connection run in the same worker. Beyond that, workers are taken from the connections that
have been idle longest; last, and only after some seconds, from those with objects of instance mode ``session``, for
which up to half of the workers are reserved.
"""
from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from typing import Any, Callable, Iterable, List, Optional

from . import config, errors
from ._calls.decoding import SHORT_REQUEST_BYTES
from ._server.callbacks import DaemonCallbacks
from ._server.connection import ServerConnection
from ._server.loop import SocketServer
from ._server.workers import WorkerPool
from ._wire.reader import RECEIVE_BYTES
from .socketutil import is_timeout

log = logging.getLogger("Pyro5.svr_threads")

TURN_SECONDS = 0.02  # how long a worker handles requests that a client has sent in one piece while others wait for a worker
KEEP_SECONDS = 0.01  # how long a worker waits for the next request of the client it has just served


class SocketServer_Threadpool(SocketServer):
    """Runs each request in a thread of a pool.

    Attributes:
        pool: the worker threads.
    """

    closes_idle = True

    def __init__(self, callbacks: DaemonCallbacks) -> None:
        minimum, maximum = config.THREADPOOL_SIZE_MIN, config.THREADPOOL_SIZE
        if minimum < 1 or maximum < 1:
            raise ValueError("THREADPOOL_SIZE_MIN and THREADPOOL_SIZE must be at least 1, not %d and %d" % (minimum, maximum))
        super().__init__(callbacks)
        self.pool = self.detached_pool = WorkerPool(min(minimum, maximum), maximum, "Pyro-worker", self._has_more_owners)
        # runs the loop if the program has its own event loop, which calls events()
        self._background: Optional[threading.Thread] = None

    def __repr__(self) -> str:
        return "<%s on %s; %d workers>" % (type(self).__name__, self.locationStr, len(self.pool))

    def _has_more_owners(self) -> bool:
        """Return whether more clients are connected than there may be workers. Can be called from any thread."""
        # Connections that have ended stay parked for a while, until the loop removes them. Those before their
        # handshake keep no worker.
        return len(self._connections) - len(self._handshakes) - len(self.parked) > self.pool.maximum

    def begin(self) -> None:
        self.pool.start()

    def tick(self) -> None:
        super().tick()
        with contextlib.suppress(RuntimeError):  # the system cannot start a thread for a waiting job; it stays in the queue
            self.pool.shrink(time.monotonic())

    def loop(self, loopCondition: Callable[[], bool] = lambda: True) -> None:
        # Two threads must not run one loop: the one of events() ends before this one takes over.
        self.end_background()
        super().loop(loopCondition)

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Accept the waiting clients. Connected clients are served by a loop in a background thread, which is started here."""
        acceptor = self._acceptor
        if acceptor is None or self.stopping:
            return
        if self._background is None:
            # The program's own loop watches the listening socket from now on, so the background loop must not.
            acceptor.watch(False)
            self._background = threading.Thread(target=self._loop_in_background, name="Pyro-loop", daemon=True)
            self._background.start()
        # In the thread of the program, whose loop has reported the listening socket.
        acceptor.accept()

    @property
    def sockets(self) -> List[Any]:
        """The listening sockets, including those of combined daemons: the only ones that a program with its own event
        loop has to watch.
        """
        return ([] if self._acceptor is None else [self.sock]) + self._sockets_of_combined()

    def add_connection(self, connection: ServerConnection) -> None:
        # Only the thread of the loop may change the selector and the tables.
        if self._background is None or threading.current_thread() is self._background:
            super().add_connection(connection)
        else:
            self.park(connection)

    def _loop_in_background(self) -> None:
        super().loop(lambda: self._background is not None)

    def end_background(self) -> None:
        # Swapped out first: the background loop's condition reads it, and ends.
        thread, self._background = self._background, None
        if thread is not None:
            # The background loop checks its condition after each wake-up.
            self.wakeup()
            thread.join()
            if self._acceptor is not None:
                self._acceptor.watch(True)

    def begin_waiting(self, connection: ServerConnection) -> None:
        # A worker that waits for the handshake saves a round through the loop for each new client. TLS handshakes are
        # left to the loop, which never blocks on one.
        if self.pool.idle and not connection.tls_handshake and not connection.handshake_done:
            self._handshakes.start(connection, time.monotonic())
            # most clients send their handshake at once
            self.pool.submit(functools.partial(self._work, connection, False), connection)
        else:
            super().begin_waiting(connection)

    def serve(self, connection: ServerConnection) -> bool:
        if connection.item_request is not None and connection.repeats_item_request:
            return self._start_reading_item(connection)
        # From here until park() the worker owns the connection; the loop neither watches nor reads it.
        self.hand_over(connection)
        # Deadlines of the request count from here, so that the time in the queue is included.
        connection.waiting_since = time.monotonic()
        large_bytes = connection.large_bytes
        if large_bytes:
            self._count_large_request(connection, large_bytes)
        # A client with a reserved worker takes no thread from others, so its large requests need no slot.
        if large_bytes and not connection.has_reserved_worker:
            self.pool.submit_large(functools.partial(self._work, connection, True, is_large=True), connection)
        else:
            self.pool.submit(functools.partial(self._work, connection, True), connection,
                              is_long=connection.pending_bytes > SHORT_REQUEST_BYTES)
        return False

    def _start_reading_item(self, connection: ServerConnection) -> bool:
        """Start a request for an item of a stream, which is read in an event loop; no worker is needed for that."""
        self.callbacks.handle_request(connection)
        if connection.deferred is None:
            return True  # it runs beside the next requests of the client
        connection.send_held()
        self.hand_over(connection)
        connection.start_deferred()  # from here on its task owns the connection
        return False

    def end(self, connection: ServerConnection) -> None:
        if self.callbacks.ends_without_user_code(connection):
            self._end(connection)
            return
        # clientDisconnect and close() of session objects run in the thread of the calls. At shutdown, only if it is waiting.
        worker = connection.worker
        is_bound = worker is not None and worker.owner is connection and not (self.stopping and not worker.waiting)
        try:
            self.pool.submit(functools.partial(self._end, connection), connection if is_bound else None)
        except RuntimeError:  # the system has no thread left, and this must not wait for one
            self._end(connection)

    def has_thread_for_tls(self) -> bool:
        return self.pool.has_free_thread

    def run_in_thread(self, job: Callable[[ServerConnection], None], connection: ServerConnection) -> None:
        self.pool.submit(functools.partial(job, connection))

    def calls_running(self) -> int:
        return self.pool.busy()

    def stop_workers(self, timeout_seconds: float) -> None:
        self.pool.stop(timeout_seconds)

    def in_worker(self) -> bool:
        return self.pool.is_worker() or super().in_worker()

    # ------------------------------------------------------------ in a worker thread, which owns the connection

    def _end(self, connection: ServerConnection) -> None:
        try:
            self.callbacks.connection_ended(connection)
        finally:
            # In any case: a worker that is not released would be bound to a connection that does not exist any more.
            self.pool.release(connection)

    def _work(self, connection: ServerConnection, has_request: bool, is_large: bool = False) -> None:
        """Serve a connection, and after its end the next client, if that connects at once."""
        self._serve_requests(connection, has_request, is_large)
        if self.in_forked_child():
            return  # the connection belongs to the parent process
        # A large job does not continue with another client, because it would keep its slot for that one.
        accepted = self._release_connection(connection, not is_large)
        while accepted is not None:
            self._serve_requests(accepted, False)
            accepted = self._release_connection(accepted)

    def _serve_requests(self, connection: ServerConnection, has_request: bool, is_large: bool = False) -> None:
        """Handle the requests of a connection as long as they follow each other quickly."""
        connection.counts_as_large = is_large
        waiting = self.pool.waiting
        try:
            # A timeout of the system where that is possible: with one of Python's, each recv() would poll the socket first.
            connection.set_receive_timeout(KEEP_SECONDS)
            turn_ends = time.monotonic() + TURN_SECONDS
            while has_request or self._receive_request(connection):
                has_request = False
                if (connection.large_bytes or not connection.handshake_done) and not self._may_handle(connection):
                    break
                self.callbacks.handle_request(connection)
                connection.waiting_since = 0.0
                # The loop does the rest: it sends the remaining output, closes, or pauses the connection.
                if (connection.outgoing or connection.closing or connection.oneway_full or connection.deferred is not None
                        or self.stopping or connection.detached and connection.has_tls):
                    break
                if not waiting.is_empty and not connection.has_reserved_worker and time.monotonic() > turn_ends:
                    break  # more requests may have arrived, but other clients have been waiting longer
            # The loop needs a non-blocking socket.
            if not connection.lost:
                connection.send_held()
                connection.setTimeout(0)
        except errors.ProtocolError:
            connection.setTimeout(0)  # the loop gets the same error, and refuses the client
        except OSError as x:
            log.debug("connection with %s lost: %s", connection.peer_address, x)
            connection.abandon()
        except BaseException as x:  # a method raised SystemExit or similar; the worker continues
            if self.in_forked_child():
                return
            log.warning("closing the connection with %s: its call raised %s", connection.peer_address, type(x).__name__)
            connection.abandon()
        finally:
            # A large request that was received by this worker; a large job is counted by submit_large().
            if connection.counts_as_large and not is_large:
                self.pool.end_large()

    def _may_handle(self, connection: ServerConnection) -> bool:
        """Return whether the received request may be handled now. If not, the loop continues with the connection."""
        if not connection.counts_as_large and connection.large_bytes and not connection.has_reserved_worker:
            connection.counts_as_large = self.pool.begin_large()
            if not connection.counts_as_large:
                return False  # the loop queues it with submit_large()
        # Asked last, because only one caller gets the claim: from now on the loop no longer drops this client to make
        # room for others.
        return connection.handshake_done or connection.claim_handshake()

    def _release_connection(self, connection: ServerConnection, may_accept: bool = True) -> Optional[ServerConnection]:
        """Return a connection to the loop, or end it if the client has disconnected.

        Returns:
            the connection of the next client, if this worker has accepted one and is to serve it.
        """
        # The claim decides between this worker and the loop, which may see the same end of the connection. While calls are
        # detached, the loop ends the connection, when they have ended.
        if connection.deferred is not None or connection.detached or not (connection.lost and connection.claim_end()):
            # From its first session object on a client has a reserved worker, if one is left.
            if connection.pyroInstances:
                self.pool.reserve(connection)
            elif not connection.handshake_done:
                self.pool.release(connection)  # clients that have sent no handshake keep no thread
            if connection.deferred is None:
                self.park(connection)
            else:
                connection.start_deferred()  # from here on its task owns the connection
            return None
        acceptor = self._acceptor
        # Not while jobs wait: those clients were here first.
        accepts = (acceptor is not None and may_accept and not self.pool.jobs_waiting
                   and self.callbacks.ends_without_user_code(connection) and acceptor.begin_accepting())
        # Accepting in the place of the loop saves waking the loop and another worker, when clients reconnect for each call.
        try:
            self._end(connection)
        finally:
            # In any case, because it makes the loop accept again.
            sock = acceptor.finish_accepting() if acceptor is not None and accepts else None
            self.park(connection)
        return None if sock is None else self._accept_connection(sock)

    def _accept_connection(self, sock: Any) -> Optional[ServerConnection]:
        """Create the connection of a client that this worker has accepted; None if the loop has to handle it (a TLS
        handshake, or the server is full).
        """
        connection = ServerConnection.accepted(sock, self)
        # The number can only be too high here: the loop, which has the exact count, decides.
        if connection.tls_handshake or len(self._connections) >= self.limits.connections:
            self.park(connection)  # the loop does the TLS handshake, or refuses the client
            return None
        self._connections[sock] = connection
        # Bound as if the loop had handed the client over, so that its later requests come to this thread.
        self.pool.bind(connection)
        if self.stopping:  # the loop may have closed all other connections already, and would miss this one
            self._connections.pop(sock, None)
            self.pool.release(connection)
            sock.close()
            return None
        log.debug("client connected from %s", connection.peer_address)
        return connection

    def _receive_request(self, connection: ServerConnection) -> bool:
        """Return whether a request was received: it is buffered already, or arrives within KEEP_SECONDS while no other
        client waits for a worker. Plain calls that arrive before it are answered.
        """
        was_plain = connection.is_plain
        if was_plain and not self._answer_plain_calls(connection):
            return False
        if connection.fetch_message():
            return True
        if was_plain and self._is_left_to_loop(connection):
            return False
        connection.send_held()
        while self.pool.waiting.is_empty or connection.has_reserved_worker:
            try:
                if not connection.receive(self._may_wait):
                    # The client has closed its side. This worker cleans up, because it is the owner.
                    connection.abandon()
                    return False
            except OSError as x:
                if is_timeout(x) or isinstance(x, BlockingIOError):
                    return False
                raise
            if connection.fetch_message():
                return True
            if self._is_left_to_loop(connection):
                return False
        return False

    def _may_wait(self) -> bool:
        """Return whether a worker may wait for the rest of a large request."""
        return self.pool.waiting.is_empty and not self.pool.is_full

    def _is_left_to_loop(self, connection: ServerConnection) -> bool:
        """Return whether the loop receives the rest of a message, of which a part has arrived."""
        # It enforces the timeout of handshakes, and that large requests leave workers for others.
        return not connection.handshake_done or (self.pool.is_full and connection.large_bytes > 0
                                                 and not connection.has_reserved_worker)

    def _answer_plain_calls(self, connection: ServerConnection) -> bool:
        """Answer plain calls that follow each other quickly. Return whether something else has been received, and stored."""
        answer, waiting, receiver = self.callbacks.answer_plainly, self.pool.waiting, connection.receiver()
        reader, large = connection.reader, None
        # This loop runs for each call.
        while waiting.is_empty or connection.has_reserved_worker:
            try:
                if reader.expects_large:
                    data, large = connection.receive_plain(receiver, self._may_wait)
                else:
                    data, large = receiver.recv(RECEIVE_BYTES), None
            except OSError as x:
                if is_timeout(x) or isinstance(x, BlockingIOError):
                    return False
                raise
            # As _may_handle(): the first large request of this turn is left to it.
            if large is not None and not (connection.counts_as_large or connection.has_reserved_worker) or not answer(
                    connection, data, large):
                connection.add_plain(data, large)
                if not data:
                    connection.abandon()  # see _receive_request()
                return len(data) > 0
            if not connection.is_plain or self.stopping:
                return False  # the loop does the rest
        return False
