"""The wire protocol, version 502: encodes and decodes messages.

This module uses no socket, clock or thread. Limits, compression and correlation id are passed as arguments;
for messages that a program builds itself, omitted arguments default to the settings and the current context.

A message consists of a header of 40 bytes, the annotation chunks, and the payload:

    ======  ======  ====  ===========================================================
    offset  format  size  field
    ======  ======  ====  ===========================================================
    0x00    4s      4     ``PYRO``
    0x04    H       2     protocol version, 502
    0x06    B       1     message type (``MSG_*``)
    0x07    B       1     serializer id
    0x08    H       2     flags (``FLAGS_*``, or-ed)
    0x0a    H       2     sequence number; a reply repeats that of its request
    0x0c    I       4     payload length in bytes, as sent (after compression)
    0x10    I       4     annotations length in bytes: including the chunk headers
    0x14    16s     16    correlation id, the bytes of a UUID (zero if there is none)
    0x24    H       2     reserved, 0
    0x26    H       2     magic number 0x4dc5
    ======  ======  ====  ===========================================================

All numbers are big-endian. An annotation chunk is its id (4 ASCII characters), the length of its value (4 bytes), the value.
"""
from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Union

from . import LazyModule, callcontext, errors
from . import config as config
from ._wire import buffers
from .constants import PROTOCOL_VERSION

if TYPE_CHECKING:
    import zlib

    Buffer = Union[bytes, bytearray, memoryview]
    Payload = Union[Buffer, List[bytes]]  # in one piece, or in several
else:
    Buffer = Payload = Any
    zlib = LazyModule(globals(), "zlib")

MSG_CONNECT, MSG_CONNECTOK, MSG_CONNECTFAIL, MSG_INVOKE, MSG_RESULT, MSG_PING = range(1, 7)

FLAGS_EXCEPTION = 1 << 0
FLAGS_COMPRESSED = 1 << 1
FLAGS_ONEWAY = 1 << 2
FLAGS_BATCH = 1 << 3
FLAGS_ITEMSTREAMRESULT = 1 << 4
FLAGS_KEEPSERIALIZED = 1 << 5
FLAGS_CORR_ID = 1 << 6

SERIALIZER_PING = 42  # a ping contains no serialized value; existing peers send this id

log = logging.getLogger("Pyro5.protocol")

_TAG = b"PYRO"
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")  # first bytes of a TLS alert and a TLS handshake
_MAGIC = 0x4DC5
# header layout, under the names used by programs that parse messages themselves
_header_format = "!4sHBBHHII16sHH"
_HEADER = struct.Struct(_header_format)
_header_size = _HEADER.size
_magic_number = _MAGIC
_magic_number_bytes = _MAGIC.to_bytes(2, "big")
_protocol_version_bytes = PROTOCOL_VERSION.to_bytes(2, "big")
_empty_correlation_id = _NO_CORRELATION = bytes(16)
PREFIX = struct.Struct("!4sH")
# The header in other pieces, for plain calls: all up to the flags, the sequence number, the size of the payload << 32
# | that of the annotations, the correlation id, and HEADER_END.
PLAIN_HEADER = struct.Struct("!10sHQ16s4s")
HEADER_END = struct.pack("!HH", 0, _MAGIC)
VALID_PREFIX = PREFIX.pack(_TAG, PROTOCOL_VERSION)
_BEGIN = struct.Struct("!4sHBBH")
_CHUNK = struct.Struct("!4sI")
HEADER_SIZE, PREFIX_SIZE = _header_size, PREFIX.size  # a prefix is enough to detect another protocol

COMPRESS_ABOVE_BYTES = 100  # shorter payloads do not benefit; existing peers use the same threshold
COMPRESS_LEVEL = 4
MAX_ANNOTATIONS = 10000  # per message: decoding 20 MB of empty ones took a server loop 10 seconds
ANNOTATION_MEMORY = 300  # bytes of an annotation in addition to its value: key, view, entry in the dict
JOIN_UP_TO_BYTES = 32 * 1024  # below this, copying into one buffer costs less than a scatter write
MAX_SCATTERED_BUFFERS = 64  # of one scatter write: well below the limit of any system

class _FromContext:
    """The type of the constant FROM_CONTEXT."""


