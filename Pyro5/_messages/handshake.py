"""The handshake: the first message of a connection, and the reply by which the server accepts or refuses the connection.

The payload of the request is ``{"handshake": application data, "object": object id}``, the payload of the reply is
``{"handshake": response, "meta": metadata of the object}``, or the reason as a text if the connection is refused. Both sides
of each message are in this module.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple

from .. import LazyModule, callcontext, errors, protocol, serializers
from .._text import printable_lines
from .._values import plain, recreation
from .._wire import features
from ..protocol import Buffer, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from . import limits
from .requests import WireOptions

if TYPE_CHECKING:
    from .._values import unsendable
else:
    unsendable = LazyModule(globals(), ".._values.unsendable")

# Most servers send the same reply to every client, and many programs connect for every call. The cache saves decoding it
# again: 32 of the 180 us for connecting, one call and closing (`make bench`, row "connect, call, release").
# (serializer id, payload) -> result of parse_connect_reply(). Without a lock: two threads may decode the same reply at the
# same time, or clear the cache, and each still gets a correct result.
_reply_cache: Dict[Tuple[int, bytes], Tuple[Any, Any]] = {}
_MAX_CACHED_REPLIES = 64
_MAX_CACHED_BYTES = 4096  # longer payloads are not cached
AUTH_ANNOTATION = "AUTH"
HELLO: Any = "hello"  # for validateHandshake, if the program sets nothing else
_MAX_ANNOTATION_BYTES = 65536  # of all annotations together that are sent in a handshake


class Challenged(Exception):
    """The client has to prove who it is, in a second CONNECT message.

    Attributes:
        annotation: the challenge.
    """

    def __init__(self, text: str, annotation: bytes) -> None:
        super().__init__(text)
        self.annotation = annotation


def connect_request(serializer: SerializerBase, seq: int, object_id: str, handshake: Any, wire: WireOptions,
                    dialect: bool = True, pipelines: bool = False, proof: Optional[bytes] = None,
                    host: str = "", extra: Sequence[str] = (), withholds: bool = False) -> SendingMessage:
    """Build the first message of a connection.

    Annotations of the context are left out if they are large: servers limit the size of a handshake, because any client can
    send one. They are sent with the calls.

    Args:
        handshake: application data for the server's `Daemon.validateHandshake`.
        dialect: whether payloads may be in another dialect than that of other releases, if the serializer has it.
        pipelines: the client has several calls in flight on the connection, and matches replies by sequence number.
        host: the id of this host if memory may be shared with the server; otherwise empty.
        proof: the annotation AUTH, see _auth.exchange; None: there are no credentials.
        extra: further features to announce, see features.with_announcement.
        withholds: leave out the data of the application: the server has not proved yet who it is.
    """
    payload = serializer.dumps({"handshake": HELLO if withholds else handshake, "object": object_id})
    if type(payload) is not bytes:
        unsendable.check_payload(payload, serializer, "dumps")
    annotations = {} if withholds else callcontext.outgoing_annotations()
    # Servers limit the size of a handshake. Each request has the annotations as well.
    if annotations and sum(map(len, annotations.values())) > _MAX_ANNOTATION_BYTES:
        annotations = {}
    if proof is not None:
        annotations = {**annotations, AUTH_ANNOTATION: proof}
    dialect = dialect and serializer.has_dialects
    return SendingMessage(protocol.MSG_CONNECT, 0, seq, serializer.serializer_id, payload,
                          features.with_announcement(annotations, dialect, pipelines, proof is not None, host,
                                                    extra),
                          correlation_id=callcontext.correlation_bytes(), compress=wire.compress, max_size=wire.max_size)


def has_secrets(handshake: Any) -> bool:
    """Return whether a handshake with this value, in this context, carries data of the application."""
    return type(handshake) is not str or handshake != HELLO or bool(callcontext.outgoing_annotations())


def parse_connect_request(message: ReceivingMessage, serializer: SerializerBase) -> Tuple[str, Any]:
    """Return the object id and the application data of a handshake.

    Raises:
        ProtocolError: the payload is not that of a handshake.
        Exception: the error of the serializer for malformed data.
    """
    limits.check_handshake(message, serializer)
    # Proxies in the data stay unusable until the types are checked: a client must not make the server connect anywhere.
    with recreation.DeferredDelivery():
        data = serializer.loads(message.data)
        # untrusted: check the exact types first, so that no code of the values' own classes runs
        if type(data) is not dict or "object" not in data or "handshake" not in data:
            raise errors.ProtocolError("invalid handshake: expected a dict with the keys 'handshake' and 'object'")
        if type(data["object"]) is not str:
            raise errors.ProtocolError("invalid handshake: the object id must be a str, not %s"
                                       % type(data["object"]).__name__)
        return data["object"], data["handshake"]


def accepted_payload(serializer: SerializerBase, handshake: Any, metadata: Any) -> bytes:
    """Build the payload of the reply that accepts a connection."""
    return unsendable.dumped(serializer, {"handshake": handshake, "meta": metadata})


def connect_accepted(request: ReceivingMessage, serializer: SerializerBase, payload: bytes, correlation_id: bytes,
                     annotations: Mapping[str, Buffer], wire: WireOptions) -> SendingMessage:
    """Build the reply that accepts a connection, with the result of accepted_payload()."""
    return SendingMessage(protocol.MSG_CONNECTOK, 0, request.seq, serializer.serializer_id, payload, annotations,
                          correlation_id=correlation_id, compress=wire.compress, max_size=wire.max_size)


def connect_refused(request: Optional[ReceivingMessage], serializer: Optional[SerializerBase], reason: str,
                    correlation_id: bytes, wire: WireOptions, challenge: Optional[bytes] = None,
                    retry_after: Optional[float] = None) -> SendingMessage:
    """Build the reply that refuses a connection. It has no size limit.

    Args:
        request: None if the handshake could not be read.
        serializer: the serializer of the request; None if it is not known, then the reply uses marshal.
        reason: the text that the client gets in its CommunicationError.
        challenge: the annotation AUTH, for a client that may try again with a proof.
        retry_after: seconds after which the client should try again.
    """
    marshal = serializers.get_serializer("marshal")
    serializer = serializer or marshal
    try:
        payload = unsendable.dumped(serializer, reason)
    except Exception:  # one of the program, which serializes nothing at all
        serializer, payload = marshal, marshal.dumps(reason)
    annotations: Dict[str, Buffer] = {} if challenge is None else {AUTH_ANNOTATION: challenge}
    if retry_after is not None:
        annotations[features.WAIT_ANNOTATION] = features.encode_deadline(retry_after)
    return SendingMessage(protocol.MSG_CONNECTFAIL, 0, request.seq if request else 0, serializer.serializer_id,
                          payload, annotations, correlation_id=correlation_id, compress=wire.compress,
                          max_size=0)


def parse_connect_reply(message: ReceivingMessage) -> Tuple[Any, Optional[Mapping[str, Any]]]:
    """Return the handshake response and the metadata of the object (None if the server did not send it).

    The result may come from a cache, so the caller must not modify it.

    Raises:
        CommunicationError: the server refused the connection; the text contains its reason.
        ProtocolError: the message is not a reply to a handshake.
    """
    if message.type != protocol.MSG_CONNECTOK:
        raise _refusal(message)
    # a payload that is too long for the cache is not looked up either, because the key would be a copy of it
    key = (message.serializer_id, bytes(message.data)) if len(message.data) <= _MAX_CACHED_BYTES else None
    cached = None if key is None else _reply_cache.get(key)
    if cached is not None:
        return cached
    with recreation.DeferredDelivery():
        data = _load(message)
        if type(data) is not dict or "handshake" not in data or "meta" not in data:
            raise errors.ProtocolError("the server's handshake reply lacks 'handshake' or 'meta'")
        if data["meta"] is not None and type(data["meta"]) is not dict:
            raise errors.ProtocolError("'meta' in the server's handshake reply is not a dict: %s"
                                       % plain.text_of(data["meta"]))
    reply = data["handshake"], data["meta"]
    if key is not None and _is_cacheable(*reply):
        # clearing everything is simple, and rare: a client that uses more servers than this decodes their replies again
        if len(_reply_cache) >= _MAX_CACHED_REPLIES:
            _reply_cache.clear()
        _reply_cache[key] = reply
    return reply


def _refusal(message: ReceivingMessage) -> errors.CommunicationError:
    if message.type != protocol.MSG_CONNECTFAIL:
        return errors.ProtocolError("the reply to the handshake is a message of type %d" % message.type)
    with recreation.DeferredDelivery():
        reason = _load(message)
        # Control characters are replaced, because the text may be printed on a terminal. Other values are not formatted at
        # all, since this could run code of their classes.
        text = printable_lines(reason) if type(reason) is str else "no reason given"
        error = errors.CommunicationError("connection rejected by the server: %s" % text)
        # Removed: the application sees the annotations that the application of the server has sent.
        wait = message.annotations.pop(features.WAIT_ANNOTATION, None)
        seconds = None if wait is None else features.parse_deadline(wait)
        if seconds is not None:
            error.retry_after = seconds
        return error


def _load(message: ReceivingMessage) -> Any:
    serializer = serializers.get_serializer_by_id(message.serializer_id)
    if len(message.data) > limits.FREE_BYTES:
        limits.check(message, serializer)
    return serializer.loads(message.data) if len(message.data) else None


def _is_cacheable(response: Any, metadata: Any) -> bool:
    """Return whether a reply has no mutable part that the program gets, and means the same whenever it is decoded."""
    return (response is None or type(response) is str) and type(metadata) is dict and all(
        type(names) is bool or plain.is_texts(names) for names in metadata.values())
