"""Requests: calls of methods, accesses of attributes and batches, as the client builds and the server parses them."""
from __future__ import annotations

import marshal
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .. import callcontext, errors, protocol
from ..protocol import Buffer, Payload, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from . import blob, limits
from .blob import SerializedBlob

GETATTR_METHOD = "__getattr__"  # reserved method names: read an exposed property ...
SETATTR_METHOD = "__setattr__"  # ... write one ...
BATCH_METHOD = "<batch>"  # ... run a list of calls
_ARGUMENTS = frozenset((list, tuple))  # what positional arguments come in
_MAYBE_LONG = frozenset((bytes, str))  # values that the serializer may be able to send without copying them


class WireOptions(NamedTuple):
    """How messages are encoded: settings as plain values, read once by the Proxy or Daemon that owns them."""

    max_size: int = 0  # bytes, 0: no limit
    compress: bool = False


class Call(NamedTuple):
    """A request, decoded: call `method` of the object registered as `object_id`."""

    object_id: str
    method: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def invoke_request(serializer: SerializerBase, seq: int, flags: int, object_id: str, method: str, args: Sequence[Any],
                   kwargs: Optional[Mapping[str, Any]], wire: WireOptions) -> SendingMessage:
    """Build a call.  kwargs is None for attribute access and batches.

    Raises:
        SerializeError: a SerializedBlob came together with other arguments.
        Exception: whatever the serializer raises for arguments that it cannot serialize.
        MessageTooLargeError: the request exceeds the limit.
    """
    annotations: Dict[str, Buffer] = callcontext.outgoing_annotations()
    serializer_id = serializer.serializer_id
    payload: Payload
    if SerializedBlob in map(type, args) or kwargs and SerializedBlob in map(type, kwargs.values()):
        _require_only_argument(args, kwargs)
        only = args[0]
        info = marshal.dumps((only.info, object_id, method), 2)
        annotations = {**annotations, blob.BLOB_ANNOTATION: info}
        flags |= protocol.FLAGS_KEEPSERIALIZED
        if only._contains_blob:
            payload, serializer_id = only._data.data, only._data.serializer_id
        else:
            payload = serializer.dumpsCall(object_id, method, only._data, {})  # in the place of the arguments
    elif not _MAYBE_LONG.isdisjoint(map(type, args)):
        payload = serializer.call_payload(object_id, method, args, kwargs)
    else:
        payload = serializer.dumpsCall(object_id, method, args, kwargs)
    max_size, compress = wire
    return SendingMessage(protocol.MSG_INVOKE, flags, seq, serializer_id, payload, annotations,
                          correlation_id=callcontext.correlation_bytes(), compress=compress, max_size=max_size)


def _require_only_argument(args: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> None:
    if len(args) != 1 or kwargs:
        raise errors.SerializeError("a SerializedBlob must be the only argument of the call")


def parse_invoke_request(message: ReceivingMessage, serializer: SerializerBase) -> Call:
    """Decode a call; the arguments of one that carries a blob stay as they are.

    Raises:
        ProtocolError: the payload is no call.
        Exception: whatever the serializer raises on malformed data.
    """
    if message.flags & protocol.FLAGS_KEEPSERIALIZED:
        info, object_id, method = blob.parse_annotation(bytes(message.annotations.get(blob.BLOB_ANNOTATION, b"")))
        return Call(object_id, method, (SerializedBlob(info, message, is_blob=True),), {})
    if len(message.data) > limits.FREE_BYTES:
        limits.check(message, serializer)
    object_id, method, args, kwargs = serializer.loadsCall(message.data)
    if type(kwargs) is dict and type(args) in _ARGUMENTS and type(object_id) is str and type(method) is str:
        return Call(object_id, method, args, kwargs)
    if not (type(object_id) is str and type(method) is str and type(args) in _ARGUMENTS):
        raise errors.ProtocolError("a call consists of an object id, a method name, arguments and keyword arguments")
    if kwargs is not None:
        raise errors.ProtocolError("the keyword arguments of a call must be a dict, not %s" % type(kwargs).__name__)
    return Call(object_id, method, args, {})


def parse_getattr(call: Call) -> str:
    """Give the name of the attribute that a call of GETATTR_METHOD asks for.

    Raises:
        ProtocolError: it names none.
    """
    if not call.args or type(call.args[0]) is not str:
        raise errors.ProtocolError("reading an attribute takes its name")
    return call.args[0]


def parse_setattr(call: Call) -> Tuple[str, Any]:
    """Give name and new value of the attribute that a call of SETATTR_METHOD writes.

    Raises:
        ProtocolError: it lacks one of them.
    """
    if len(call.args) < 2 or type(call.args[0]) is not str:
        raise errors.ProtocolError("writing an attribute takes its name and the value")
    return call.args[0], call.args[1]


def parse_batch(call: Call) -> Tuple[Sequence[Tuple[Any, Sequence[Any], Dict[str, Any]]], Set[str]]:
    """Give method, arguments and keyword arguments of the single calls of a batch, and the names of all methods in it.

    Raises:
        ProtocolError: an element is something else.
    """
    elements = call.args
    if not elements:
        return [], set()
    # for all of them at once: element by element this takes as long as small methods do
    names: Set[str] = set()
    is_batch = set(map(type, elements)) <= _ARGUMENTS and set(map(len, elements)) == {3}
    if is_batch:
        methods, argument_lists, keyword_dicts = zip(*elements)
        # Types first: making a set of anything but texts may run code of theirs, and takes quadratic time if they hash alike.
        is_batch = (set(map(type, methods)) == {str} and set(map(type, argument_lists)) <= _ARGUMENTS
                    and set(map(type, keyword_dicts)) == {dict})
        names = set(methods) if is_batch else names
    if not is_batch:
        raise errors.ProtocolError("an element of a batch must be (method, args, kwargs)")
    return elements, names