FROM_CONTEXT = _FromContext()
_NOT_GIVEN_FLAGS = ~(FLAGS_COMPRESSED | FLAGS_CORR_ID)  # set by the encoder, so callers cannot pass them


def header_begin(msgtype: int, serializer_id: int, flags: int = FLAGS_CORR_ID) -> bytes:
    """Return the first ten bytes of a header, see PLAIN_HEADER."""
    return _BEGIN.pack(_TAG, PROTOCOL_VERSION, msgtype, serializer_id, flags)


def check_prefix(tag: bytes, version: int) -> None:
    """Raise ProtocolError if the first bytes are not those of a message of this protocol."""
    if tag != _TAG:
        hint = "; TLS? The setting SSL has to be the same on both sides" if bytes(tag[:2]) in _TLS_RECORDS else ""
        raise errors.ProtocolError("invalid data: this is not the Pyro protocol (it starts with %r%s)" % (bytes(tag), hint))
    if version != PROTOCOL_VERSION:
        raise errors.ProtocolError("invalid protocol version: %d (this side speaks %d)" % (version, PROTOCOL_VERSION))


def check_size(size: int, max_size: Optional[int], setting: str = "MAX_MESSAGE_SIZE") -> None:
    """Raise MessageTooLargeError if a body is larger than the limit (0: no limit) in the setting of that name.

    If max_size is None, the current MAX_MESSAGE_SIZE applies and the error is a ProtocolError, as in 5.x: this is for messages
    that programs handle themselves.
    """
    if max_size is None:
        limit = config.MAX_MESSAGE_SIZE or 0
        if limit and size > limit:
            raise errors.ProtocolError("message too large (%d bytes, %s is %d)" % (size, setting, limit))
    elif max_size and size > max_size:
        raise errors.MessageTooLargeError("message too large (%d bytes, %s is %d)" % (size, setting, max_size))


def _encode_annotations(annotations: Mapping[str, Buffer]) -> List[Buffer]:
    """Return the chunk headers and values in turn, ready for a scatter write."""
    parts: List[Buffer] = []
    for key, value in annotations.items():
        if not isinstance(key, str) or len(key) != 4 or not key.isascii():
            raise errors.ProtocolError("annotation id must be a str of 4 ASCII characters, not %r" % (key,))
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise errors.ProtocolError(
                "annotation %s must be bytes, bytearray or memoryview, not %s" % (key, type(value).__name__))
        # len() of a memoryview counts elements, which may be larger than a byte
        if isinstance(value, memoryview):
            value = value.cast("B") if value.contiguous else value.tobytes()
        parts.append(_CHUNK.pack(key.encode("ascii"), len(value)))
        parts.append(value)
    return parts


def _decode_annotations(view: memoryview) -> Dict[str, memoryview]:
    """Split the chunks; the values are views of the received bytes."""
    annotations: Dict[str, memoryview] = {}
    position, end, count = 0, len(view), 0
    while position < end:
        # Counted while decoding: the number is not in the header.
        count += 1
        if count > MAX_ANNOTATIONS:
            raise errors.ProtocolError("a message may have %d annotations at most" % MAX_ANNOTATIONS)
        start = position + _CHUNK.size
        if start > end:
            raise errors.ProtocolError("annotations are cut off: %d bytes left over" % (end - position))
        key, length = _CHUNK.unpack_from(view, position)
        position = start + length
        # Compared before slicing: a slice beyond the end would silently be shorter.
        if position > end:
            raise errors.ProtocolError("annotation %r announces %d bytes but %d are there" % (key, length, end - start))
        try:
            annotations[key.decode("ascii")] = view[start:position]
        except UnicodeDecodeError as x:
            raise errors.ProtocolError("annotation id %r is not ASCII" % key) from x
    return annotations


def _inflate(data: Buffer, max_size: int, setting: str) -> bytes:
    """Decompress one zlib stream to at most max_size bytes (0: no limit); `setting` is the name of the limit."""
    # One byte more than the limit is enough to know that it is exceeded: a small payload could inflate to gigabytes.
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, max_size + 1 if max_size else 0)
    except zlib.error as x:
        raise errors.ProtocolError("invalid compressed payload: %s" % x) from x
    if max_size and len(inflated) > max_size:
        raise errors.MessageTooLargeError("message too large: its payload inflates to more than %d bytes "
                                          "(%s)" % (max_size, setting))
    # Data behind the end of the stream would be bytes that no check has seen.
    if not inflater.eof or inflater.unused_data:
        raise errors.ProtocolError("invalid compressed payload: it is not exactly one zlib stream")
    return inflated


