"""The calls of a proxy over its connections: build the request, send it, receive the reply, and decide what an error means."""
from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple

from .. import callcontext, errors, serializers
from .._messages import out_of_band, replies, requests
from .._wire import features
from ..callcontext import get_request
from ..configure import global_version
from ..protocol import FLAGS_ONEWAY, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from ..socketutil import effective_timeout
from .call_options import current_options, earlier, options_for, own_deadline, seconds_until, with_trace
from .connection import Connection
from .connector import Connector
from .failures import request_error, server_closes_after


class Caller(Connector):
    """Makes calls over the connections of a `Connector`, each over one that was locked for it."""

    __slots__ = ()

    def unlock(self, connection: Connection) -> None:
        """End the use of a connection that was acquired."""
        if connection is not self.connection:
            connection.idle_since = time.monotonic()
        self.pool.release(connection)

    def prepare(self, connection: Connection, method: str, flags: int, make_annotations: Callable[[], Any]) -> Any:
        """Return the flags and the annotations of a call; if that fails, unlock its connection."""
        try:
            # the flag alone makes a call oneway: the server does not look at how the method was declared
            if method in self.oneway:
                flags |= FLAGS_ONEWAY
            return flags, make_annotations()
        except BaseException:  # code of the program raised it
            self.unlock(connection)
            raise

    def call(self, connection: Connection, method: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]],
             flags: int, object_id: Optional[str] = None, annotations: Optional[Mapping[str, bytes]] = None) -> Any:
        """Call a method over a connection that was acquired for this, and unlock it.

        Args:
            object_id: of another object of the same daemon, None for the own one.
            annotations: to send besides those of the current context.

        Returns:
            the result; None for a oneway call; replies.StreamOpened for an iterator; with raw_response the reply itself.

        Raises:
            CommunicationError: the connection is gone (also if the server raised it, except before anything was sent).
        """
        try:
            if global_version.number != self.settings_version:
                self._read_settings()
            seq = self.pool.seq = self._next_seq(connection) if connection.late else (self.pool.seq + 1) & 0xFFFF
            # A new one toward peers of this release, which recognize nested calls by it, and can cancel this one.
            correlation_id: Any = (
                callcontext.correlation_bytes() if connection.features is None else callcontext.correlation_or_new())
            connection.call_id = correlation_id
            deadline, serializer = None, self.serializer
            if self.timeout or current_options.get() is not None or get_request().call is not None:
                deadline, serializer, annotations = self._apply_options(connection, seq, flags, annotations)
            serializer = serializer.for_dialect(connection.dialect)
            try:
                request = requests.invoke_request(serializer, seq, flags, object_id or self.object_id, method, args, kwargs,
                                                  self.wire, annotations, correlation_id, connection.buffers)
            except Exception as x:
                raise request_error(self.bound_uri, x, serializer, method, args, kwargs)  # noqa: B904  # it sets the cause
            try:
                return self.exchange(connection, request, serializer, method, flags, deadline)
            except BaseException as x:
                self.call_failed(connection, x, seq, deadline)
                raise
        finally:
            self.unlock(connection)

    def exchange(self, connection: Connection, request: SendingMessage, serializer: SerializerBase, method: str, flags: int,
                 deadline: Optional[float]) -> Any:
        """Send a request, and return what `call` returns."""
        if flags & FLAGS_ONEWAY:
            connection.send_oneway(request, method)
            return None
        reply = (connection.round_trip(request, method) if deadline is None
                 else connection.round_trip_until(deadline, request, method, own_deadline(self) is not None))
        if not self.raw_response:
            return self.result_of(reply, connection, serializer)
        callcontext.set_received_response(reply.annotations)
        return reply if reply.chunks is None else out_of_band.without_chunks(reply, serializer)

    def _apply_options(self, connection: Connection, seq: int, flags: int, annotations: Optional[Mapping[str, bytes]],
                       ) -> Tuple[Optional[float], SerializerBase, Optional[Mapping[str, bytes]]]:
        """Return the deadline of a call, its serializer, and the annotations to send.

        The timeout of the proxy limits single operations of the socket: a long reply may take longer. It is sent to the server
        as the deadline all the same, as the client does not wait longer for the first byte. Oneway calls have no deadline but
        one that was given for this call.
        """
        options = options_for(self)
        own = options.deadline if options is not None else None
        deadline = own if flags & FLAGS_ONEWAY else earlier(own, callcontext.call_deadline())
        timeout = None if flags & FLAGS_ONEWAY or own is not None else effective_timeout(self.timeout)
        left = seconds_until(earlier(deadline, None if timeout is None else time.monotonic() + timeout))
        if left == 0:
            raise errors.not_sent(errors.TimeoutError("calling %s: the deadline of the call has passed" % self.bound_uri))
        if options is not None and options.annotations:
            annotations = {**(annotations or {}), **options.annotations}
        known = connection.features or ()
        annotations = with_trace(annotations, "" if options is None else options.traceparent, known)
        if left is not None and features.DEADLINES in known:
            annotations = {**(annotations or {}), features.DEADLINE_ANNOTATION: features.encode_deadline(left)}
        if options is not None and options.on_sending is not None:
            options.on_sending(connection.call_id if features.CANCELLATION in known else None, seq)
        serializer = options.serializer if options is not None and options.serializer else self.serializer
        return None if flags & FLAGS_ONEWAY else deadline, serializer, annotations

    def _next_seq(self, connection: Connection) -> int:
        """Return a sequence number that no reply is awaited for."""
        seq = (self.pool.seq + 1) & 0xFFFF
        while seq in connection.late:
            seq = (seq + 1) & 0xFFFF
        return seq

    def call_failed(self, connection: Connection, error: BaseException, seq: int, deadline: Optional[float]) -> None:
        """Decide what becomes of a connection after a request that was sent, or was about to be."""
        if not connection.mid_exchange:
            if server_closes_after(error, connection):
                self.drop(connection)
        elif (deadline is not None and isinstance(error, errors.TimeoutError) and connection.features is not None
                and connection.reply_is_due):
            # The call had a deadline of its own. Its reply is thrown away when it comes, and the session goes on.
            connection.late.add(seq)
            connection.mid_exchange = False
            self.pool.call_failed(connection, connection.user, False)
        else:
            self.pool.call_failed(connection, connection.user, isinstance(error, errors.ConnectionClosedError))
            self.drop(connection)

    def result_of(self, reply: ReceivingMessage, connection: Connection, serializer: SerializerBase) -> Any:
        """Return the result of a call, whose request was encoded with this serializer."""
        callcontext.set_received_response(reply.annotations)
        if reply.serializer_id != serializer.serializer_id:  # a forwarded blob keeps its original serializer
            serializer = serializers.get_serializer_by_id(reply.serializer_id).for_dialect(connection.dialect)
        result = replies.parse_reply(reply, serializer)
        if type(result) is replies.StreamOpened:
            if result.stream_id is None:
                raise errors.ProtocolError("the result of the call is an iterator, but the server does not allow item streams "
                                           "(its setting ITER_STREAMING)")
            self.stream_homes[result.stream_id] = connection
            connection.streams.add(result.stream_id)
        return result
