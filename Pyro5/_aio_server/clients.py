"""The connections of a server: their TLS handshakes, timeouts, refusals, and ends.

Everything belongs to the thread of the event loop, except where stated.
"""
from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from typing import Any, Awaitable, Callable, Coroutine, Dict, Optional, Set

from .. import NamedTuple, errors
from .._calls import error_log
from .._calls.deferred import runs_in_worker
from .._calls.running_calls import CLIENT_LOST
from .._server.address_queue import AddressQueue, address_key
from .._server.connection import ServerConnection
from .._server.quotas import Limited, LoopAccount
from .._server.workers import WorkerPool
from .calls import CallsInLoop
from .connection import AsyncConnection
from .dispatch import LoopDispatcher

log = logging.getLogger("Pyro5.server.loop")


class DaemonHooks(NamedTuple):
    """The parts and functions of a daemon that its server uses.

    Attributes:
        async_validator: returns validateHandshake if that is a coroutine function, else None.
        has_own_validator: returns whether validateHandshake may block: the program has overridden it.
        async_annotations: returns annotations if that is a coroutine function, else None.
        must_pause: returns whether to stop reading from a client until some of its oneway calls are done.
        apply_settings: applies changed settings. Called for each request.
        after_job: called in a thread of the pool after each request.
        ends_without_user_code: returns whether the end of a connection runs no code of the program ...
        free: ... and frees what belongs to the connection then.
        connection_ended: frees what belongs to a connection, and runs the code of the program.
    """

    dispatcher: LoopDispatcher
    calls: CallsInLoop
    async_validator: Callable[[], Optional[Callable[[Any, Any], Awaitable[Any]]]]
    has_own_validator: Callable[[], bool]
    async_annotations: Callable[[], Optional[Callable[[], Awaitable[Dict[str, Any]]]]]
    must_pause: Callable[[ServerConnection], bool]
    apply_settings: Callable[[], None]
    after_job: Callable[[], None]
    ends_without_user_code: Callable[[ServerConnection], bool]
    free: Callable[[ServerConnection], None]
    connection_ended: Callable[[ServerConnection], Awaitable[None]]


HELD_BYTES = 64 * 1024  # that a client may send before its TLS handshake is in turn; no part of a handshake is as long


class TlsTurns:
    """TLS handshakes of many clients at once: one step in each iteration of the event loop, shared out between addresses.

    It holds the connections that have received a part of their handshake. See also `_server.tls_handshakes`, which does this
    for the other server types.

    Args:
        handle: called with a connection and the received bytes, when it is its turn.
        schedule: calls a function in the next iteration of the event loop, after the events of all connections.
    """

    def __init__(self, handle: Callable[[AsyncConnection, bytes], None],
                 schedule: Callable[[Callable[[], None]], Any]) -> None:
        self._handle = handle
        self._schedule = schedule
        self._queue = AddressQueue()
        self._held: Dict[AsyncConnection, bytearray] = {}
        self._is_scheduled = False

    def add(self, connection: AsyncConnection, data: bytes) -> None:
        """Keep received bytes until it is the turn of their connection. Raises OSError if there are too many."""
        held = self._held.get(connection)
        if held is None:
            held = self._held[connection] = bytearray()
            self._queue.add(connection, address_key(connection.peer_address))
        held += data
        if len(held) > HELD_BYTES:
            raise OSError("the other side sends too much before its TLS handshake")
        self._continue()

    def take(self, connection: AsyncConnection) -> bytes:
        """Remove a connection, and return the bytes that it has received and that were not handled."""
        self._queue.discard(connection)
        return bytes(self._held.pop(connection, b""))

    def _continue(self) -> None:
        if self._queue and not self._is_scheduled:
            self._is_scheduled = True
            self._schedule(self._run)

    def _run(self) -> None:
        self._is_scheduled = False
        # Connections may have ended since this was scheduled.
        if self._queue:
            connection = self._queue.take()
            self._handle(connection, bytes(self._held.pop(connection)))
        self._continue()