class SendingMessage:
    """A message, encoded and ready to be sent.

    Args:
        flags: FLAGS constants; the flags for compression and correlation id are added here.
        payload: the serialized value, as one buffer or a list of them; compressed here if it is longer than 100 bytes and
            `compress` is set, or if that is None, the setting COMPRESSION.
        annotations: chunk id (4 ASCII characters) to bytes-like value; sent in this order, never compressed.
        correlation_id: 16 bytes, or None for no id; the default is that of the current context.
        max_size: limit in bytes of annotations and payload together as sent; 0 is no limit, None the setting
            MAX_MESSAGE_SIZE.

    Raises:
        MessageTooLargeError: the message exceeds max_size.
        ProtocolError: an annotation has an invalid id or value, or the message exceeds MAX_MESSAGE_SIZE.

    Attributes:
        buffers: the encoded message: one bytes object for a small message, several buffers for a large one, so that large
            values are not copied.
    """

    __slots__ = ("type", "flags", "seq", "serializer_id", "buffers", "size")

    def __init__(self, msgtype: int, flags: int, seq: int, serializer_id: int, payload: Payload,
                 annotations: Optional[Mapping[str, Buffer]] = None, *,
                 correlation_id: Union[bytes, None, _FromContext] = FROM_CONTEXT, compress: Optional[bool] = None,
                 max_size: Optional[int] = None) -> None:
        # Flags that describe the encoding are set below, according to what is done.
        flags &= _NOT_GIVEN_FLAGS
        if compress is None:
            compress = bool(config.COMPRESSION)
        more: Sequence[Buffer] = ()
        if isinstance(payload, list):
            payload, *more = [b"".join(payload)] if compress else payload
        if compress and len(payload) > COMPRESS_ABOVE_BYTES:
            payload = zlib.compress(payload, COMPRESS_LEVEL)
            flags |= FLAGS_COMPRESSED
        if correlation_id is FROM_CONTEXT:
            correlation_id = callcontext.correlation_bytes()
        if correlation_id is None:
            correlation_id = _NO_CORRELATION
        else:
            flags |= FLAGS_CORR_ID
        chunks: Sequence[Buffer] = ()
        chunks_size, payload_size = 0, len(payload)
        if more:
            payload_size += sum(map(len, more))
        if annotations:
            chunks = _encode_annotations(annotations)
            chunks_size = sum(map(len, chunks))
        size = chunks_size + payload_size
        if max_size is None or size > max_size:
            check_size(size, max_size)
        header = _HEADER.pack(_TAG, PROTOCOL_VERSION, msgtype, serializer_id, flags, seq, payload_size, chunks_size,
                              correlation_id, 0, _MAGIC)
        self.type = msgtype
        self.flags = flags
        self.seq = seq
        self.serializer_id = serializer_id
        self.size = HEADER_SIZE + size
        # a small message is joined into one buffer; a large one is sent by a scatter write without being copied
        if size > JOIN_UP_TO_BYTES:
            buffers.expect_large(size)
            self.buffers: List[Buffer] = [header, *chunks, payload, *more]
        elif chunks or more:
            self.buffers = [b"".join((header, *chunks, payload, *more))]
        else:
            self.buffers = [header + payload]

    def __getattr__(self, name: str) -> int:
        """Return a field of the header that `result_message` has not set: only logs and tests read them."""
        if name not in ("type", "flags", "seq", "serializer_id"):
            raise AttributeError("a SendingMessage has no attribute %r" % name)
        value: int = getattr(ReceivingMessage(self.buffers[0]), name)
        return value

    @property
    def data(self) -> bytes:
        """The whole message as one bytes object (a copy if it is large)."""
        return b"".join(self.buffers)

    @property
    def corr_id(self) -> bytes:
        """The 16 bytes of the correlation id, all zero if the message has none."""
        return ReceivingMessage(self.buffers[0]).corr_id

    @property
    def corr_bytes(self) -> Optional[bytes]:
        """The 16 bytes of the correlation id, None if the message has none."""
        return self.corr_id if self.flags & FLAGS_CORR_ID else None

    @property
    def annotations(self) -> Dict[str, memoryview]:
        """The annotations, decoded from the message."""
        data = self.data
        return _decode_annotations(memoryview(data)[HEADER_SIZE:HEADER_SIZE + ReceivingMessage(data).annotations_size])

    def __repr__(self) -> str:
        return "<SendingMessage type=%d seq=%d serializer=%d flags=%#x size=%d>" % (
            self.type, self.seq, self.serializer_id, self.flags, self.size)

    @staticmethod
    def ping(pyroConnection: Any) -> None:
        """Send a ping over a connection (``send(bytes)`` and ``recv(size)``) and wait for the reply.

        Raises:
            ProtocolError: the reply is not a ping message.
            CommunicationError: the connection was lost or timed out.
        """
        pyroConnection.send(SendingMessage(MSG_PING, 0, 0, SERIALIZER_PING, b"ping").data)
        recv_stub(pyroConnection, [MSG_PING])


