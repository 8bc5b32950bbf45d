"""Parse a stream of received bytes into messages."""
from __future__ import annotations

import io
import sys
from typing import Any, Callable, Optional, Tuple

from .. import errors
from ..protocol import (FLAGS_COMPRESSED, HEADER_END, HEADER_SIZE, PLAIN_HEADER, PREFIX, PREFIX_SIZE, VALID_PREFIX, Buffer,
                        ReceivingMessage, check_prefix, check_size)
from . import buffers
from .chunks import MIN_CHUNK_BYTES, split_chunks

RECEIVE_BYTES = 64 * 1024  # size of a receive; a small message arrives in one
FIRST_BODY_BYTES = 64 * 1024  # initial size of the buffer for a body, independent of the size that the header announces
INFLATED_RATIO = 32  # ordinary data is rarely compressed by a higher factor; data of an attack can be, by a factor of 1000
MAX_BODY_STEP_BYTES = 16 * 1024 * 1024  # the buffer for a body grows by at most this size at once
AT_ONCE_BYTES = 256 * 1024  # of a body that is received at once, if it follows a large one; longer ones arrive in pieces
MAX_PIECES = 4  # that it is received in: the system sends up to 64 KB at once


class MessageReader:
    """Parses a stream of bytes, which arrive in pieces of any size, into messages. Not thread-safe: one thread uses it at a
    time.

    Call :meth:`receive_from` when the socket is readable, then :meth:`next_message` until it returns None. Without a socket:
    while :attr:`mid_body` is false pass the received bytes to :meth:`feed`; while it is true write them into ``get_buffer()``
    and report their number to :meth:`received`.

    A small message is kept in memory once, as it was received. A large body is received into a buffer of its own, without
    further copies. The buffer grows with the bytes that have arrived, and not with the size that the header announces: a
    header alone cannot make the process allocate much memory.

    Args:
        max_size: limit in bytes of annotations and payload, as sent and after decompression; 0 is no limit.
        size_setting: the name of the setting with this limit, for the texts of errors.
        max_inflated: the size in bytes that every compressed payload may be inflated to. A larger size is allowed up to
            inflated_ratio times the compressed size. 0 is no limit.

    Attributes:
        max_size, size_setting, max_inflated: see above. They may be changed between two messages.
        free_annotations: bytes of annotations that do not count toward max_size, because they are not decoded.
        inflated_ratio: see max_inflated; INFLATED_RATIO at first.
        has_chunks: messages may have large buffers beside their payload, see _wire.chunks.
        shared: the memory that both peers share, see _net.shared_memory; None if they do not.
        position: where the next message begins in the received bytes. Behind a message it is more than 0 if at least a part of
            the next one has been received.
        admit: called with the size of a body that has not arrived in one piece, before memory is allocated for it; may raise.
            None: not called.
        expects_large: the last message was a large one, and nothing has been received since.
        refused: after next_message() has raised an exception, the message if its header was valid but not its size or body.
            Its type, sequence number and serializer id can be used for a reply. Otherwise None.
    """

    __slots__ = ("max_size", "size_setting", "max_inflated", "_rest", "position", "_message", "_body", "_room", "_filled",
                 "_last_size", "_target", "expects_large", "refused", "free_annotations", "inflated_ratio", "admit",
                 "has_chunks", "shared")

    def __init__(self, max_size: int = 0, size_setting: str = "MAX_MESSAGE_SIZE", max_inflated: int = 0) -> None:
        self.max_size = max_size
        self.size_setting = size_setting
        self.max_inflated = max_inflated
        self.free_annotations = 0
        self.inflated_ratio = INFLATED_RATIO
        self._rest: bytes = b""  # received bytes; those from `position` on have not been parsed yet
        self.position = 0
        # While a large body is being received: the message with the parsed header, the buffer, its size and the bytes in it.
        self._message: Optional[ReceivingMessage] = None
        self._body: Any = None
        self._room = 0
        self._filled = 0
        self._last_size = 0  # of the last large body that was complete
        self.expects_large = False
        self._target: Optional[memoryview] = None  # the part of the buffer that the current receive writes to
        self.refused: Optional[ReceivingMessage] = None
        self.has_chunks = False
        self.shared: Any = None
        self.admit: Optional[Callable[[int], object]] = None

    @property
    def mid_message(self) -> bool:
        """Whether a part of a message has been received and the rest has not."""
        return self._message is not None or len(self._rest) > self.position

    @property
    def mid_body(self) -> bool:
        """Whether the next bytes must be received into get_buffer()."""
        return self._message is not None

    @property
    def body_progress(self) -> Tuple[int, int]:
        """The received bytes and the size in bytes of the body in progress; (0, 0) if there is none.

        Any thread may read this; the numbers may be slightly out of date.
        """
        message = self._message  # read once: the thread that receives may set it to None at any time
        return (0, 0) if message is None else (self._filled, message.body_size)

    @property
    def announced_bytes(self) -> int:
        """The size in bytes of the body that is being received, 0 if there is none."""
        return 0 if self._message is None else self._message.body_size

    @property
    def buffered_bytes(self) -> int:
        """The memory in bytes that is used by an incomplete message."""
        return self._room + len(self._rest) - self.position

    def receive_from(self, sock: Any) -> int:
        """Receive once from a socket (an object with ``recv`` and ``recv_into``); return the number of bytes, 0 at the end."""
        if self._message is not None:
            target = self.get_buffer()
            try:
                count: int = sock.recv_into(target)
            except BaseException:
                # Do not keep the view: if a reference cycle holds both, Python may collect the BytesIO first and report an
                # error, because a BytesIO with views cannot be destroyed.
                self._target = None
                target.release()
                raise
            self.received(count)
            return count
        if self.expects_large:
            # Another large one is likely. Its header is received alone, and the body where it stays: copying the beginning of
            # 100 KB takes as long as receiving all of it, because it is not in the cache of this processor yet.
            self.expects_large = False
            data: bytes = sock.recv(HEADER_SIZE)
        else:
            data = sock.recv(RECEIVE_BYTES)
        if self._rest:
            self.feed(data)
        else:
            self._rest = data
        return len(data)

    def feed(self, data: bytes) -> None:
        """Add received bytes. Must not be called while mid_body is true."""
        if self._message is not None:
            raise ValueError("feed() in the middle of a body")
        rest, self.expects_large = self._rest, False
        self._rest = rest[self.position:] + data if rest else data
        self.position = 0

    def get_buffer(self) -> memoryview:
        """Return the buffer for the next receive: the free part of the body in progress. It is valid until `received`."""
        if self._message is None or self._body is None:
            raise ValueError("get_buffer() without a body")
        if self._target is not None:
            self._target.release()  # the last receive failed; the buffer cannot grow while there are views of it
        if self._filled == self._room:
            # the size doubles, in limited steps and up to the announced size
            self._grow(self._body, min(2 * self._room, self._room + MAX_BODY_STEP_BYTES, self._message.body_size))
        with _view_of(self._body) as whole:
            self._target = whole[self._filled:]
        return self._target

    def received(self, count: int) -> None:
        """Report that `count` bytes were received into the result of get_buffer(), which is released."""
        target, self._target = self._target, None
        if target is None:
            raise ValueError("received() without get_buffer()")
        self._filled += count
        target.release()  # the buffer cannot grow while there are views of it

    def receive_large(self, source: Any, sock: Any, may_wait: Optional[Callable[[], bool]] = None,
                      flags: int = 0) -> Tuple[bytes, Optional[bytes]]:
        """Receive a message whose header is received alone. Return its header and its payload, if all of it has arrived, it is
        another large one, and nothing has to be decoded. Otherwise return what was received, for `feed`, and None.

        Only while expects_large is true. The memory of the payload is not cleared first. The header has been checked.

        Args:
            source: the header is received from it, and the payload from the socket.
            may_wait: whether to receive more if a part of the payload has arrived; called before each receive. None: always.
            flags: of receiving the payload. With flags, errors end this and are not raised: what was received is not lost, and
                if the connection is, the next receive notices that.
        """
        header: bytes = source.recv(HEADER_SIZE)
        self.expects_large = False
        if len(header) < HEADER_SIZE or self.admit is not None:
            return header, None
        begin, _, sizes, _, end = PLAIN_HEADER.unpack(header)
        size = sizes >> 32  # the lower half is the size of the annotations
        if (size > AT_ONCE_BYTES or 0 < self.max_size < size or sizes != size << 32
                or end != HEADER_END or not begin.startswith(VALID_PREFIX) or begin[9] & FLAGS_COMPRESSED):
            return header, None
        try:
            payload: bytes = sock.recv(size, flags)
        except OSError:
            if not flags:
                raise
            return header, None
        if len(payload) < size:
            payload = _continued(payload, size, source, may_wait, flags)
        if len(payload) < size or size <= buffers.LARGE_BYTES:
            return header + payload, None
        buffers.expect_large(size)
        self.expects_large = True
        return header, payload

    def next_message(self) -> Optional[ReceivingMessage]:
        """Remove the next complete message and return it, None if there is none yet.

        Raises:
            ProtocolError, MessageTooLargeError: no further messages can be read from the stream.
        """
        if self._message is not None:
            return self._finish_body(self._message)
        rest, position = self._rest, self.position
        size, body_start = len(rest), position + HEADER_SIZE
        if size < body_start:
            # Check the prefix as soon as it is there: a peer that speaks another protocol may never send a whole header.
            if size >= position + PREFIX_SIZE:
                check_prefix(*PREFIX.unpack_from(rest, position))
            return None
        message = ReceivingMessage(rest, None, position)
        body_size = message.annotations_size + message.data_size
        if body_size > self.max_size:  # also true if there is no limit (0): the method decides
            self._check_announced(message)
        end = body_start + body_size
        # Usually one receive is one message; several small ones are parsed from the same bytes without moving the rest.
        if size == end:
            self._rest, self.position = b"", 0
        elif size > end:
            self.position = end
        else:
            self._begin_body(message, body_start)
            return None
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
        if self.has_chunks and message.annotations:
            message.chunks = split_chunks(message.annotations)
            if self.shared is not None:
                message.chunks = self.shared.received(message.annotations, message.chunks, self.max_size)

    def _begin_body(self, message: ReceivingMessage, body_start: int) -> None:
        size = message.body_size
        if self.admit is not None:
            self.admit(size)
        filled = len(self._rest) - body_start
        # A peer that has sent a body of this size before gets the memory at once: growing it would copy what has arrived.
        known = min(self._last_size, MAX_BODY_STEP_BYTES)
        room = min(size, max(2 * filled, FIRST_BODY_BYTES, known))
        numpy = sys.modules.get("numpy")
        body: Any
        if not (self.has_chunks and message.annotations_size > MIN_CHUNK_BYTES):
            # A BytesIO grows in place where the system can do that, and its getvalue() returns the bytes without a copy. The
            # bytes that it is made of become its own, as nothing else refers to them.
            body = io.BytesIO(bytes(room))
        elif numpy is None or size > known:
            # Not a BytesIO: views of it may be in reference cycles of the program, and CPython 3.12 crashes when its garbage
            # collector frees a BytesIO that has views.
            body = bytearray(room)
        else:
            # Its size is certain, so it need not grow; memory of numpy is not cleared first.
            room = size
            body = memoryview(numpy.empty(size, "u1"))
        if filled:
            with _view_of(body) as whole:
                whole[:filled] = memoryview(self._rest)[body_start:]
        self._message, self._body, self._room, self._filled = message, body, room, filled
        self._rest, self.position = b"", 0

    def _grow(self, body: Any, size: int) -> None:
        if type(body) is bytearray:
            body += bytes(size - self._room)
        else:
            # writing the last byte makes the BytesIO allocate everything before it
            body.seek(size - 1)
            body.write(b"\0")
        self._room = size

    def _finish_body(self, message: ReceivingMessage) -> Optional[ReceivingMessage]:
        size = message.body_size
        if self._filled < size:
            return None
        # Large buffers beside the payload are used where they are, and can be written to: so a view, which is not read-only.
        body = self._body
        payload: Buffer = body.getvalue() if type(body) is io.BytesIO else memoryview(body)
        self._body, self._message, self._room, self._filled, self._last_size = None, None, 0, 0, size
        if size > buffers.LARGE_BYTES:
            buffers.expect_large(size)
        self._add_payload(message, payload)
        self.expects_large = size > buffers.LARGE_BYTES  # last: if the payload is invalid, this was no message
        return message


def _view_of(body: Any) -> memoryview:
    """Return a view of the memory of a body: a BytesIO, a bytearray, or a view."""
    return body.getbuffer() if type(body) is io.BytesIO else memoryview(body)


def _continued(payload: bytes, size: int, source: Any, may_wait: Optional[Callable[[], bool]], flags: int) -> bytes:
    """Return a payload with more of it, up to its size in bytes, as far as that arrives now. See `receive_large`.

    Half of the payloads of 100 KB arrive in two pieces, because the peer is still sending the second one. Receiving it here
    takes less than beginning a body.
    """
    pieces, missing = [payload], size - len(payload)
    try:
        while missing and pieces[-1] and len(pieces) <= MAX_PIECES and (may_wait is None or may_wait()):
            pieces.append(source.recv(missing))
            missing -= len(pieces[-1])
    except OSError:
        if not flags:
            raise
    return b"".join(pieces)
