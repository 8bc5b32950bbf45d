"""A proxy's link with its object: which of its connections a call uses, and which threads may make calls.

Kept apart from the proxy, all of whose names without ``_pyro`` belong to the remote object.
"""
from __future__ import annotations

import functools
import logging
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from .. import LazyModule, callcontext, config, errors
from .._messages import requests
from .._net import forks
from .._values.uri import URI
from ..constants import CANCEL_METHOD, CLOSE_STREAM_METHOD, DAEMON_NAME
from ..protocol import FLAGS_ONEWAY
from ..socketutil import effective_timeout
from .call_options import CallOptions, current_options, deadline_for, earlier, options_for, own_deadline
from .connection import Connection
from .calls import Caller
from .holders import Waiter
from .pool import OPEN_FIRST, OPEN_SIDE
from .retry import Retry, RetryBudget

if TYPE_CHECKING:
    import uuid
    from . import futures
else:
    futures = LazyModule(globals(), ".futures")  # for calls in the background
    uuid = LazyModule(globals(), "uuid")

log = logging.getLogger("Pyro5.link")

UNOWNED = 0  # no thread has this number
IN_TRANSIT = -1  # nor this one
# A server that does not answer a cancellation must not keep the thread, and the connection, for longer.
CANCEL_SECONDS = 5.0


def _served_client() -> Any:
    """Return the client whose requests, one after the other, run here; None if there is none. A oneway call is not one of
    them: it may run beside the next request.
    """
    client = callcontext.current_context.client
    if client is None or callcontext.current_context.msg_flags & FLAGS_ONEWAY:
        return None
    # Weak: the owner of a proxy must not keep a client's connection alive after its end.
    return weakref.ref(client)


