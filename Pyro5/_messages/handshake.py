"""
How a connection begins: the client says whom it wants and hands over a value, the server lets it in, or says why not.

Payloads are dicts: ``{"handshake": value, "object": object id}`` one way and ``{"handshake": value, "meta": metadata}`` the
other; a refusal is a text.  Both directions of both messages stand here.  Nothing here knows a socket or a thread.
"""
from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

from .. import callcontext, errors, protocol, serializers
from .._text.printable import printable_lines
from .._values import plain, recreation
from ..protocol import Buffer, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from . import limits
from .requests import WireOptions

# Servers give every client the same reply, and many programs connect for every call: what it says need not be read again.
# Serializer id and payload -> what parse_connect_reply() gives.  Without a lock: at worst something is read twice.
_known_replies: Dict[Tuple[int, bytes], Tuple[Any, Any]] = {}
_MOST_KNOWN = 64
_KNOWN_BYTES = 4096  # longer ones are read each time
_MOST_ANNOTATIONS = 65536  # bytes of all together that go out with a handshake


def connect_request(serializer: SerializerBase, seq: int, object_id: str, handshake: Any,
                    wire: WireOptions) -> SendingMessage:
    """Build the first message of a connection: who is wanted, and the client's handshake value.

    Annotations that are large are for the calls only: a server need not take them from somebody it does not know.
    """
    payload = serializer.dumps({"handshake": handshake, "object": object_id})
    annotations = callcontext.outgoing_annotations()
    if annotations and sum(map(len, annotations.values())) > _MOST_ANNOTATIONS:
        annotations = {}
    return SendingMessage(protocol.MSG_CONNECT, 0, seq, serializer.serializer_id, payload, annotations,
                          correlation_id=callcontext.correlation_bytes(), compress=wire.compress, max_size=wire.max_size)


def parse_connect_request(message: ReceivingMessage, serializer: SerializerBase) -> Tuple[str, Any]:
    """Give (object id, handshake value).

    Raises:
        ProtocolError: the payload is not what a handshake consists of.
        Exception: whatever the serializer raises on malformed data.
    """
    limits.check_handshake(message, serializer)
    with recreation.Undelivered():
        data = serializer.loads(message.data)
        # nothing is used before its exact type is known: it came over the network
        if type(data) is not dict or "object" not in data or "handshake" not in data:
            raise errors.ProtocolError("invalid handshake: expected a dict with the keys 'handshake' and 'object'")
        if type(data["object"]) is not str:
            raise errors.ProtocolError("invalid handshake: the object id is no str, but %s" % type(data["object"]).__name__)
        return data["object"], data["handshake"]


def welcome(serializer: SerializerBase, handshake: Any, metadata: Any) -> bytes:
    """Build the payload of the reply that lets a client in."""
    return serializer.dumps({"handshake": handshake, "meta": metadata})


def connect_accepted(request: ReceivingMessage, serializer: SerializerBase, payload: bytes, correlation_id: bytes,
                     annotations: Mapping[str, Buffer], wire: WireOptions) -> SendingMessage:
    """Build the reply that lets a client in."""
    return SendingMessage(protocol.MSG_CONNECTOK, 0, request.seq, serializer.serializer_id, payload, annotations,
                          correlation_id=correlation_id, compress=wire.compress, max_size=wire.max_size)


def connect_refused(request: Optional[ReceivingMessage], serializer: Optional[SerializerBase], reason: str,
                    correlation_id: bytes, wire: WireOptions) -> SendingMessage:
    """Build the reply that sends a client away; in marshal if the request never told its serializer."""
    if serializer is None:
        serializer = serializers.get_serializer("marshal")
    return SendingMessage(protocol.MSG_CONNECTFAIL, 0, request.seq if request else 0, serializer.serializer_id,
                          serializer.dumps(reason), correlation_id=correlation_id, compress=wire.compress, max_size=0)


def parse_connect_reply(message: ReceivingMessage) -> Tuple[Any, Optional[Mapping[str, Any]]]:
    """Give (handshake response, metadata of the object), not to be changed; the metadata is None if the server left it out.

    Raises:
        CommunicationError: the server refused, with its reason.
        ProtocolError: the reply is neither yes nor no.
    """
    if message.type != protocol.MSG_CONNECTOK:
        raise _refusal(message)
    # what is too long to be kept is not even looked up: that would take a copy of it
    text = (message.serializer_id, bytes(message.data)) if len(message.data) <= _KNOWN_BYTES else None
    known = None if text is None else _known_replies.get(text)
    if known is not None:
        return known
    with recreation.Undelivered():
        data = _load(message)
        if type(data) is not dict or "handshake" not in data or "meta" not in data:
            raise errors.ProtocolError("the server's handshake reply lacks 'handshake' or 'meta'")
        if data["meta"] is not None and type(data["meta"]) is not dict:
            raise errors.ProtocolError("the server's handshake reply has no proper 'meta': %s" % plain.text_of(data["meta"]))
    reply = data["handshake"], data["meta"]
    if text is not None and _is_plain(*reply):
        if len(_known_replies) >= _MOST_KNOWN:
            _known_replies.clear()
        _known_replies[text] = reply
    return reply


def _refusal(message: ReceivingMessage) -> errors.CommunicationError:
    if message.type != protocol.MSG_CONNECTFAIL:
        return errors.ProtocolError("the handshake was answered by a message of type %d" % message.type)
    with recreation.Undelivered():
        reason = _load(message)
        # It may be printed on a terminal. What is no text is not formatted: it could be anything.
        text = printable_lines(reason) if type(reason) is str else "no reason given"
        return errors.CommunicationError("connection rejected by the server: %s" % text)


def _load(message: ReceivingMessage) -> Any:
    serializer = serializers.get_serializer_by_id(message.serializer_id)
    if len(message.data) > limits.FREE_BYTES:
        limits.check(message, serializer)
    return serializer.loads(message.data) if len(message.data) else None


def _is_plain(response: Any, metadata: Any) -> bool:
    """Whether a reply means the same each time it is read, and nobody is given a part of it that can be changed."""
    return (response is None or type(response) is str) and type(metadata) is dict and all(
        plain.is_texts(names) for names in metadata.values())
