"""Requests: method calls, attribute accesses and batches. The client builds them, the server parses them.

Both sides of each format, and of serialized blobs, are in this module, so that a format is changed in one place. A request is
what the serializer's dumpsCall() returns for (object id, method, args, kwargs). Attribute accesses and batches are calls of
reserved method names without kwargs. See the module handshake for the first message of a connection.
"""
from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Set, Tuple

from .. import LazyModule, NamedTuple, callcontext, config, errors, protocol, serializers
from .._values import large_buffers
from .._values.large_buffers import SMALL
from .._wire.chunks import MIN_CHUNK_BYTES
from ..protocol import Buffer, Payload, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from . import limits, out_of_band

if TYPE_CHECKING:
    from .._values import unsendable
    from .._values.marshal import check
else:
    check = LazyModule(globals(), ".._values.marshal.check")
    unsendable = LazyModule(globals(), ".._values.unsendable")

# reserved method names
GETATTR_METHOD = "__getattr__"  # read an exposed attribute
SETATTR_METHOD = "__setattr__"  # assign an exposed attribute
BATCH_METHOD = "<batch>"  # call a list of methods
ARGUMENTS = frozenset((list, tuple))  # types of the positional arguments
NUMBERS = frozenset((type(None), bool, int, float))  # types of arguments that need no special treatment
_MAYBE_LONG = frozenset((bytes, str))  # types of values that the serializer may be able to send without copying them


class WireOptions(NamedTuple):
    """Settings of the encoding of messages, as plain values. The proxy or daemon that owns them has read the settings."""

    max_size: int = 0  # in bytes; 0 is no limit
    compress: bool = False


class Call(NamedTuple):
    """A decoded request: call `method` of the object that is registered as `object_id`."""

    object_id: str
    method: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def invoke_request(serializer: SerializerBase, seq: int, flags: int, object_id: str, method: str, args: Sequence[Any],
                   kwargs: Optional[Mapping[str, Any]], wire: WireOptions,
                   own_annotations: Optional[Mapping[str, Buffer]] = None,
                   correlation_id: Optional[bytes] = None,
                   buffers: Optional[out_of_band.BufferOptions] = None) -> SendingMessage:
    """Build the request of a call.

    Args:
        kwargs: the keyword arguments; None for attribute accesses and batches.
        own_annotations: annotations to send in addition to those of the current context.
        correlation_id: 16 bytes; None: the one of the current context, if there is one.
        buffers: how large buffers may be sent; None: in the payload.

    Raises:
        SerializeError: a SerializedBlob is not the only argument.
        MessageTooLargeError: the request exceeds the limit.
        Exception: the error of the serializer for arguments that it cannot serialize.
    """
    annotations: Dict[str, Buffer] = callcontext.outgoing_annotations()
    if own_annotations:
        annotations = {**annotations, **own_annotations}
    serializer_id = serializer.serializer_id
    payload: Payload
    # Comparing exact types is the fastest way to find the special arguments; subclasses of SerializedBlob are not supported.
    if SerializedBlob in map(type, args) or kwargs and SerializedBlob in map(type, kwargs.values()):
        if len(args) != 1 or kwargs:
            raise errors.SerializeError("a SerializedBlob must be the only argument of a call")
        only = args[0]
        # In version 2, the format that all versions of Python write and read in the same way.
        info = marshal.dumps((only.info, object_id, method), 2)
        annotations = {**annotations, BLOB_ANNOTATION: info}
        flags |= protocol.FLAGS_KEEPSERIALIZED
        if only._contains_blob:
            payload, serializer_id = only._data.data, only._data.serializer_id
        else:
            # The data are the arguments of the call. They may be passed on to a peer of any release.
            payload = serializer.for_dialect(0).dumpsCall(object_id, method, only._data, {})
    elif buffers is not None and (kwargs or not SMALL.issuperset(map(type, args))):
        payload, annotations = out_of_band.call_payload(buffers, serializer, object_id, method, args, kwargs, annotations)
    elif large_buffers.current.outgoing is not None:
        # a converter of the program calls this while another message is being serialized: its table is not for this one
        with large_buffers.nothing_collected():
            payload = serializer.dumpsCall(object_id, method, args, kwargs)
    elif buffers is not None and buffers.shared is not None and buffers.shared.offer is not None:
        payload = serializer.dumpsCall(object_id, method, args, kwargs)
        annotations = buffers.annotations_for([], annotations)
    # long bytes and texts can leave in a piece of their own, without being copied into the payload
    elif not _MAYBE_LONG.isdisjoint(map(type, args)):
        payload = serializer.call_payload(object_id, method, args, kwargs)
    else:
        payload = serializer.dumpsCall(object_id, method, args, kwargs)
    if type(payload) is not bytes:
        unsendable.check_payload(payload, serializer, "dumpsCall")
    max_size, compress = wire
    return SendingMessage(protocol.MSG_INVOKE, flags, seq, serializer_id, payload, annotations,
                          correlation_id=correlation_id or callcontext.correlation_bytes(), compress=compress,
                          max_size=max_size)


