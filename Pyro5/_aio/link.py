"""The link of an asyncio proxy with its object: its event loop, its connections, and calls over them.

Kept apart from the proxy, all of whose names without ``_pyro`` belong to the remote object.
"""
from __future__ import annotations

import asyncio
import time
from asyncio import get_running_loop
from typing import Any, Dict, Mapping, NoReturn, Optional, Sequence, Tuple

from .. import callcontext, errors, serializers
from .._client.call_options import earlier, seconds_until, with_trace
from .._client.failures import request_error, server_closes_after
from .._client.retry import Retry, RetryBudget
from .._messages import limits, replies, requests
from .._values.uri import URI
from .._wire import features
from ..callcontext import get_request
from ..client import WIRE_TAG
from ..configure import global_version
from ..protocol import FLAGS_ITEMSTREAMRESULT, FLAGS_ONEWAY, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from ..socketutil import effective_timeout
from .connection import Connection
from .connections import Connections

_TAG = WIRE_TAG.encode("ascii")  # the class tag of proxies, as it is in all serializers


class Link(Connections):
    """Everything an asyncio proxy knows. Only tasks of one event loop use it: the loop of the first use.

    Attributes:
        max_retries: how often a call is repeated after a lost connection or a timeout.
        retry: how calls that fail are repeated; None: as max_retries says.
        retry_budget: the failures that may still be repeated.
    """

    def __init__(self, uri: URI) -> None:
        super().__init__(uri)
        self.retry: Optional[Retry] = None
        self.retry_budget = RetryBudget()  # failures that may be repeated are counted for all calls of the proxy together

    @property
    def is_plain(self) -> bool:
        """Whether a call without options is made once, and has no deadline but the timeout of the proxy."""
        # In the order of probability: most proxies have no retries, and most calls are not made while a request is served.
        return self.retry is None and not self.max_retries and (
            get_request().call is None or callcontext.passes_nothing_on())

    def deadline(self, timeout: Optional[float]) -> Optional[float]:
        """Return the monotonic time by which a call with this timeout of its own has to end, all attempts included."""
        own = None if timeout is None else time.monotonic() + timeout
        # A call that is made by a method ends when the client of that method stops waiting.
        return earlier(own, callcontext.call_deadline())

    def end_of_attempt(self, deadline: Optional[float], has_own_timeout: bool = False) -> Optional[float]:
        """Return the monotonic time by which an attempt has to end: the timeout of the proxy applies to each, unless the call
        has one of its own.
        """
        timeout = None if has_own_timeout else effective_timeout(self.timeout)
        return deadline if timeout is None else earlier(deadline, time.monotonic() + timeout)

    async def request(self, method: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int = 0, *,
                      deadline: Optional[float] = None, serializer: Optional[SerializerBase] = None,
                      annotations: Optional[Mapping[str, bytes]] = None, object_id: Optional[str] = None,
                      home: Optional[Connection] = None,
                      has_own_timeout: bool = False, traceparent: str = "") -> Tuple[Optional[ReceivingMessage], Connection]:
        """Send a request once, and return its reply (None for a oneway call) and the connection.

        Args:
            deadline: monotonic time by which this has to end.
            object_id: of another object of the same daemon, None for the own one.
            home: the connection that the request belongs to.
            has_own_timeout: whether the timeout of the proxy does not apply.
            traceparent: the trace context to send, empty for that of the request being served.

        Raises:
            TimeoutError: the reply did not come in time.
            CommunicationError: the connection failed.
        """
        # Before anything else: a proxy of another loop must not touch its connections.
        loop = self.use_loop()
        if global_version.number != self.settings_version:
            self.read_settings()
        # A call without any limit is spared the clock.
        end = deadline if not self.timeout else self.end_of_attempt(deadline, has_own_timeout)
        # Taken without waiting if possible, which saves a coroutine.
        connection = home or self.ready_connection()
        if connection is None or not connection.is_open or connection.is_full:
            connection = await self.acquire(end, home)
        # The server looks at the flag only, not at how the method was declared.
        if method in self.oneway:
            flags |= FLAGS_ONEWAY
        if end is not None:
            # The timeout of the proxy is sent as a deadline too, except for oneway calls, whose execution the client
            # does not wait for.
            annotations = self._with_deadline(connection, end if not flags & FLAGS_ONEWAY else deadline, annotations)
        annotations = with_trace(annotations, traceparent, connection.features)
        serializer = connection.variant_of(serializer or self.serializer)
        # From here to exchange() nothing is awaited: the number of the request and its place in the queue belong together.
        request = self.build(connection, serializer, flags, object_id, method, args, kwargs, annotations)
        if flags & FLAGS_ONEWAY:
            connection.send(request)
            return None, connection
        future = connection.exchange(request)
        # A timer and not wait_for(), which would need a task for each call.
        timer = None if end is None else loop.call_later(seconds_until(end) or 0.0, _expire, future)
        try:
            reply = await future
        except BaseException as x:
            self.call_failed(x, future, connection, request, method, deadline is not None)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        # The types of values depend on the serializer, so a reply in another one may have been made by another program.
        if reply.serializer_id != request.serializer_id:
            self.refuse_serializer(connection, request, reply, method)
        return reply, connection

    def ready_for(self, method: str) -> Optional[Connection]:
        """Return the connection for a call without options that can be sent at once; None if more has to be done for it."""
        # Each of these needs a step that the short way leaves out.
        if (get_running_loop() is not self.loop or global_version.number != self.settings_version or self.timeout
                or method not in self.methods or method in self.oneway):
            return None
        connections = self.connections
        # What ready_connection() does for nearly all proxies, without the call.
        if len(connections) == 1 and not (self.exclusive or connections[0].is_stalled):
            connection: Optional[Connection] = connections[0]
        else:
            connection = self.ready_connection()
        return connection if connection is not None and connection.has_room else None

    def refuse_serializer(self, connection: Connection, request: SendingMessage, reply: ReceivingMessage,
                          method: str) -> NoReturn:
        """End the connection of a reply that uses another serializer than its request."""
        connection.abort()
        raise errors.SerializeError("calling %s of %s: the reply uses serializer %d, the request used %d"
                                    % (method, self.bound_uri, reply.serializer_id, request.serializer_id))

    def build(self, connection: Connection, serializer: SerializerBase, flags: int, object_id: Optional[str], method: str,
               args: Sequence[Any], kwargs: Optional[Mapping[str, Any]],
               annotations: Optional[Mapping[str, bytes]]) -> SendingMessage:
        """Build a request, which is to be sent over this connection next."""
        # A new one toward peers of this release, as in _client.link.
        correlation_id = callcontext.correlation_bytes() if connection.features is None else callcontext.correlation_or_new()
        # What next_seq() does unless the next number belongs to a call that has been running for very long.
        seq = (connection.seq + 1) & 0xFFFF
        if seq in connection.pending:
            seq = connection.next_seq()
        connection.seq = seq
        try:
            return requests.invoke_request(serializer, seq, flags, object_id or self.object_id, method, args, kwargs,
                                           self.wire, annotations, correlation_id, connection.buffers)
        except Exception as x:
            raise request_error(self.bound_uri, x, serializer, method, args, kwargs)  # noqa: B904  # it sets the cause

    def _with_deadline(self, connection: Connection, end: Optional[float],
                       annotations: Optional[Mapping[str, bytes]]) -> Optional[Mapping[str, bytes]]:
        """Return the annotations to send, with the time that is left if the server understands it."""
        left = seconds_until(end)
        if left == 0:
            raise errors.not_sent(errors.TimeoutError("calling %s: the deadline of the call has passed" % self.bound_uri))
        if left is None or connection.features is None or features.DEADLINES not in connection.features:
            return annotations
        return {**(annotations or {}), features.DEADLINE_ANNOTATION: features.encode_deadline(left)}

    def call_failed(self, error: BaseException, future: asyncio.Future[ReceivingMessage], connection: Connection,
                     request: SendingMessage, method: str, had_deadline: bool) -> None:
        """Do what is left to be done after a request whose reply was not received, or came in the moment of a cancellation."""
        if isinstance(error, asyncio.CancelledError):
            # The task was cancelled while it waited: the future is cancelled with it, unless the reply came in the same turn.
            if future.cancelled():
                self._give_up(connection, request)
            elif future.exception() is None and future.result().flags & FLAGS_ITEMSTREAMRESULT:
                # The reply has come, but the program will never see the iterator in it: without this, it would stay
                # open at the server.
                connection.discard_stream(future.result())
        elif isinstance(error, errors.CommunicationError):
            errors.add_context(error, "calling %s of %s" % (method, self.bound_uri))
            if isinstance(error, errors.TimeoutError):
                self._timed_out(connection, request, error, had_deadline)

    def _give_up(self, connection: Connection, request: SendingMessage) -> None:
        """Cancel a call whose task was cancelled: here if it was not sent yet, else at the server if it can do that."""
        # Not written yet: neither the server nor the order of the replies is affected.
        if connection.withdraw(request):
            return
        correlation_id = request.corr_bytes
        # Otherwise the server executes the call, and its reply is discarded by its number.
        if (connection.is_open and connection.features is not None and features.CANCELLATION in connection.features
                and correlation_id is not None):
            self.cancel(correlation_id, request.seq)

    def _timed_out(self, connection: Connection, request: SendingMessage, error: errors.TimeoutError,
                   had_deadline: bool) -> None:
        # Not sent, so the call may be repeated without executing it twice.
        if connection.withdraw(request):
            errors.not_sent(error)
        elif not (connection.features is not None and had_deadline) and not connection.has_waiting_calls:
            # Only a server of this release ends a call at its deadline. Otherwise, and after the timeout of the proxy, the
            # server may be gone. The next call connects again.
            connection.abort()

    def parse(self, reply: ReceivingMessage, connection: Connection) -> Any:
        """Return the value in a reply; a `StreamOpened` for an iterator.

        Raises:
            Exception: what the method raised.
        """
        callcontext.set_received_response(reply.annotations)
        serializer = self.serializer
        if reply.serializer_id != serializer.serializer_id:  # a forwarded blob keeps its serializer
            serializer = serializers.get_serializer_by_id(reply.serializer_id)
        serializer = connection.variants.get(serializer) or connection.variant_of(serializer)
        try:
            # Most replies: a plain value that is short enough for the limits.
            if not reply.flags & replies.MORE_THAN_A_VALUE and len(reply.data) <= limits.FREE_BYTES and reply.chunks is None:
                result = serializer.loads(reply.data)
            else:
                result = replies.parse_reply(reply, serializer)
        except Exception as x:
            # The server closes the connection after this error: calls that are in flight still get their replies.
            if server_closes_after(x, connection):
                self.retire(connection)
            raise
        if type(result) is replies.StreamOpened and result.stream_id is None:
            raise errors.ProtocolError("the result of the call is an iterator, but the server does not allow item streams "
                                       "(its setting ITER_STREAMING)")
        return result

    def may_have_proxies(self, reply: ReceivingMessage) -> bool:
        """Return whether the value in a reply may contain proxies."""
        # In the bytes: proxies are rare, and a search in bytes is faster than a walk through the value.
        return _TAG in bytes(reply.data)

    def refuse(self, name: str) -> NoReturn:
        """Raise the exception for a name that is not that of an exposed method."""
        if name in self.attrs:
            raise TypeError("'%s' of remote object '%s' is an attribute, not a method: await it without calling it"
                            % (name, self.uri))
        raise AttributeError("remote object '%s' has no exposed attribute or method '%s'" % (self.uri, name))

    def options(self) -> Dict[str, Any]:
        """Return the options that copies of the proxy share."""
        names = "timeout", "max_retries", "retry", "wait_for_ready", "handshake", "pick", "results"
        return {name: getattr(self, name) for name in names}


def _expire(future: asyncio.Future[ReceivingMessage]) -> None:
    # The reply may have come in the same turn of the loop.
    if not future.done():
        future.set_exception(errors.TimeoutError("timeout"))