FLUSH_SECONDS = 5.0  # that a client which has closed its side has to read the last replies


class Clients(Limited):
    """Base class of the server: the connections of its clients.

    Args:
        pool: the threads for calls of methods that are not async.

    Attributes:
        event_loop: the event loop, None before the server has begun.
        stopping: no further requests are handled.
        has_ended: everything is closed.
        pool: see above; also detached_pool, for concurrent methods.
        tasks: those that run code of the program besides calls: at the end of connections, and for handshakes.
        open: the connections whose transport is not closed yet.
        on_progress: called when a request or a connection has ended.
    """

    event_loop: Any = None
    pump: Callable[[AsyncConnection], None]  # handles the requests that were received
    _thread = 0  # the identifier of the thread of the event loop

    def __init__(self, hooks: DaemonHooks, pool: WorkerPool) -> None:
        super().__init__()
        self.pool = self.detached_pool = pool
        self.handshake_account, self.new_account = LoopAccount(), LoopAccount()
        self.stopping = self.has_ended = False
        self.tasks: Set[asyncio.Task[Any]] = set()
        self.open: Set[AsyncConnection] = set()
        self.on_progress: Callable[[], None] = lambda: None
        self._hooks = hooks
        self._timer: Optional[asyncio.TimerHandle] = None
        self._timer_at = 0.0

    def call_in_loop(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function in the thread of the event loop: at once if this is it, else soon. Can be called from any thread."""
        if threading.get_ident() == self._thread:
            function(*args)
            return
        try:
            self.event_loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # At the end of the program: no client is left to be served.
            log.debug("the event loop is closed")

    def start_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[Any]:
        """Run a coroutine that the end of the server waits for."""
        task: asyncio.Task[Any] = self.event_loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            # Retrieved in any case, so that asyncio does not log it a second time.
            error = task.exception()
            if isinstance(error, Exception):
                log.error("a task of the daemon failed", exc_info=error)
        self.on_progress()

    def stop_timers(self) -> None:
        """Handle no more timeouts."""
        if self._timer is not None:
            self._timer.cancel()

    def calls_running(self) -> int:
        """Return the number of requests that threads are running."""
        return self.pool.busy()

    # ------------------------------------------------------------ timeouts

    def arm_timer(self) -> None:
        """Start the timer for the next deadline of a connection, unless it runs out before that."""
        deadlines = (self._handshakes.next_deadline(), self._idle_deadlines.next_deadline(), self._refusals.next_deadline())
        next_deadline = min((deadline for deadline in deadlines if deadline is not None), default=math.inf)
        # A timer that fires early does no harm, it is started again. One per connection would cost every request a timer.
        if self._timer is not None and next_deadline < self._timer_at:
            self._timer.cancel()
            self._timer = None
        # An infinite timeout has no timer: the settings are read again every few seconds.
        if self._timer is None and next_deadline < math.inf:
            self._timer_at = next_deadline
            self._timer = self.event_loop.call_later(max(0.0, next_deadline - time.monotonic()), self._handle_expired)

    def _handle_expired(self) -> None:
        self._timer = None
        # Copied out of the tables first: ending a connection changes them.
        now = time.monotonic()
        expired: Any = self._handshakes.pop_expired(now)
        for connection in expired:
            self._handshake_timed_out(connection)
        expired = self._idle_deadlines.pop_expired(now)
        for connection in expired:
            if connection.mid_message or connection.has_unsent:
                log.info("closing the connection with %s: silent for %g seconds (COMMTIMEOUT)",
                         error_log.client_name(connection), self._idle_deadlines.seconds)
                self.drop(connection)
        expired = self._refusals.pop_expired(now)
        for connection in expired:
            self.drop(connection)
        self.arm_timer()

    def _handshake_timed_out(self, connection: AsyncConnection) -> None:
        """Refuse a client whose handshake took too long."""
        error = errors.ProtocolError("no handshake within %g seconds" % self._handshakes.seconds)
        if connection.handshake_task is not None:
            # The task sends the refusal: it knows the message that is to be answered.
            connection.handshake_error = error
            connection.handshake_task.cancel()
        elif connection.is_working:
            return  # a thread runs validateHandshake()
        # No message can be sent before TLS is set up, or after a refusal.
        elif connection.tls_handshake or connection.closing:
            self.drop(connection)
        else:
            self.refuse(connection, error)

    # ------------------------------------------------------------ refusals

    def refuse(self, connection: AsyncConnection, error: errors.ProtocolError) -> None:
        """Send a client the reason why its data is invalid, if that is possible, and close the connection."""
        log.warning("closing the connection with %s: %s", error_log.client_name(connection), error)
        reply = None if connection.closing else self._hooks.dispatcher.build_refusal(connection, error)
        connection.closing = True
        if reply is None:
            self.drop(connection)
            return
        connection.send_message(reply)
        connection.flush_replies()
        self.end_after_refusal(connection)

    def end_after_refusal(self, connection: AsyncConnection) -> None:
        """Close a connection after the client has had time to read the last reply."""
        if connection.lost or connection.at_end or connection.transport.is_closing():
            self.drop(connection, flush=True)
            return
        if connection in self._refusals:
            return
        # Closing with unread data in the receive buffer would make the system discard the reply: read until the client closes.
        connection.read_on()
        try:
            connection.transport.write_eof()
        except OSError:
            self.drop(connection)
            return
        self._forget_times(connection)
        self._refusals.start(connection, time.monotonic())
        self.arm_timer()

    # ------------------------------------------------------------ ends

    @staticmethod
    def cancel_call(connection: AsyncConnection, only_task: bool = False) -> None:
        """Cancel the request at hand of a client that has disconnected.

        Args:
            only_task: an async method only. A client that has closed only its sending side still gets the results of others,
                as from the other server types; a method that asks ``current_context.cancelled`` finds out.
        """
        # Read once, as the end of the call sets it to None.
        deferred = connection.deferred
        if (deferred is not None and not deferred.running.is_oneway
                and not (only_task and runs_in_worker(deferred.deferred))):
            deferred.running.cancel(CLIENT_LOST)
        connection.cancel_detached()
        if connection.handshake_task is not None:
            connection.handshake_task.cancel()

    def drop(self, connection: AsyncConnection, flush: bool = False) -> None:
        """Close a connection, and remove it. What belongs to it is freed when its call has ended.

        Args:
            flush: send what is left first.
        """
        if connection.dropped:
            return
        # The transport sends the rest by itself, but a client that reads nothing must not keep it for ever.
        if flush and connection.has_unsent:
            connection.transport.close()
            self.event_loop.call_later(FLUSH_SECONDS, connection.transport.abort)
        else:
            connection.transport.abort()
        if connection.is_working or connection.detached:
            connection.abandon()
            connection.cancel_detached()
            return  # the end of the last call comes here again
        connection.dropped = True
        connection.watched = 0
        self._forget_times(connection)
        self._refusals.stop(connection)
        self._connections.pop(connection.sock, None)
        # The claim makes sure that this is done once, even if the client and the server end the connection at the same time.
        if connection.claim_end():
            self._end(connection)
        self.on_progress()

    def _end(self, connection: AsyncConnection) -> None:
        """Free what belongs to a connection that has ended."""
        if self._hooks.ends_without_user_code(connection):
            self._hooks.free(connection)
            self.pool.release(connection)
        else:
            self.start_task(self._end_with_user_code(connection))

    async def _end_with_user_code(self, connection: AsyncConnection) -> None:
        try:
            await self._hooks.connection_ended(connection)
        finally:
            self.pool.release(connection)
