"""Server type ``multiplex``: the loop itself runs the calls, one at a time."""
from __future__ import annotations

import selectors
import threading
import time
import weakref
from typing import Optional

from . import config
from ._calls.decoding import SHORT_REQUEST_BYTES
from ._net.busy_poll import PollingSelector, is_promising
from ._net.offered_sockets import is_offering, waiting
from ._server.acceptor import Acceptor
from ._server.connection import ServerConnection
from ._server.loop import SocketServer
from ._server.workers import WorkerPool
from .socketutil import events_wanted, is_timeout


class SocketServer_Multiplex(SocketServer):
    """Runs all calls in the thread of the loop: two calls never run at the same time, unless they are marked as concurrent."""

    interrupts_batches = True
    _detached_pool: Optional[WorkerPool] = None  # created when it is needed: most programs have no such methods

    def __repr__(self) -> str:
        return "<%s on %s; %d connections>" % (type(self).__name__, self.locationStr, len(self._connections))

    @property
    def detached_pool(self) -> WorkerPool:
        """The threads for concurrent methods that are not async."""
        if self._detached_pool is None:
            self._detached_pool = WorkerPool(0, config.THREADPOOL_SIZE, "Pyro-concurrent")
        return self._detached_pool

    def calls_running(self) -> int:
        return 0 if self._detached_pool is None else self.detached_pool.busy()

    def stop_workers(self, timeout_seconds: float) -> None:
        if self._detached_pool is not None:
            self.detached_pool.stop(timeout_seconds)

    def in_worker(self) -> bool:
        return super().in_worker() or self._detached_pool is not None and self.detached_pool.is_worker()

    def begin(self) -> None:
        super().begin()
        waiting.serve_offers = weakref.WeakMethod(self._serve_offers)
        self._update_polling()

    def _serve_offers(self) -> None:
        """Accept connections for callbacks, while a method that this thread runs waits for one; other requests wait."""
        if self._running_thread() != threading.get_ident():
            return
        for key, events in self.selector.select(0):
            if isinstance(key.data, Acceptor) or is_offering(key.data):
                key.data.on_ready(events)
        for _ in range(len(self.parked)):
            connection = self.parked.popleft()
            if is_offering(connection):
                self.resume_parked(connection)
            else:
                self.parked.append(connection)

    def tick(self) -> None:
        super().tick()
        self._update_polling()

    def _update_polling(self) -> None:
        """Poll before blocking in the selector, if the setting SPINNING is on and there is more than one processor."""
        # Read again with each tick, because the setting and the processors that this process may use can change.
        if not is_promising():
            self._polling_selector = None
        elif self._polling_selector is None:
            self._polling_selector = PollingSelector()

    def serve(self, connection: ServerConnection) -> bool:
        if len(connection.pending.data) > SHORT_REQUEST_BYTES and self.turn_is_shared and not connection.is_postponed:
            # Its message may take long to decode: first come those that are read in this turn and need less.
            connection.is_postponed = True
            return self._park_behind_others(connection)
        self.callbacks.handle_request(connection)
        return self._goes_on(connection)

    def connection_ready(self, connection: ServerConnection, events: int) -> None:
        # One that is not watched was handed over, or dropped, because of another event of the same select().
        if not (connection.is_plain and connection.watched):
            super().connection_ready(connection, events)
            return
        try:
            self._answer_plain_call(connection)
        except BaseException as x:
            if self.end_failed(connection, x):
                raise

    def _answer_plain_call(self, connection: ServerConnection) -> None:
        """Receive the next request of a plain connection, and answer it if it is a plain call."""
        try:
            data, large = connection.receive_plain(connection.sock)
        except OSError as x:
            if is_timeout(x) or events_wanted(x, selectors.EVENT_READ):
                return
            raise
        # While other clients wait, a long request has its turn in serve().
        is_short = large is None and len(data) <= SHORT_REQUEST_BYTES
        if (is_short or not self.turn_is_shared) and self.callbacks.answer_plainly(connection, data, large):
            if connection.is_plain:
                # This is all that is to be done before its next request. Most programs set no timeout.
                if self._idle_deadlines.seconds > 0:
                    self._idle_deadlines.start(connection, time.monotonic())
                return
        elif data:
            connection.add_plain(data, large)
        else:
            self.drop(connection)
            return
        if self._goes_on(connection):
            self.serve_received(connection)

    def _goes_on(self, connection: ServerConnection) -> bool:
        """Return whether the loop goes on with a connection, after a call that was answered or has begun."""
        if connection.deferred is not None:
            connection.send_held()
            self.hand_over(connection)
            connection.start_deferred()  # from here on its task owns the connection
            return False
        # The same thread continues, so the connection stays registered: no system call is needed between two
        # requests.
        # One that is being offered for callbacks is not parked: it would wait in the list of this turn, where _serve_offers()
        # cannot find it, while the next method of this turn may wait for it.
        if connection.suspended_batch is None and (
                connection.is_plain or not connection.has_more or not self.turn_is_over() or is_offering(connection)):
            return True
        return self._park_behind_others(connection)

    def _park_behind_others(self, connection: ServerConnection) -> bool:
        """Continue with a connection in the next turn, in which its place depends on what its account has used."""
        # It may have more requests, but other clients have been waiting longer.
        connection.send_held()
        self.hand_over(connection)
        self.park(connection)
        return False

    def end(self, connection: ServerConnection) -> None:
        self.callbacks.connection_ended(connection)
