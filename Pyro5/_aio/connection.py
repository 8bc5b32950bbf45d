"""A connection with many calls in flight: replies are matched to requests by their sequence numbers.

The requests of one turn of the event loop leave in one send. A request waits while the window is full or the transport is
congested, so the memory that a stalled server costs is bounded.
"""
from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import deque
from typing import Any, Callable, Deque, Dict, FrozenSet, List, Optional, Union

from .. import config, errors, protocol, serializers
from .._client.connection import REPLY_INFLATED_FACTOR
from .._messages import replies, requests
from .._messages.out_of_band import BufferOptions, options_for
from .._messages.requests import WireOptions
from .._net.shared_memory import shared_with
from .._net.stream_sockets import set_keepalive
from .._wire import features
from .._wire.reader import MessageReader
from ..constants import CLOSE_STREAM_METHOD, DAEMON_NAME
from ..protocol import FLAGS_ITEMSTREAMRESULT, FLAGS_ONEWAY, MSG_RESULT, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase

log = logging.getLogger("Pyro5.aio")

WINDOW = 1024  # calls in flight toward servers of this release
# Servers of other releases leave Nagle's algorithm on: a reply then waits for the acknowledgement of the one before, which
# the system delays by up to 40 ms. Where it can be told to acknowledge at once, calls in flight are fast there too.
QUICKACK: Optional[int] = getattr(socket, "TCP_QUICKACK", None) if sys.platform.startswith("linux") else None
WINDOW_OF_OTHERS = 64 if QUICKACK is not None else 1
QUEUED_BYTES = 256 * 1024  # requests of one turn of the loop beyond this size wait for the next turn
# The server answers one request of a connection after the other. When nothing has come for this long although replies are due,
# a call is taking long there, and new calls use another connection.
STALLED_SECONDS = 0.01
CLOSE_SECONDS = 2.0  # how long a closed connection may take to send what is left