def are_plain(args: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bool:
    """Return whether the arguments of a call are numbers, short texts and bytes, and small containers of numbers and texts."""
    return all(map(_is_plain, args)) and (not kwargs or all(map(_is_plain, kwargs.values())))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return (kind in NUMBERS or kind in _MAYBE_LONG and len(value) <= MIN_CHUNK_BYTES
            or (kind is dict or kind in ARGUMENTS) and large_buffers.has_no_buffers(value))


def parse_invoke_request(message: ReceivingMessage, serializer: SerializerBase) -> Call:
    """Parse the request of a call. If it carries a blob, its arguments are not deserialized.

    Raises:
        ProtocolError: the payload is not a call.
        Exception: the error of the serializer for malformed data.
    """
    # Only the annotation is read, so that a dispatcher forwards arguments whose serializer it need not know.
    if message.flags & protocol.FLAGS_KEEPSERIALIZED:
        if message.chunks is not None:
            raise errors.ProtocolError("a message with a blob must not have buffers beside its payload")
        info, object_id, method = parse_blob_annotation(bytes(message.annotations.get(BLOB_ANNOTATION, b"")))
        return Call(object_id, method, (SerializedBlob(info, message, is_blob=True),), {})
    if len(message.data) > limits.FREE_BYTES:
        limits.check(message, serializer)
    decoded: Any = (
        serializer.loadsCall(message.data) if message.chunks is None else out_of_band.load(message, serializer.loadsCall))
    try:
        object_id, method, args, kwargs = decoded
    except (TypeError, ValueError) as x:
        raise no_call(serializer, x) from x
    # The calls of methods. The rest is for attributes, batches and errors.
    if type(kwargs) is dict and type(args) in ARGUMENTS and type(object_id) is str and type(method) is str:
        return Call(object_id, method, args, kwargs)
    return checked_call(object_id, method, args, kwargs)


def no_call(serializer: SerializerBase, error: Exception) -> TypeError:
    """Return the error for what a serializer of the program has returned from loadsCall, which raised this when unpacked."""
    return TypeError("the serializer '%s' did not return (object id, method, args, kwargs) from loadsCall: %s"
                     % (serializer.name, error))


def checked_call(object_id: Any, method: Any, args: Any, kwargs: Any) -> Call:
    """Return a call whose parts have been decoded. Raises ProtocolError if they do not have the types of one."""
    # untrusted: exact types only
    if not (type(object_id) is str and type(method) is str and type(args) in ARGUMENTS):
        raise errors.ProtocolError("a call must consist of an object id, a method name, arguments and keyword arguments")
    if kwargs is not None and type(kwargs) is not dict:
        raise errors.ProtocolError("the keyword arguments of a call must be a dict, not %s" % type(kwargs).__name__)
    return Call(object_id, method, args, kwargs or {})


def parse_getattr(call: Call) -> str:
    """Return the name of the attribute that a call of GETATTR_METHOD reads.

    Raises:
        ProtocolError: the name is missing.
    """
    if not call.args or type(call.args[0]) is not str:
        raise errors.ProtocolError("a request that reads an attribute must contain its name")
    return call.args[0]


def parse_setattr(call: Call) -> Tuple[str, Any]:
    """Return the name and the new value of the attribute that a call of SETATTR_METHOD assigns.

    Raises:
        ProtocolError: one of them is missing.
    """
    if len(call.args) < 2 or type(call.args[0]) is not str:
        raise errors.ProtocolError("a request that assigns an attribute must contain its name and the value")
    return call.args[0], call.args[1]


def parse_batch(call: Call) -> Tuple[Sequence[Tuple[Any, Sequence[Any], Dict[str, Any]]], Set[str]]:
    """Return the calls of a batch, each as (method, args, kwargs), and the set of all method names.

    Raises:
        ProtocolError: an element is not a call.
    """
    elements = call.args
    if not elements:
        return [], set()
    # check all elements at once: a check per element would take as long as a call of a small method
    names: Set[str] = set()
    is_batch = set(map(type, elements)) <= ARGUMENTS and set(map(len, elements)) == {3}
    if is_batch:
        methods, argument_lists, keyword_dicts = zip(*elements)
        # Types first: putting objects into a set may run their code, and takes quadratic time if all have the same hash.
        is_batch = (set(map(type, methods)) == {str} and set(map(type, argument_lists)) <= ARGUMENTS
                    and set(map(type, keyword_dicts)) == {dict})
        names = set(methods) if is_batch else names
    if not is_batch:
        raise errors.ProtocolError("an element of a batch must be (method, args, kwargs)")
    return elements, names


BLOB_ANNOTATION = "BLBI"  # marshal of (info, object id, method), in a request that carries a serialized blob


class SerializedBlob:
    """Wraps call arguments that servers on the way forward without deserializing them.

    Pass it to a remote method as the only argument. The server receives it in serialized form and can pass it to another
    remote method unchanged. The final receiver calls :meth:`deserialized`.

    Args:
        info: a small value that describes the blob, such as an id, a name or a topic; must be marshallable.
        data: the payload, usually a list or tuple of arguments.
        is_blob: whether `data` is a received message that has not been deserialized yet (set by the server).

    Raises:
        TypeError: is_blob is true and data is not a message.
    """

    # the documented module, where programs import it from; relative to the parent package, which may be vendored
    __module__ = __name__.rsplit(".", 2)[0] + ".client"

    def __init__(self, info: Any, data: Any, is_blob: bool = False) -> None:
        if is_blob and not isinstance(data, (SendingMessage, ReceivingMessage)):
            raise TypeError("data should be a message object if is_blob is set, not %s" % type(data).__name__)
        self.info = info
        self._data = data
        self._contains_blob = is_blob

    def deserialized(self) -> Any:
        """Return the data. If it was received from the network it is deserialized now, again in every call.

        Raises:
            SerializeError: the data cannot be deserialized in this process.
        """
        if not self._contains_blob:
            return self._data
        message = self._data
        # the serializer of the original sender: servers on the way may use another one for their own calls
        serializer = serializers.get_serializer_by_id(message.serializer_id)
        # checked here and not when the message arrived: a server that only forwards a blob need not look into it
        if isinstance(message, ReceivingMessage) and len(message.data) > limits.FREE_BYTES:
            limits.check(message, serializer)
        decoded: Any = serializer.loadsCall(message.data)
        try:
            _object_id, _method, args, _kwargs = decoded
        except (TypeError, ValueError) as x:
            raise no_call(serializer, x) from x
        return args


def parse_blob_annotation(data: bytes) -> Tuple[Any, str, str]:
    """Parse the annotation of a request with a blob: (info, object id, method name).

    Raises:
        ProtocolError: it is missing or malformed.
        SerializeError: it has more containers than MAX_CONTAINERS.
    """
    # Not part of the payload, and never compressed.
    if len(data) > limits.FREE_BYTES and config.MAX_CONTAINERS:
        check.check_containers(data, config.MAX_CONTAINERS)
    try:
        info, object_id, method = check.loads(data)
    except (EOFError, TypeError, ValueError) as x:
        raise errors.ProtocolError("the annotation %s of a call with a serialized blob is missing or malformed"
                                   % BLOB_ANNOTATION) from x
    if not (type(object_id) is str and type(method) is str):
        raise errors.ProtocolError("the annotation %s must contain an object id and a method name" % BLOB_ANNOTATION)
    return info, object_id, method