class Link(Caller):
    """Everything a proxy knows. COMMTIMEOUT and MAX_RETRIES are read here, once; other settings whenever they were changed.

    Any thread may make calls, each over a connection that it has for itself as long as the call takes. With the setting
    PROXY_SHARING "strict", only the owner may.

    Attributes:
        owner: the identifier of the thread that may use the proxy. UNOWNED: the first thread that uses it becomes its owner.
            IN_TRANSIT: the message that contains the proxy is still being decoded, no thread may use it. Only IN_TRANSIT
            matters if the proxy is shared.
        owner_client: the client that the owner was serving when it became the owner. Other threads may use the proxy as
            well while they serve this client, because requests of one client never run at the same time.
        abandoned_streams: ids of item streams that were dropped and that the server still has to be asked to close.
        retry: how calls that fail are repeated; None: as max_retries says.
        exclusive: the connection that has acquired the object for exclusive use; all calls are sent over it.
        wait_for_ready: whether connecting waits until the server can be reached.
    """

    __slots__ = ("owner", "owner_client", "max_retries", "abandoned_streams", "retry", "wait_for_ready",
                 "exclusive", "_created")

    def __init__(self, uri: URI, connected_socket: Optional[socket.socket] = None) -> None:
        super().__init__(uri, connected_socket)
        self.claim()
        self.max_retries: int = config.MAX_RETRIES or 0
        self.abandoned_streams: List[str] = []  # ids; finalizers append to it in any thread
        self.retry: Optional[Retry] = None
        self.wait_for_ready = False
        self.exclusive: Optional[Connection] = None
        self._created: Dict[str, Any] = {}  # what most proxies do not need, by name

    def claim(self) -> None:
        """Make the calling thread the owner."""
        self.owner = threading.get_ident()
        self.owner_client = _served_client()
        if self.is_strict:
            self.pool.by_thread.clear()

    def clear_owner(self) -> None:
        """Make the next thread that uses the proxy its owner."""
        self.owner = UNOWNED
        self.owner_client = None
        self.pool.by_thread.clear()

    def mark_in_transit(self) -> None:
        """Forbid all threads to use the proxy while the message that contains it is being decoded, see _values.recreation."""
        self.owner = IN_TRANSIT
        self.owner_client = None
        self.pool.by_thread.clear()

    def check_usable(self) -> None:
        if self.is_strict or self.owner == IN_TRANSIT:
            self.check_owner()

    def check_owner(self) -> None:
        """Raise PyroError if the calling thread is not the owner."""
        # Two threads may claim an unowned proxy at the same moment; the last one to write becomes the owner, and the other
        # gets the error below at its next use. A lock would not help: the program has to decide which thread uses it.
        if self.owner == UNOWNED:
            self.claim()
        if self.owner == IN_TRANSIT:
            raise errors.PyroError("the message that contains this proxy for '%s' is still being decoded; the proxy can be "
                                   "used after that" % self.uri)
        options = options_for(self)
        ident = threading.get_ident() if options is None or not options.thread else options.thread
        if self.owner != ident and (self.owner_client is None or self.owner_client != _served_client()):
            raise errors.PyroError("the calling thread is not the owner of this proxy for '%s'; call _pyroClaimOwnership() in "
                                   "this thread, or give every thread a copy of the proxy" % self.uri)

    @property
    def retry_budget(self) -> RetryBudget:
        """The failures that may still be repeated."""
        budget: RetryBudget = self._get_or_create("retry budget", RetryBudget)
        return budget

    @property
    def background(self) -> futures.BackgroundCalls:
        """The calls that run in threads of their own."""
        if self.fork_count != forks.number:
            self._close_inherited()
        calls: futures.BackgroundCalls = self._get_or_create("background calls", futures.BackgroundCalls)
        return calls

    def _get_or_create(self, name: str, create: Callable[[], Any]) -> Any:
        # Threads that share the proxy may be here at the same time. All get the same object, because setdefault() is atomic.
        return self._created.get(name) or self._created.setdefault(name, create())

    def _close_inherited(self) -> None:
        super()._close_inherited()
        # Their threads, and those that hold their locks, are missing in this process.
        self._created, self.exclusive = {}, None

    @property
    def calls_at_once(self) -> int:
        """How many calls may be in flight."""
        return self.max_connections if self.parallel else 1

    def is_nested(self) -> bool:
        """Return whether a call that is made here is nested in one that is in flight over this link."""
        return callcontext.running_call() is not None and self.pool.is_nested(
            threading.get_ident(), callcontext.correlation_bytes())

    # ------------------------------------------------------------ which connection

    def acquire_ready(self) -> Optional[Connection]:
        """Return the connection that the calling thread used last, locked for one call, if the next request can go over it
        now.

        This is all that a call costs in most programs: no mutex is needed, as the lock of the connection decides. Threads that
        wait come first. The caller passes the connection to `call` or `unlock`.
        """
        ident = threading.get_ident()
        connection = self.pool.by_thread.get(ident)
        # A thread that waits has come first. After a fork, the table is that of the parent.
        if (connection is None or self.fork_count != forks.number or self.pool.waiters
                or not connection.lock.acquire(False)):
            return None
        connection.user = ident
        if self.abandoned_streams or connection.mid_exchange:
            return self._checked(connection)
        # While the object is in exclusive use, all calls go over the connection that has acquired it.
        if self.exclusive is not None and self.exclusive is not connection:
            self.unlock(connection)
            return None
        return connection

    def is_ready(self) -> bool:
        """Return whether there is a connection over which requests can be sent.

        Raises:
            PyroError: the calling thread may not use the proxy.
        """
        self.check_usable()
        connection = self.connection
        # One that is in use looks broken from another thread: mid_exchange is set until its reply is complete.
        return connection is not None and self.fork_count == forks.number and (
            not connection.mid_exchange or connection.lock.locked())

    def acquire(self, connect: Callable[[], Any], validate: Callable[[Any], None],
                preferred: Optional[Connection] = None) -> Connection:
        """Return a connection, locked for one call. If there is none, connect; if all are in use, open another or wait for
        one.

        Args:
            connect: opens the first connection, with `connect` of this link.
            validate: as for `connect`, for further connections.
            preferred: the connection that the call belongs to, if that is still open.

        Raises:
            TimeoutError: the deadline, or the timeout of the proxy, has passed while all connections were in use.
            PyroError: the calling thread may not use the proxy.
            Exception: what `connect` raises.
        """
        if self.fork_count != forks.number:
            self._close_inherited()
        self.check_usable()
        deadline = self.deadline_for_waiting()
        exclusive = self.exclusive
        connection: Optional[Connection] = None
        while connection is None:
            if exclusive is not None and preferred is None and exclusive.mid_exchange and not exclusive.lock.locked():
                # Going on over another connection would be silent, and other clients may use the object by now.
                raise errors.ConnectionClosedError("the exclusive use of '%s' has ended, as its connection was lost: leave "
                                                   "the block of _pyroExclusive()" % self.uri)
            connection = self._checked(self._claim(connect, validate, preferred or exclusive, deadline))
        if self.is_strict and self.owner != connection.user:
            self.pool.by_thread.pop(connection.user, None)  # it serves the owner's client: the next call is checked again
        return connection

    def _claim(self, connect: Callable[[], Any], validate: Callable[[Any], None], preferred: Optional[Connection],
               deadline: Optional[float]) -> Optional[Connection]:
        # A call made while a request is served may be one that the other side waits for, see ConnectionPool.claim.
        is_serving = callcontext.running_call() is not None
        nested_in = callcontext.correlation_bytes() if is_serving else None
        limit = self.max_connections if self.parallel else 1
        step = self.pool.claim(threading.get_ident(), limit, nested_in, is_serving, preferred)
        if isinstance(step, Connection):
            return step
        if isinstance(step, Waiter):
            return self.pool.wait(step, deadline)
        if step is not OPEN_FIRST:
            return self._open_another(step, validate)
        connecting = self.pool.connecting
        if not connecting.acquire(deadline):
            raise errors.not_sent(errors.TimeoutError("timed out while another thread was connecting to %s" % self.uri))
        try:
            if self.pool.first() is None:  # else another thread was faster
                connect()
        finally:
            connecting.release()
        return None

    def deadline_for_waiting(self) -> Optional[float]:
        """Return the monotonic time until which a call may wait for a connection, None for no limit."""
        timeout = effective_timeout(self.timeout) if own_deadline(self) is None else None
        return earlier(deadline_for(self), None if timeout is None else time.monotonic() + timeout)

    def _checked(self, connection: Optional[Connection]) -> Optional[Connection]:
        """Return a locked connection if it can be used: close the streams that were dropped, or else the connection."""
        if connection is None:
            return None
        if connection.is_suspect:
            # Whether the server has closed this one as well is cheap to find out, and saves a call that would fail.
            connection.is_suspect = False
            connection.mid_exchange = connection.mid_exchange or connection.peer_has_closed()
        if not connection.mid_exchange:
            self._close_abandoned_streams(connection)
        if connection.mid_exchange:
            self.drop(connection)
            self.unlock(connection)
            return None
        return connection

    # ------------------------------------------------------------ failures

    def was_reconnected(self) -> bool:
        """Return whether the proxy was connected again since the last call of the calling thread, which failed."""
        connection = self.connection
        return (connection is not None and self.is_ready()
                and self.pool.is_newer_than_failure(connection, threading.get_ident()))

    def cancel(self, correlation_id: bytes, seq: int) -> None:
        """Ask the server to cancel a call that is in flight, in the background, over another connection."""
        send = functools.partial(self.send_cancellation, correlation_id, seq)
        self._get_or_create("cancellations", futures.BackgroundCalls).start(send, 1)

    def send_cancellation(self, correlation_id: bytes, seq: Optional[int]) -> None:
        """Send a cancellation over a connection of its own: that of the call is in use. Errors are logged, not raised."""
        arguments = [str(uuid.UUID(bytes=correlation_id)), seq]
        token = current_options.set(CallOptions(self, time.monotonic() + CANCEL_SECONDS))
        try:
            connection = self.pool.claim_side(threading.get_ident()) or self._open_another(OPEN_SIDE, lambda response: None)
            if connection is not None:
                self.call(connection, CANCEL_METHOD, arguments, {}, FLAGS_ONEWAY, DAEMON_NAME)
                if self.connection is None:  # the proxy was released meanwhile, or is about to connect again
                    self.drop(connection, keep_socket=True)
        except Exception as x:  # border of a thread
            log.info("a call of %s cannot be cancelled on the server: %s", self.bound_uri, x)
        finally:
            current_options.reset(token)

    # ------------------------------------------------------------ item streams

    def abandon_stream(self, stream_id: str) -> None:
        """Ask the server to close an item stream: now if that is possible without blocking, otherwise with the next call.

        The server also closes the stream when the connection ends. Finalizers call this, in any thread and even in the middle
        of a call; so it never blocks, and never raises an exception for a connection that failed.
        """
        if self.fork_count != forks.number or self.connection is None:
            return  # the stream belongs to the parent process, or was closed together with its connection
        self.abandoned_streams.append(stream_id)
        connection = self.stream_homes.get(stream_id) or self.connection
        self.forget_stream(stream_id)
        if connection.mid_exchange or self.pool.waiters or not connection.lock.acquire(blocking=False):
            return
        try:
            self._close_abandoned_streams(connection)
        finally:
            # Without handing it over, as the mutex of the pool may be held by the code that this interrupted; a thread that
            # began to wait meanwhile looks again after a while.
            connection.lock.release()

    def _close_abandoned_streams(self, connection: Connection) -> None:
        """Send the requests that close the dropped streams. Those that cannot be sent without blocking stay in the list."""
        while self.abandoned_streams and not connection.mid_exchange:
            try:
                stream_id = self.abandoned_streams.pop()
            except IndexError:  # another thread, which uses another connection, has taken the last one
                return
            seq = self.pool.seq = (self.pool.seq + 1) & 0xFFFF
            request = requests.invoke_request(self.serializer, seq, FLAGS_ONEWAY, DAEMON_NAME, CLOSE_STREAM_METHOD,
                                           [stream_id], {}, self.wire)
            if not connection.send_if_ready(request):
                self.abandoned_streams.append(stream_id)
                return