class Connection(asyncio.Protocol):
    """One connection to a server. Only code in its event loop may use it.

    Args:
        target: the name and location of the object, for the texts of errors and logs.
        max_size: size of the largest message to accept, in bytes; 0 is no limit.

    Attributes:
        features: the features that the server uses, see _wire.features; None for a server of another release.
        dialect: of payloads, see SerializerBase.for_dialect.
        variants: the variants of serializers for this dialect that were used, see `variant_of`.
        buffers: how large buffers may be sent, see _messages.out_of_band.
        seq: the sequence number of the last request.
        pending: sequence number -> the future of the reply. Calls that were cancelled stay in it until their reply has come
            and was thrown away, so that their numbers are not used again before.
        closed: done when the connection has ended.
        notices_stalls: whether to keep is_stalled.
        is_stalled: whether replies are due, and nothing has come for STALLED_SECONDS.
        streams: number of item streams that were opened over it and may have more items.
        keep_open: False; as of the connections of other clients.
    """

    keep_open = False

    def __init__(self, loop: asyncio.AbstractEventLoop, target: str, max_size: int = 0) -> None:
        self.loop = loop
        self.target = target
        self.features: Optional[FrozenSet[str]] = None
        self.dialect = 0
        self.variants: Dict[SerializerBase, SerializerBase] = {}
        self.buffers: Optional[BufferOptions] = None
        self.pending: Dict[int, asyncio.Future[ReceivingMessage]] = {}
        self.closed: asyncio.Future[None] = loop.create_future()
        self.notices_stalls = False
        self.is_stalled = False
        self._stall_timer: Optional[asyncio.TimerHandle] = None
        self._receives = self._receives_before = 0
        self.streams = 0
        self.transport: Any = None
        self.seq = 0
        self._handshake_done = False
        self.on_end: Optional[Callable[[], None]] = None  # called once, before the calls in flight fail
        self._window = 1
        # The numbers of pending, in the order of the requests, which is that of the replies; None if the server may answer in
        # another order.
        self._order: Optional[Deque[int]] = deque()
        self._outgoing: List[SendingMessage] = []
        self._queued_bytes = 0
        self._is_paused = False
        self._is_retired = False
        self._waiters: Deque[asyncio.Future[None]] = deque()
        self._reader = MessageReader(max_size, max_inflated=REPLY_INFLATED_FACTOR * (config.MAX_INFLATED_SIZE or 0))
        self._quickack_socket: Any = None
        self._log_wire = bool(config.LOGWIRE)

    def read_settings(self, max_size: int) -> None:
        """Apply the current settings, and this limit in bytes, from the next message on."""
        self._reader.max_size = max_size
        self._reader.max_inflated = REPLY_INFLATED_FACTOR * (config.MAX_INFLATED_SIZE or 0)
        self._log_wire = bool(config.LOGWIRE)

    # ------------------------------------------------------------ state

    @property
    def is_open(self) -> bool:
        """Whether new requests can be sent."""
        return self.transport is not None and not self._is_retired and not self.transport.is_closing()

    @property
    def is_full(self) -> bool:
        """Whether a new request has to wait, see `wait_for_room`."""
        return self._is_paused or self._queued_bytes > QUEUED_BYTES or len(self.pending) >= self._window

    @property
    def has_room(self) -> bool:
        """Whether a new request can be sent at once."""
        # The transport is not asked, which would be a call: if it is closing, the request fails as one that was not sent.
        return not (self._is_retired or self._is_paused or len(self.pending) >= self._window
                    or self._queued_bytes > QUEUED_BYTES)

    def variant_of(self, serializer: SerializerBase) -> SerializerBase:
        """Return the variant of a serializer that the peer understands, and store it in `variants`."""
        variant = self.variants[serializer] = serializer.for_dialect(self.dialect)
        return variant

    @property
    def has_waiting_calls(self) -> bool:
        """Whether a task waits for a reply."""
        return any([not future.done() for future in self.pending.values()])

    def begin(self, found: Optional[FrozenSet[str]]) -> None:
        """Note that the handshake has succeeded, and which features the server has announced."""
        self._handshake_done = True
        self.features = found
        self.dialect = features.dialect_of(found)
        self.variants.clear()
        self.buffers = options_for(found, shared_with(found, is_client=True))
        if self.buffers is not None:
            self._reader.has_chunks, self._reader.shared = True, self.buffers.shared
        self._window = WINDOW
        if found is not None and features.OUT_OF_ORDER in found:
            self._order = None
        elif found is None:
            sock = self.transport.get_extra_info("socket")
            if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
                self._window = WINDOW_OF_OTHERS
                self._quickack_socket = sock if QUICKACK is not None else None

    def was_used(self) -> bool:
        """Return whether it is in use, or has been used since this was called before."""
        before, self._receives_before = self._receives_before, self._receives
        return bool(self.pending) or self.streams > 0 or self._receives != before

    def next_seq(self) -> int:
        """Return a sequence number that no reply is awaited for."""
        seq = (self.seq + 1) & 0xFFFF
        while seq in self.pending:
            seq = (seq + 1) & 0xFFFF
        self.seq = seq
        return seq

    def _expect_progress(self) -> None:
        # With a timer instead of the time of the last reply: when the program keeps the loop busy, replies wait to be read,
        # and a loop reads before it runs timers.
        self._stall_timer = self.loop.call_later(STALLED_SECONDS, self._check_progress, self._receives)

    def _check_progress(self, receives_before: int) -> None:
        self._stall_timer = None
        if self.pending and self._receives == receives_before:
            self.is_stalled = True
        elif self.pending:
            self._expect_progress()

    # ------------------------------------------------------------ sending

    def exchange(self, request: SendingMessage) -> asyncio.Future[ReceivingMessage]:
        """Send a request, and return the future of its reply."""
        if self.notices_stalls and self._stall_timer is None and not self.is_stalled:
            self._expect_progress()
        future = self.pending[request.seq] = self.loop.create_future()
        if self._order is not None:
            self._order.append(request.seq)
        if self._log_wire:
            self.send(request)
            return future
        # what send() does, inlined for calls
        if not self._outgoing:
            self.loop.call_soon(self._flush)
        self._outgoing.append(request)
        self._queued_bytes += request.size
        return future

    def send(self, request: SendingMessage) -> None:
        """Send a request at the end of this turn of the loop, together with the others of the turn."""
        if self._log_wire:
            protocol.log_wiredata(log, "sending to %s" % self.target, request)
        if not self._outgoing:
            self.loop.call_soon(self._flush)
        self._outgoing.append(request)
        self._queued_bytes += request.size
        if len(request.buffers) > 1:
            self._flush()  # other tasks must not change the buffers of the request before they are sent

    def _flush(self) -> None:
        outgoing = self._outgoing
        if not outgoing or self.transport.is_closing():
            return  # what is left in the list was certainly not sent, see _lost()
        self._outgoing, self._queued_bytes = [], 0
        self.transport.write(b"".join([buffer for request in outgoing for buffer in request.buffers]))
        if self._waiters:
            self.wake_waiters()

    def withdraw(self, request: SendingMessage) -> bool:
        """Remove a request that has not been sent yet, and return whether this was possible."""
        if request not in self._outgoing:
            return False
        self._outgoing.remove(request)
        self._queued_bytes -= request.size
        if self.pending.pop(request.seq, None) is not None and self._order is not None:
            self._order.remove(request.seq)
        self.wake_waiters()
        return True

    def close_stream(self, stream_id: str, serializer_id: int) -> None:
        """Ask the server to close an item stream."""
        if self.is_open:
            self.send(requests.invoke_request(serializers.get_serializer_by_id(serializer_id), self.next_seq(), FLAGS_ONEWAY,
                                              DAEMON_NAME, CLOSE_STREAM_METHOD, [stream_id], {}, WireOptions()))

    def drop_stream(self, stream_id: str, serializer_id: int) -> None:
        """Do what close_stream() does, for a stream that was counted in `streams` and is not used any more."""
        self.streams -= 1
        self.close_stream(stream_id, serializer_id)

    async def wait_for_room(self) -> None:
        """Wait until a request can be sent, or the connection has ended. Another task may be faster: look again."""
        waiter = self.loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self.wake_waiters()  # another one instead of this one
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def wake_waiters(self) -> None:
        """Wake as many waiting calls as there is room for."""
        room = len(self._waiters) if not self.is_open else 0 if self.is_full else self._window - len(self.pending)
        while room > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1

    # ------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            set_keepalive(sock)

    def data_received(self, data: bytes) -> None:
        if self._quickack_socket is not None:
            self._acknowledge()
        self._receives += 1
        self.is_stalled = False
        try:
            self._parse(data)
        except errors.MessageTooLargeError as x:  # a MessageTooLargeError means the limit of the server, this is ours
            self.fail(errors.ProtocolError(str(x)))
        except errors.ProtocolError as x:
            self.fail(x)
        if self._waiters:
            self.wake_waiters()
        if self._is_retired and not self.pending:
            self.close()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.wake_waiters()

    def eof_received(self) -> None:
        self._is_retired = True  # the transport closes itself

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._quickack_socket = None
        self._lost("connection closed by the other side" if exc is None else "connection lost: %s" % exc)
        if not self.closed.done():
            self.closed.set_result(None)
        # Python 3.8 to 3.10: the transport of a lost TLS connection warns that it was not closed.
        self.transport.abort()

    # ------------------------------------------------------------ receiving

    def _acknowledge(self) -> None:
        try:
            # the system switches it off again by itself
            self._quickack_socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        except OSError:
            self._quickack_socket = None

    def _parse(self, data: Union[bytes, memoryview]) -> None:
        reader = self._reader
        while data and reader.mid_body:
            # the part of a large body that arrived; what follows it is fed below
            target = reader.get_buffer()
            count = min(len(target), len(data))
            target[:count] = data[:count]
            del target
            reader.received(count)
            data = memoryview(data)[count:]
            message = reader.next_message()
            if message is not None:
                self._deliver(message)
        if data:
            reader.feed(bytes(data))
            message = reader.next_message()
            while message is not None:
                self._deliver(message)
                message = reader.next_message()

    def _deliver(self, message: ReceivingMessage) -> None:
        """Set the result of the call that a message is the reply to."""
        if self._log_wire:
            protocol.log_wiredata(log, "received from %s" % self.target, message)
        if message.type != MSG_RESULT and self._handshake_done:
            raise errors.ProtocolError("the reply is a message of type %d, expected %d" % (message.type, MSG_RESULT))
        # Checked before it is used: a reply that came twice, or in another order, may hold what another caller asked for.
        order = self._order
        if order is not None:
            if not order or order[0] != message.seq:
                raise errors.ProtocolError("reply out of sync, its sequence number is %d, expected %s"
                                           % (message.seq, order[0] if order else "none"))
            order.popleft()
        future = self.pending.pop(message.seq, None)
        if future is None:
            raise errors.ProtocolError("reply out of sync, no call has its sequence number %d" % message.seq)
        if not future.done():
            future.set_result(message)
        elif message.flags & FLAGS_ITEMSTREAMRESULT:
            # the call was cancelled
            self.discard_stream(message)

    def discard_stream(self, message: ReceivingMessage) -> None:
        """Close the item stream that a reply has opened, for a caller that does not wait for it any more."""
        stream_id = message.annotations.get(replies.STREAM_ANNOTATION)
        if stream_id is not None:
            self.close_stream(bytes(stream_id).decode("ascii", "replace"), message.serializer_id)

    # ------------------------------------------------------------ ending

    def retire(self) -> None:
        """Send no further requests, and close the connection when there are no more calls in flight."""
        self._is_retired = True
        self.wake_waiters()
        if not self.pending:
            self.close()

    def fail(self, error: errors.PyroError) -> None:
        """End the connection; the calls in flight raise the error."""
        self._lost(str(error), type(error))
        self.abort()

    def close(self) -> None:
        """Send what is left, and end the connection."""
        if self.transport is not None and not self.transport.is_closing():
            self._flush()
            self.transport.close()
        self._lost("the proxy was released")

    def abort(self) -> None:
        """End the connection at once."""
        if self.transport is not None and not self.loop.is_closed():
            self.transport.abort()
        self._lost("the connection was closed")

    async def wait_closed(self) -> None:
        """Wait until the connection has ended; after some seconds what is left to be sent is thrown away."""
        if self.transport is None:
            return
        try:
            await asyncio.wait({self.closed}, timeout=CLOSE_SECONDS)
        finally:
            if not self.closed.done():
                self.transport.abort()
        await asyncio.wait({self.closed}, timeout=CLOSE_SECONDS)

    def _lost(self, reason: str, error_class: Any = errors.ConnectionClosedError) -> None:
        """Fail all calls in flight, each once."""
        self.buffers = self._reader.shared = None
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()
        pending, self.pending = self.pending, {}
        unsent = {request.seq for request in self._outgoing}
        self._order = None
        self._outgoing = []
        self._queued_bytes = 0
        self._is_retired = True
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        for seq, future in pending.items():
            if not future.done():
                error = error_class(reason)
                future.set_exception(errors.not_sent(error) if seq in unsent else error)
        self.wake_waiters()
