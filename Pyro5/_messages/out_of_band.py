"""Serialize and deserialize the values of messages whose large buffers are sent beside the payload.

No serializer touches these buffers: they are sent from where they are, and arrive in memory that the receiver can use.
"""
from __future__ import annotations

from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from .. import config, errors, protocol
from .._values import large_buffers
from .._values.large_buffers import SMALL, Incoming, Outgoing, contain_none
from .._wire import features
from .._wire.chunks import MIN_SHARED_BYTES, as_chunks
from ..protocol import Buffer, Payload, ReceivingMessage
from ..serializers import SerializerBase


class BufferOptions:
    """How large buffers may be sent to a peer.

    Attributes:
        literal_bytes: bytes arrive as bytes with the serpent serializer too.
        shared: the memory that both peers share, see _net.shared_memory; None if they do not.
    """

    def __init__(self, literal_bytes: bool = False, shared: Any = None) -> None:
        self.literal_bytes, self.shared = literal_bytes, shared

    def annotations_for(self, views: List[memoryview], annotations: Mapping[str, Buffer]) -> Dict[str, Buffer]:
        """Return the annotations of a message with these large buffers."""
        rest, shared = dict(enumerate(views)), {}
        if self.shared is not None:
            rest, shared = self.shared.place(views)
        return {**as_chunks(rest), **shared, **annotations}


def options_for(known: Optional[Collection[str]], shared: Any = None) -> Optional[BufferOptions]:
    """Return how large buffers may be sent to a peer with these features; None if all have to be in the payload.

    Args:
        shared: the memory that both peers share; None if they do not.
    """
    # Both sides have announced it; other releases would not know what the references mean.
    if known is None or features.BUFFERS not in known:
        return None
    return BufferOptions(features.LITERAL_BYTES in known, shared)


def outgoing_for(options: BufferOptions, serializer: SerializerBase, copies: bool = False) -> Optional[Outgoing]:
    """Return the table for the buffers of a message; None if its serializer cannot refer to buffers."""
    # Programs can add serializers, which know nothing of references.
    if not serializer.refers_to_buffers:
        return None
    # bytes arrive as what they would be in the payload: json has none
    with_bytes = options.literal_bytes if serializer.name == "serpent" else serializer.name != "json"
    return Outgoing(with_bytes, copies)


def call_payload(options: BufferOptions, serializer: SerializerBase, object_id: str, method: str, args: Sequence[Any],
                 kwargs: Optional[Mapping[str, Any]],
                 annotations: Dict[str, Buffer]) -> Tuple[Payload, Dict[str, Buffer]]:
    """Serialize a call, and return the payload and the annotations, with those of its large buffers.

    Raises:
        Exception: the error of the serializer for arguments that it cannot serialize.
    """
    is_batch = kwargs is None and type(args) is list
    if not is_batch and (contain_none(args) and (not kwargs or contain_none(kwargs.values()))
                         or serializer.sends_bytes_uncopied and not kwargs and _stay_in_payload(args)):
        return serializer.call_payload(object_id, method, args, kwargs), annotations
    outgoing = outgoing_for(options, serializer)
    if outgoing is None:
        return serializer.call_payload(object_id, method, args, kwargs), annotations
    # Before anything is serialized: converters of the program are called once, and may have side effects. Arrays need no
    # search, because serializers pass them to the table.
    is_searched = not (is_batch and large_buffers.calls_contain_no_bytes(args))
    with outgoing:
        replaced = large_buffers.all_with_references(args, outgoing) if is_searched else args
        named = kwargs and {key: large_buffers.with_references(value, outgoing) for key, value in kwargs.items()}
        payload = serializer.call_payload(object_id, method, replaced, named)
    # Chunks first: their numbers are then aligned in the memory of the receiver.
    return payload, options.annotations_for(outgoing.buffers, annotations) if outgoing.buffers else annotations


def value_payload(options: BufferOptions, serializer: SerializerBase, value: Any,
                  annotations: Mapping[str, Buffer]) -> Tuple[Payload, Mapping[str, Buffer]]:
    """Serialize a result, and return the payload and the annotations, with those of its large buffers."""
    # A long bytes object first: saves 110 byte codes.
    if (type(value) is bytes and serializer.sends_bytes_uncopied and len(value) < MIN_SHARED_BYTES and not config.COMPRESSION
            or contain_none((value,))):
        return serializer.value_payload(value), annotations
    outgoing = outgoing_for(options, serializer)
    if outgoing is None:
        return serializer.value_payload(value), annotations
    with outgoing:
        # A result is a single value, which may itself be a buffer.
        payload = serializer.value_payload(large_buffers.with_references(value, outgoing))
    return payload, options.annotations_for(outgoing.buffers, annotations) if outgoing.buffers else annotations


def _stay_in_payload(values: Sequence[Any]) -> bool:
    """Return whether the bytes objects among some values are sent in the payload, by a serializer that does not copy them.

    Those that are not in a container, and too small for shared memory: references to them would take a fifth of the processor
    time of echoing 100 KB. If payloads are compressed, they are not.
    """
    return all([type(value) in SMALL or type(value) is bytes and len(value) < MIN_SHARED_BYTES for value in values]
               ) and not config.COMPRESSION


def load(message: ReceivingMessage, loads: Callable[[Any], Any]) -> Any:
    """Deserialize the payload of a message that has large buffers.

    Raises:
        ValueError: the payload refers to buffers that the message does not have, or not to all that it has.
        Exception: the error of the serializer for malformed data.
    """
    if message.chunks is None:
        return loads(message.data)
    with Incoming(message.chunks) as incoming:
        value = loads(message.data)
    # Here and not in the decoder: memory that was sent for nothing is a mistake or an attack.
    incoming.check_all_used()
    return value


def without_chunks(message: ReceivingMessage, serializer: SerializerBase) -> ReceivingMessage:
    """Return a message with its buffers in the payload, for programs that deserialize messages themselves."""
    if message.chunks is not None:
        if message.flags & (protocol.FLAGS_EXCEPTION | protocol.FLAGS_ITEMSTREAMRESULT):
            raise errors.ProtocolError("a message of this kind must not have buffers beside its payload")
        # Serialized again, since raw replies are forwarded to peers that know nothing of the buffers.
        message.data = serializer.dumps(load(message, serializer.loads))
        message.data_size, message.chunks = len(message.data), None
    return message
