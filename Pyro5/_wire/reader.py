"""Received bytes to messages, whatever slices the bytes arrive in."""
from __future__ import annotations

import io
from typing import Any, Optional, Tuple

from .. import errors
from ..protocol import FLAGS_COMPRESSED, HEADER_SIZE, PREFIX, PREFIX_SIZE, Buffer, ReceivingMessage, check_prefix, check_size
from . import buffers

RECEIVE_BYTES = 64 * 1024  # small messages arrive in one receive of this size
FIRST_BODY_BYTES = 64 * 1024  # what an announced body gets before any of it has arrived
INFLATED_RATIO = 32  # ordinary data hardly ever is compressed by more than that; what is made to do harm is, by 1000
MAX_BODY_STEP_BYTES = 16 * 1024 * 1024  # a body's buffer at most grows by this at once


class MessageReader:
    """Cuts a stream of received bytes into messages, whatever slices the bytes arrive in.

    Use: call :meth:`receive_from` when there is something to receive, then :meth:`next_message` until it gives None.  Or,
    without a socket: as long as :attr:`mid_body` is false hand bytes to :meth:`feed`, if it is true fill ``get_buffer()``
    and report the count with :meth:`received`.  So a small message is in memory once, as it was received, and a large body
    is received in place, into a buffer that grows with what arrives, never by what was announced.  Not thread-safe: one
    thread at a time.

    Args:
        max_size: limit in bytes for annotations and payload, as sent and after decompression; 0 for none.
        size_setting: name of the setting that this limit comes from.
        max_inflated: what a compressed payload may always become, in bytes; more than that only up to INFLATED_RATIO times
            what it has; 0 for no such limit.

    The attributes of these names may be changed between two messages.  So may ``free_annotations``, the number of bytes of
    annotations (which are not decoded) that do not count toward max_size, and ``inflated_ratio``, at first INFLATED_RATIO.

    ``refused`` is, after next_message() raised, the message whose header was sound but whose size or body was not (its
    type, sequence number and serializer id may be used to answer), else None.
    """

    __slots__ = ("max_size", "size_setting", "max_inflated", "_rest", "_position", "_message", "_body", "_room", "_filled",
                 "_target", "refused", "free_annotations", "inflated_ratio")

    def __init__(self, max_size: int = 0, size_setting: str = "MAX_MESSAGE_SIZE", max_inflated: int = 0) -> None:
        self.max_size = max_size
        self.size_setting = size_setting
        self.max_inflated = max_inflated
        self.free_annotations = 0
        self.inflated_ratio = INFLATED_RATIO
        self._rest: bytes = b""  # received and not yet consumed, from _position on
        self._position = 0
        self._message: Optional[ReceivingMessage] = None  # its header is in, its body is being received in place
        self._body: Optional[io.BytesIO] = None
        self._room = 0  # bytes that the body has memory for
        self._filled = 0
        self._target: Optional[memoryview] = None  # where bytes are being received right now
        self.refused: Optional[ReceivingMessage] = None

    @property
    def mid_message(self) -> bool:
        """Whether part of a message is in and the rest is still to come."""
        return self._message is not None or len(self._rest) > self._position

    @property
    def mid_body(self) -> bool:
        """Whether what comes next belongs into get_buffer()."""
        return self._message is not None

    @property
    def body_progress(self) -> Tuple[int, int]:
        """How many bytes of the body in progress are in, and how many it will have; 0 of 0 if there is none.  Any thread may
        look: the numbers may be a little old."""
        message = self._message
        return (0, 0) if message is None else (self._filled, message.body_size)

    @property
    def announced_bytes(self) -> int:
        """The size of the body that is being received in place, 0 if none is."""
        return 0 if self._message is None else self._message.body_size

    @property
    def buffered_bytes(self) -> int:
        """How much memory is taken up by what is in of a message."""
        return self._room + len(self._rest) - self._position

    def receive_from(self, sock: Any) -> int:
        """Receive once from a socket (what has ``recv`` and ``recv_into``); gives the number of bytes, 0 at the end."""
        if self._message is not None:
            target = self.get_buffer()
            try:
                count: int = sock.recv_into(target)
            except BaseException:
                # kept, it would be collected after its BytesIO if both are in a cycle, which Python reports as an error
                self._target = None
                target.release()
                raise
            self.received(count)
            return count
        data: bytes = sock.recv(RECEIVE_BYTES)
        if self._rest:
            self.feed(data)
        else:
            self._rest = data
        return len(data)

    def feed(self, data: bytes) -> None:
        """Take in bytes that were received, while no body is being received."""
        if self._message is not None:
            raise ValueError("feed() in the middle of a body")
        rest = self._rest
        self._rest = rest[self._position:] + data if rest else data
        self._position = 0

    def get_buffer(self) -> memoryview:
        """Give the memory to receive into next: the free part of the body in progress."""
        if self._message is None or self._body is None:
            raise ValueError("get_buffer() without a body")
        if self._target is not None:
            self._target.release()  # the last receive failed: a buffer that is still looked at could not grow
        if self._filled == self._room:
            # it doubles, in bounded steps and never beyond what was announced
            self._make_room(self._body, min(2 * self._room, self._room + MAX_BODY_STEP_BYTES, self._message.body_size))
        with self._body.getbuffer() as whole:
            self._target = whole[self._filled:]
        return self._target

    def received(self, count: int) -> None:
        """Take note of `count` bytes received into the memory that get_buffer() gave."""
        target, self._target = self._target, None
        if target is None:
            raise ValueError("received() without get_buffer()")
        self._filled += count
        target.release()  # a buffer that somebody still looks at could not grow

    def next_message(self) -> Optional[ReceivingMessage]:
        """Take the next whole message out, None if there is none yet.

        Raises:
            ProtocolError, MessageTooLargeError: the stream cannot be read any further.
        """
        if self._message is not None:
            return self._finish_body(self._message)
        rest, position = self._rest, self._position
        body_start = position + HEADER_SIZE
        if len(rest) < body_start:
            if len(rest) >= position + PREFIX_SIZE:
                check_prefix(*PREFIX.unpack_from(rest, position))
            return None
        message = ReceivingMessage(rest, None, position)
        body_size = message.annotations_size + message.data_size
        if body_size > self.max_size:
            self._check_announced(message)
        end = body_start + body_size
        if len(rest) < end:
            self._begin_body(message, body_start)
            return None
        if end == len(rest):
            self._rest, self._position = b"", 0
        else:
            self._position = end
        if message.annotations_size or message.flags & FLAGS_COMPRESSED:
            self._add_payload(message, rest[body_start:end])
        else:
            message.data = rest[body_start:end]
        return message

    def _check_announced(self, message: ReceivingMessage) -> None:
        try:
            counted = message.body_size - min(message.annotations_size, self.free_annotations)
            check_size(counted, self.max_size, self.size_setting)
        except errors.MessageTooLargeError:
            self.refused = message
            raise

    def _add_payload(self, message: ReceivingMessage, body: Buffer) -> None:
        size, setting = self.max_size, self.size_setting
        if self.max_inflated and message.flags & FLAGS_COMPRESSED:
            inflated = max(self.max_inflated, self.inflated_ratio * message.data_size)
            if not size or inflated < size:
                size, setting = inflated, "MAX_INFLATED_SIZE"
        try:
            message.add_payload(body, size, setting)
        except errors.ProtocolError:
            self.refused = message
            raise

    def _begin_body(self, message: ReceivingMessage, body_start: int) -> None:
        self._message = message
        self._body = io.BytesIO()  # it grows without copies, and gives bytes away without one
        self._filled = self._body.write(memoryview(self._rest)[body_start:])
        self._make_room(self._body, min(message.body_size, max(2 * self._filled, FIRST_BODY_BYTES)))
        self._rest, self._position = b"", 0

    def _make_room(self, body: io.BytesIO, size: int) -> None:
        if size > self._filled:
            body.seek(size - 1)
            body.write(b"\0")
        self._room = size

    def _finish_body(self, message: ReceivingMessage) -> Optional[ReceivingMessage]:
        if self._filled < message.body_size or self._body is None:
            return None
        payload = self._body.getvalue()
        self._body, self._message, self._room, self._filled = None, None, 0, 0
        if len(payload) > buffers.LARGE_BYTES:
            buffers.expect_large(len(payload))
        self._add_payload(message, payload)
        return message
