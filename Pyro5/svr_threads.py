"""Server type ``thread``: the loop watches idle connections, a pool of worker threads runs the calls.

A worker keeps a busy connection for a short while, so that a client that calls again at once pays no hand-over, and
gives it back to the loop when it falls silent. So THREADPOOL_SIZE bounds the calls that run at the same time, not the
clients that may be connected; whoever finds all workers busy waits for the next free one.

A client keeps its thread: objects hold sqlite handles, COM apartments, OpenGL contexts and locks that insist on it. As long
as no more than THREADPOOL_SIZE clients are connected, the handshake, all calls and the end of a connection run in one and the
same worker. Beyond that, workers are taken from the connections that have been idle longest; last, and only after some
seconds, from those with objects of instance mode ``session``, for which up to half of the workers are reserved.
"""
from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from typing import Any, Callable, Iterable, List, Optional

from . import config, errors
from ._server.callbacks import DaemonCallbacks
from ._server.connection import ServerConnection
from ._server.eventloop import TURN_SECONDS
from ._server.loop import SocketServer
from ._server.workers import WorkerPool
from .socketutil import is_timeout

log = logging.getLogger("Pyro5.svr_threads")

KEEP_SECONDS = 0.01  # how long a worker waits for the next request of the client it has just served


class SocketServer_Threadpool(SocketServer):
    """Serves each request in a thread of a pool."""

    closes_idle = True

    def __init__(self, callbacks: DaemonCallbacks) -> None:
        minimum, maximum = config.THREADPOOL_SIZE_MIN, config.THREADPOOL_SIZE
        if minimum < 1 or maximum < 1:
            raise ValueError("THREADPOOL_SIZE_MIN and THREADPOOL_SIZE must be at least 1, not %d and %d" % (minimum, maximum))
        super().__init__(callbacks)
        self._pool = WorkerPool(min(minimum, maximum), maximum, "Pyro-worker", self._is_crowded)
        self._background: Optional[threading.Thread] = None  # runs the loop while a foreign one calls events()

    @property
    def pool(self) -> WorkerPool:
        """The worker threads."""
        return self._pool

    def __repr__(self) -> str:
        return "<%s on %s; %d workers>" % (type(self).__name__, self.locationStr, len(self._pool))

    def _is_crowded(self) -> bool:
        """Whether more clients are connected than there may be workers. Any thread may ask."""
        # connections that have ended may be parked for a while, until the loop forgets them
        return len(self._connections) - len(self._handshakes) - len(self.parked) > self._pool.maximum

    def begin(self) -> None:
        self._pool.start()

    def tick(self) -> None:
        super().tick()
        with contextlib.suppress(RuntimeError):  # the system has no thread left for a job that waits
            self._pool.shrink(time.monotonic())

    def loop(self, loopCondition: Callable[[], bool] = lambda: True) -> None:
        self.end_background()
        super().loop(loopCondition)

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Let in the clients that wait; a thread in the background looks after those that are connected."""
        entrance = self._entrance
        if entrance is None or self.stopping:
            return
        if self._background is None:
            entrance.watch(False)
            self._background = threading.Thread(target=self._loop_in_background, name="Pyro-loop", daemon=True)
            self._background.start()
        entrance.accept()

    @property
    def sockets(self) -> List[Any]:
        """The listening sockets, of combined daemons too: the only ones that a foreign event loop has to watch."""
        return ([] if self._entrance is None else [self.sock]) + self._sockets_of_combined()

    def adopt(self, connection: ServerConnection) -> None:
        if self._background is None or threading.current_thread() is self._background:
            super().adopt(connection)
        else:
            self.park(connection)

    def _loop_in_background(self) -> None:
        super().loop(lambda: self._background is not None)

    def end_background(self) -> None:
        thread, self._background = self._background, None
        if thread is not None:
            self.wakeup()
            thread.join()
            if self._entrance is not None:
                self._entrance.watch(True)

    def begin_waiting(self, connection: ServerConnection) -> None:
        if self._pool.idle and not connection.tls_handshake and not connection.handshake_done:
            self._handshakes.start(connection, time.monotonic())
            self._pool.submit(functools.partial(self._work, connection, False), connection)  # most clients speak at once
        else:
            super().begin_waiting(connection)

    def serve(self, connection: ServerConnection) -> bool:
        self.hand_over(connection)
        large_bytes = connection.large_bytes
        if large_bytes:
            self._hold(connection, large_bytes)
        if large_bytes and not connection.has_reserved_worker:
            self._pool.submit_large(functools.partial(self._work, connection, True, is_large=True), connection)
        else:
            self._pool.submit(functools.partial(self._work, connection, True), connection)
        return False

    def _hold(self, connection: ServerConnection, size: int) -> None:
        """Count a large request among what all clients have under way, until the worker gives it back."""
        try:
            self._buffered.hold(connection, size)
        except errors.MessageTooLargeError:
            connection.refuse_message()
            raise
        for stalled in self._buffered.take_excess():
            self.drop(stalled)

    def end(self, connection: ServerConnection) -> None:
        if self.callbacks.ends_without_user_code(connection):
            self._end(connection)
            return
        worker = connection.worker
        is_bound = worker is not None and worker.owner is connection and not (self.stopping and not worker.waiting)
        try:
            self._pool.submit(functools.partial(self._end, connection), connection if is_bound else None)
        except RuntimeError:  # the system has no thread left, and this must not wait for one
            self._end(connection)

    def calls_running(self) -> int:
        return self._pool.busy()

    def stop_workers(self, timeout_seconds: float) -> None:
        self._pool.stop(timeout_seconds)

    def in_worker(self) -> bool:
        return self._pool.is_worker()

    # ------------------------------------------------------------ in a worker thread

    def _end(self, connection: ServerConnection) -> None:
        try:
            self.callbacks.connection_ended(connection)
        finally:
            self._pool.release(connection)

    def _work(self, connection: ServerConnection, request_is_in: bool, is_large: bool = False) -> None:
        """Serve a client, and when it has gone, the next one, if that is there at once."""
        self._serve_requests(connection, request_is_in, is_large)
        if self.in_forked_child():
            return  # the connection is the parent's
        newcomer = self._part(connection, not is_large)
        while newcomer is not None:
            self._serve_requests(newcomer, False)
            newcomer = self._part(newcomer)

    def _serve_requests(self, connection: ServerConnection, request_is_in: bool, is_large: bool = False) -> None:
        """Serve a connection as long as requests keep coming."""
        connection.counts_as_large = is_large
        try:
            connection.wait_at_most(KEEP_SECONDS)
            turn_ends = time.monotonic() + TURN_SECONDS
            while request_is_in or self._next_request(connection):
                request_is_in = False
                if not self._may_handle(connection):
                    break
                self.callbacks.handle_request(connection)
                if connection.has_outgoing or connection.closing or connection.oneway_full or self.stopping:
                    break
                if self._pool.jobs_waiting and not connection.has_reserved_worker and time.monotonic() > turn_ends:
                    break  # more may be in already, but others were waiting before it came
            if not connection.lost:
                connection.setTimeout(0)
        except errors.ProtocolError:
            connection.setTimeout(0)  # the loop meets the same error, and refuses the client
        except OSError as x:
            log.debug("connection with %s lost: %s", connection.peer_address, x)
            connection.abandon()
        except BaseException as x:  # border of a thread: a method raised SystemExit or the like
            if self.in_forked_child():
                return
            log.warning("closing the connection with %s: its call raised %s", connection.peer_address, type(x).__name__)
            connection.abandon()
        finally:
            if connection.counts_as_large and not is_large:
                self._pool.end_large()

    def _may_handle(self, connection: ServerConnection) -> bool:
        """Whether the request at hand may be handled now; else the loop does what is necessary."""
        if connection.large_bytes and not connection.has_reserved_worker and not connection.counts_as_large:
            connection.counts_as_large = self._pool.begin_large()
            if not connection.counts_as_large:
                return False  # it waits for its turn
        # the last question, as it can be answered once only: whether the client has to make room for others
        return connection.handshake_done or connection.claim_introduction()

    def _part(self, connection: ServerConnection, may_go_on: bool = True) -> Optional[ServerConnection]:
        """Give a connection back to the loop, or end it, if the client has gone; give that of the next client, if there is
        one to be served by this worker."""
        if not (connection.lost and connection.claim_end()):
            if connection.pyroInstances:
                self._pool.reserve(connection)
            elif not connection.handshake_done:
                self._pool.release(connection)  # clients that say nothing keep no thread
            self.park(connection)
            return None
        entrance = self._entrance
        accepts = (entrance is not None and may_go_on and not self._pool.jobs_waiting
                   and self.callbacks.ends_without_user_code(connection) and entrance.replace_loop())
        try:
            self._end(connection)
        finally:
            sock = entrance.accept_soon() if entrance is not None and accepts else None
            self.park(connection)
        return None if sock is None else self._take_newcomer(sock)

    def _take_newcomer(self, sock: Any) -> Optional[ServerConnection]:
        """Take in a client that was accepted here, if there is room and nothing special about it."""
        connection = ServerConnection.accepted(sock, self)
        if connection.tls_handshake or len(self._connections) >= self.limits.connections:
            self.park(connection)  # the loop knows what is to be done
            return None
        self._connections[sock] = connection
        self._pool.bind(connection)
        if self.stopping:  # the loop may have closed all the others already
            self._connections.pop(sock, None)
            self._pool.release(connection)
            sock.close()
            return None
        log.debug("client connected from %s", connection.peer_address)
        return connection

    def _next_request(self, connection: ServerConnection) -> bool:
        """Get the next request of a client: one that is in already, or arrives very soon while nobody else waits."""
        is_in = connection.fetch_message()
        while not is_in:
            if self._pool.jobs_waiting and not connection.has_reserved_worker or not self._receive_soon(connection):
                return False
            is_in = connection.fetch_message()
            if not connection.handshake_done or (self._pool.is_full and connection.large_bytes
                                                 and not connection.has_reserved_worker):
                break  # the loop sees to it that clients introduce themselves in time, and that workers are left for others
        return is_in

    def _receive_soon(self, connection: ServerConnection) -> bool:
        try:
            if connection.receive_soon():
                return True
        except OSError as x:
            if is_timeout(x) or isinstance(x, BlockingIOError):
                return False
            raise
        connection.abandon()
        return False