def message_buffers(header: bytes, payload: Payload, size: int) -> List[Buffer]:
    """Return the buffers of a message, see SendingMessage; `size` is that of the payload in bytes."""
    if size <= JOIN_UP_TO_BYTES:
        return [header + (b"".join(payload) if isinstance(payload, list) else payload)]
    buffers.expect_large(size)
    return [header, *payload] if isinstance(payload, list) else [header, payload]


def result_message(seq: int, serializer_id: int, payload: Payload, size: int, correlation_id: bytes) -> SendingMessage:
    """Build a reply with a value, whose payload is neither too large nor to be compressed; `size` is its size in bytes.

    Takes 55 byte codes, the constructor 120.
    """
    message = SendingMessage.__new__(SendingMessage)
    header = PLAIN_HEADER.pack(header_begin(MSG_RESULT, serializer_id), seq, size << 32, correlation_id, HEADER_END)
    message.buffers = message_buffers(header, payload, size)
    message.size = HEADER_SIZE + size
    return message


class ReceivingMessage:
    """A received message.

    Args:
        header: the 40 header bytes; or a longer buffer that contains them at `position`.
        payload: annotations and payload, if available; otherwise pass them to :meth:`add_payload` later.

    Raises:
        ProtocolError: the header does not belong to this protocol, or the annotations or the compressed payload are malformed.

    Attributes:
        annotations: memoryviews of the received bytes, by chunk id.
        data: the decompressed payload.
        corr_id: the correlation id in the header: 16 bytes, usually all zero if the message has none.
        chunks: large buffers that the payload refers to by their numbers, see _wire.chunks; None if there are none.
        deflated_size: the size of the compressed payload in bytes, 0 if it was not compressed.
    """

    __slots__ = ("type", "serializer_id", "flags", "seq", "data_size", "annotations_size", "corr_id",
                 "annotations", "data", "deflated_size", "chunks")

    def __init__(self, header: Buffer, payload: Optional[Buffer] = None, position: int = 0) -> None:
        (tag, version, self.type, self.serializer_id, flags, self.seq, self.data_size, self.annotations_size,
         corr_id, _reserved, magic) = _HEADER.unpack_from(header, position)
        # one test for valid headers; which part is wrong is found out only for the others
        if magic != _MAGIC or tag != _TAG or version != PROTOCOL_VERSION:
            check_prefix(tag, version)
            raise errors.ProtocolError("invalid message: magic number is %#06x instead of %#06x" % (magic, _MAGIC))
        self.flags: int = flags
        self.corr_id: bytes = corr_id
        self.annotations: Dict[str, memoryview] = {}
        self.data: Buffer = b""
        self.deflated_size = 0
        self.chunks: Optional[Mapping[int, memoryview]] = None
        if payload is not None:
            self.add_payload(payload)

    @property
    def body_size(self) -> int:
        """The number of bytes that follow the header."""
        return self.annotations_size + self.data_size  # type: ignore[no-any-return]

    @property
    def memory_bytes(self) -> int:
        """About how much memory payload and annotations take: many small annotations take far more than their bytes."""
        size = len(self.data)
        if self.annotations_size:
            size += self.annotations_size + ANNOTATION_MEMORY * len(self.annotations)
        return size

    @property
    def corr_bytes(self) -> Optional[bytes]:
        """The 16 bytes of the correlation id, None if the message has none."""
        return self.corr_id if self.flags & FLAGS_CORR_ID else None

    def add_payload(self, payload: Buffer, max_size: int = 0, size_setting: str = "MAX_MESSAGE_SIZE") -> None:
        """Decode the body that follows the header: split off the annotations and decompress the payload.

        Args:
            max_size: limit of the decompressed payload in bytes; 0 is no limit.
            size_setting: the name of the setting with this limit.
        """
        if len(payload) != self.annotations_size + self.data_size:
            raise errors.ProtocolError("message body has %d bytes, its header announces %d" % (len(payload), self.body_size))
        # Views instead of slices: annotations and payload are not copied. They keep the whole body in memory.
        if self.annotations_size:
            view = memoryview(payload)
            self.annotations = _decode_annotations(view[:self.annotations_size])
            payload = view[self.annotations_size:]
        if self.flags & FLAGS_COMPRESSED:
            self.deflated_size = len(payload)
            payload = _inflate(payload, max_size, size_setting)
            self.flags &= ~FLAGS_COMPRESSED  # a message that is forwarded has the decompressed payload
            self.data_size = len(payload)
        self.data = payload

    @staticmethod
    def validate(data: Buffer) -> None:
        """Check that the data, at least 4 bytes, starts like a message of this protocol: the tag, the version if it is
        included, and the magic number if the whole header is included.

        Raises:
            ProtocolError: it does not.
            ValueError: there are fewer than 4 bytes.
        """
        if len(data) < len(_TAG):
            raise ValueError("need at least %d bytes, got %d" % (len(_TAG), len(data)))
        if len(data) < PREFIX_SIZE:
            check_prefix(bytes(data[:len(_TAG)]), PROTOCOL_VERSION)
        elif len(data) < HEADER_SIZE:
            check_prefix(*PREFIX.unpack_from(data, 0))
        else:
            ReceivingMessage(data)

    def __repr__(self) -> str:
        return "<ReceivingMessage type=%d seq=%d serializer=%d flags=%#x size=%d>" % (
            self.type, self.seq, self.serializer_id, self.flags, HEADER_SIZE + self.body_size)


def recv_stub(connection: Any, accepted_msgtypes: Optional[Sequence[int]] = None,
              max_size: Optional[int] = None) -> ReceivingMessage:
    """Receive one message from a connection (``recv(size)`` returns exactly that number of bytes), blocking.

    Args:
        accepted_msgtypes: the message types to accept, None for any.
        max_size: limit of annotations and payload in bytes; 0 is no limit, None the setting MAX_MESSAGE_SIZE.

    Raises:
        ProtocolError: the data is not a message, or the message is not of an accepted type or is too large.
    """
    # In three steps: another protocol is detected before 40 bytes have arrived, and a size before memory is allocated for it.
    prefix = connection.recv(PREFIX_SIZE)
    ReceivingMessage.validate(prefix)
    message = ReceivingMessage(prefix + connection.recv(HEADER_SIZE - PREFIX_SIZE))
    check_size(message.body_size, max_size)
    if accepted_msgtypes is not None and message.type not in accepted_msgtypes:
        raise errors.ProtocolError("invalid message type %d received (expected: %s)"
                                   % (message.type, ", ".join(map(str, accepted_msgtypes))))
    message.add_payload(connection.recv(message.body_size), config.MAX_MESSAGE_SIZE or 0 if max_size is None else max_size)
    return message


def log_wiredata(logger: logging.Logger, text: str, msg: Union[SendingMessage, ReceivingMessage]) -> None:
    """Log the contents of a message at level DEBUG. Of a handshake only the size: it may contain passwords and proofs."""
    if msg.type in (MSG_CONNECT, MSG_CONNECTOK, MSG_CONNECTFAIL):
        logger.debug("%s: %r data=<%d bytes of a handshake>", text, msg, len(msg.data))
        return
    import uuid  # only for LOGWIRE
    corr_id = None if msg.corr_bytes is None else uuid.UUID(bytes=msg.corr_bytes)
    if isinstance(msg, SendingMessage):
        logger.debug("%s: %r corr_id=%s data=%r", text, msg, corr_id, msg.data)
        return
    logger.debug("%s: %r corr_id=%s annotations=%s data=%r", text, msg, corr_id, tuple(msg.annotations), bytes(msg.data))
