"""What a message says: both directions of every request and reply, side by side.

The client builds requests and parses replies, the server parses requests and builds replies; each pair stands
together, so that a format is changed in one place.  Nothing here knows a socket or a thread.

A call is what the serializer's dumpsCall() makes of (object id, method, args, kwargs); attribute access and batches are
calls of reserved method names without kwargs.  How a connection begins is in the module handshake.
"""
from __future__ import annotations

import marshal
from typing import Any, Dict, List, Mapping, NamedTuple, NoReturn, Optional, Sequence, Set, Tuple

from .. import callcontext, errors, protocol, serializers
from .._values import classes, exceptions, plain, recreation, unsendable
from .._values.marshal import check
from ..protocol import Buffer, Payload, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from . import structure
from .batch_results import BatchResults

GETATTR_METHOD = "__getattr__"  # reserved method names: read an exposed property ...
SETATTR_METHOD = "__setattr__"  # ... write one ...
BATCH_METHOD = "<batch>"  # ... run a list of calls
STREAM_ANNOTATION = "STRM"  # stream id, in the reply that opens an item stream
BLOB_ANNOTATION = "BLBI"  # marshal of (info, object id, method), in a request that carries a serialized blob
# a reply with none of these flags is the result of a call, as the serializer wrote it
MORE_THAN_A_VALUE = protocol.FLAGS_EXCEPTION | protocol.FLAGS_BATCH | protocol.FLAGS_ITEMSTREAMRESULT
_ARGUMENTS = frozenset((list, tuple))  # what positional arguments come in
_MAYBE_LONG = frozenset((bytes, str))  # values that the serializer may be able to send without copying them
_MAYBE_LONG_RESULT = _MAYBE_LONG | {dict}  # what serpent makes of bytes
EXCEPTION_WRAPPER_TAG = "Pyro5.core._ExceptionWrapper"


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


class StreamOpened:
    """A reply that says: the result is an iterator, fetch its items by this id (None: the server does not stream)."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: Optional[str]) -> None:
        self.stream_id = stream_id


class ExceptionWrapper:
    """Stands in the results of a batch at the place of the call that failed."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception

    def raise_it(self) -> NoReturn:
        """Raise the exception; its ``_pyroTraceback`` tells where it happened on the server."""
        raise _harmless(self.exception)

    raiseIt = raise_it  # the name that programs know


def _wrapper_to_dict(wrapper: ExceptionWrapper) -> Dict[str, Any]:
    return {"__class__": EXCEPTION_WRAPPER_TAG, "exception": SerializerBase.class_to_dict(wrapper.exception)}


def _dict_to_wrapper(data: Mapping[str, Any], convert: classes.Convert) -> ExceptionWrapper:
    exception = convert(data["exception"])
    if not isinstance(exception, BaseException):
        raise ValueError("what a batch has at the place of an exception is none: %s" % plain.text_of(exception))
    return ExceptionWrapper(exception)


class SerializedBlob:
    """Wraps call arguments so that they pass through servers unread, as the bytes that the first sender made.

    Hand it to a remote method as the only argument.  A dispatcher receives it still serialized and can pass it on as it
    is; the final receiver calls :meth:`deserialized`.

    Args:
        info: something small that describes the blob (an id, a name, a topic); must be marshallable.
        data: the payload: a list or tuple of what you would have given as arguments, or anything else.
        is_blob: True if `data` is a received message and still to be deserialized (set by the server).
    """

    def __init__(self, info: Any, data: Any, is_blob: bool = False) -> None:
        if is_blob and not isinstance(data, (SendingMessage, ReceivingMessage)):
            raise TypeError("data should be a message object if is_blob is set, not %s" % type(data).__name__)
        self.info = info
        self._data = data
        self._contains_blob = is_blob

    def deserialized(self) -> Any:
        """Give the data; if it came over the network it is deserialized now.

        Raises:
            SerializeError: the data cannot be deserialized here.
        """
        if not self._contains_blob:
            return self._data
        message = self._data
        serializer = serializers.get_serializer_by_id(message.serializer_id)
        if isinstance(message, ReceivingMessage) and len(message.data) > structure.FREE_BYTES:
            structure.check(message, serializer)
        _object_id, _method, args, _kwargs = serializer.loadsCall(message.data)
        return args


# ---------------------------------------------------------------- calls

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
        blob = args[0]
        info = marshal.dumps((blob.info, object_id, method), 2)
        annotations = {**annotations, BLOB_ANNOTATION: info}
        flags |= protocol.FLAGS_KEEPSERIALIZED
        if blob._contains_blob:
            payload, serializer_id = blob._data.data, blob._data.serializer_id
        else:
            payload = serializer.dumpsCall(object_id, method, blob._data, {})  # in the place of the arguments
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
        info, object_id, method = _parse_blob_annotation(bytes(message.annotations.get(BLOB_ANNOTATION, b"")))
        return Call(object_id, method, (SerializedBlob(info, message, is_blob=True),), {})
    if len(message.data) > structure.FREE_BYTES:
        structure.check(message, serializer)
    object_id, method, args, kwargs = serializer.loadsCall(message.data)
    if type(kwargs) is dict and type(args) in _ARGUMENTS and type(object_id) is str and type(method) is str:
        return Call(object_id, method, args, kwargs)
    if not (type(object_id) is str and type(method) is str and type(args) in _ARGUMENTS):
        raise errors.ProtocolError("a call consists of an object id, a method name, arguments and keyword arguments")
    if kwargs is not None:
        raise errors.ProtocolError("the keyword arguments of a call must be a dict, not %s" % type(kwargs).__name__)
    return Call(object_id, method, args, {})


def _parse_blob_annotation(data: bytes) -> Tuple[Any, str, str]:
    structure.check_marshal(data)
    try:
        info, object_id, method = check.loads(data)
    except (EOFError, TypeError, ValueError) as x:
        raise errors.ProtocolError("a call with a serialized blob needs a proper annotation %s" % BLOB_ANNOTATION) from x
    if not (type(object_id) is str and type(method) is str):
        raise errors.ProtocolError("the annotation %s must name an object and a method" % BLOB_ANNOTATION)
    return info, object_id, method


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


class ReplyTo(NamedTuple):
    """What a reply repeats of its request, and how it is to be encoded."""

    seq: int
    serializer: SerializerBase
    correlation_id: bytes
    annotations: Mapping[str, Buffer]
    wire: WireOptions


def _reply(to: ReplyTo, flags: int, payload: Payload, annotations: Mapping[str, Buffer]) -> SendingMessage:
    return SendingMessage(protocol.MSG_RESULT, flags, to.seq, to.serializer.serializer_id, payload, annotations,
                          correlation_id=to.correlation_id, compress=to.wire.compress, max_size=to.wire.max_size)


def value_reply(to: ReplyTo, value: Any, flags: int = 0) -> SendingMessage:
    """Build the reply that carries a result (of a batch: the list of results, and FLAGS_BATCH).

    Raises:
        Exception: whatever the serializer raises for a value that it cannot serialize.
        MessageTooLargeError: the reply exceeds the limit.
    """
    seq, serializer, correlation_id, annotations, (max_size, compress) = to
    payload = serializer.value_payload(value) if type(value) in _MAYBE_LONG_RESULT else serializer.dumps(value)
    return SendingMessage(protocol.MSG_RESULT, flags, seq, serializer.serializer_id, payload, annotations,
                          correlation_id=correlation_id, compress=compress, max_size=max_size)


def unsent_result(error: Exception, value: Any, serializer: SerializerBase, method: str) -> Exception:
    """Return the error to answer with when a result could not be serialized: one that says which part of it is the cause."""
    parts = [("a result", each) for each in value.values] if isinstance(value, BatchResults) else [("result", value)]
    explained = unsendable.explain(error, parts, serializer)
    if isinstance(explained, errors.ProtocolError):
        errors.add_context(explained, "cannot send the result of " + method)
    return explained


def batch_reply(to: ReplyTo, results: BatchResults) -> SendingMessage:
    """Build the reply that carries the results of a batch; raises what value_reply raises."""
    return _reply(to, protocol.FLAGS_BATCH, results.payload(), to.annotations)


def stream_reply(to: ReplyTo, stream_id: Optional[str]) -> SendingMessage:
    """Build the reply that opens an item stream, or says (stream_id None) that this server does not stream.

    The payload is an error, for peers that know nothing of item streams.
    """
    hint = errors.ProtocolError("result of call is an iterator")
    hint.__dict__["_pyroTraceback"] = None
    annotations = dict(to.annotations)
    if stream_id is not None:
        annotations[STREAM_ANNOTATION] = stream_id.encode("ascii")
    flags = protocol.FLAGS_EXCEPTION | protocol.FLAGS_ITEMSTREAMRESULT
    return _reply(to, flags, to.serializer.dumps(hint), annotations)


def exception_reply(to: ReplyTo, exception: BaseException, traceback_lines: List[str]) -> SendingMessage:
    """Build the reply that carries an exception and its remote traceback.

    An exception that cannot be serialized, or is larger than the limit, goes as a PyroError that names it.
    """
    carried = remote_traceback(exception)
    try:
        return _first_that_fits(to, exception, traceback_lines, ["the remote traceback is too large to be sent\n"])
    except Exception as x:  # a request border: any serializer or user-made __getstate__ may fail in its own way
        reason = "Error serializing exception: %s. Original exception: %s: %s" % (
            text_of(x), type(exception), text_of(exception))
    finally:
        set_remote_traceback(exception, carried)  # it may be raised again: then this is not a remote one's
    try:
        return _first_that_fits(to, errors.PyroError(reason[:2000]), traceback_lines, [])
    except errors.ProtocolError:  # still too large, or the annotations themselves cannot be sent
        bare = to._replace(wire=WireOptions(), annotations={})
        return _first_that_fits(bare, errors.PyroError(reason[:200]), [])


def _first_that_fits(to: ReplyTo, exception: BaseException, *tracebacks: List[str]) -> SendingMessage:
    """Build an exception reply with the first of these tracebacks that keeps it within the limit."""
    for traceback_lines in tracebacks[:-1]:
        set_remote_traceback(exception, traceback_lines)
        try:
            return _reply(to, protocol.FLAGS_EXCEPTION, to.serializer.dumps(exception), to.annotations)
        except errors.MessageTooLargeError:
            continue
    set_remote_traceback(exception, tracebacks[-1])
    return _reply(to, protocol.FLAGS_EXCEPTION, to.serializer.dumps(exception), to.annotations)


def sendable(exception: Exception, serializer: SerializerBase) -> Exception:
    """Give the exception, or a PyroError that names it if it cannot be serialized."""
    try:
        serializer.dumps(exception)
        return exception
    except Exception as x:  # as in exception_reply
        substitute = errors.PyroError("Error serializing exception: %s. Original exception: %s: %s" % (
            text_of(x), type(exception), text_of(exception)))
        set_remote_traceback(substitute, remote_traceback(exception))
        return substitute


def remote_traceback(exception: BaseException) -> Optional[List[str]]:
    """Give the traceback text that came with an exception, None if it came from nowhere; runs none of its class's code."""
    attributes = BaseException.__getattribute__(exception, "__dict__")
    lines: Optional[List[str]] = attributes.get("_pyroTraceback")
    return lines


def text_of(error: BaseException) -> str:
    """Give the text of an exception, whatever its class does when it is asked for."""
    try:
        return str(error)
    except Exception as x:  # the user's own __str__
        return "<no text, %s>" % type(x).__name__


def set_remote_traceback(exception: BaseException, lines: Optional[List[str]]) -> None:
    """Attach the traceback text that travels with an exception (running none of its class's code); None takes it off again."""
    attributes = BaseException.__getattribute__(exception, "__dict__")
    if lines is None:
        attributes.pop("_pyroTraceback", None)
    else:
        attributes["_pyroTraceback"] = lines


def pong(message: ReceivingMessage, correlation_id: bytes) -> SendingMessage:
    """Build the answer to a ping."""
    return SendingMessage(protocol.MSG_PING, 0, message.seq, message.serializer_id, b"pong",
                          correlation_id=correlation_id, compress=False, max_size=0)


def parse_reply(message: ReceivingMessage, serializer: SerializerBase) -> Any:
    """Give the result of a call: its value, or a StreamOpened.

    Raises:
        BaseException: the remote exception.
        ProtocolError: the reply says that it is an exception but holds none.
        Exception: whatever the serializer raises on malformed data.
    """
    if len(message.data) > structure.FREE_BYTES:
        structure.check_reply(message, serializer)
    if not message.flags & MORE_THAN_A_VALUE:
        return serializer.loads(message.data)
    if message.flags & protocol.FLAGS_ITEMSTREAMRESULT:
        stream_id = message.annotations.get(STREAM_ANNOTATION)
        return StreamOpened(None if stream_id is None else bytes(stream_id).decode("ascii", "replace"))
    with recreation.Undelivered():
        data = serializer.loads_reply(message.data)
        if not message.flags & protocol.FLAGS_EXCEPTION:
            return _batch_results(data)
        if not isinstance(data, BaseException):
            raise errors.ProtocolError("the server replied with an error that is no exception: %s" % plain.text_of(data))
        raise _harmless(data)


def _batch_results(data: Any) -> Any:
    if type(data) not in plain.SEQUENCES:
        raise errors.ProtocolError("the server replied to a batch with something else than a list of results: %s"
                                   % plain.text_of(data))
    return data


def _harmless(exception: BaseException) -> Exception:
    """Return what to raise for a remote exception.

    Nothing that comes over the network may act as a SystemExit, KeyboardInterrupt or GeneratorExit in this process.
    """
    if not isinstance(exception, Exception):
        exception = exceptions.foreign_exception(exceptions.exception_to_dict(exception))
    exception = unsendable.as_received(exception)
    if type(exception) is not StopIteration:  # the end of every item stream
        errors.show_remote_traceback(exception)
    return exception


classes.register_own_dict(ExceptionWrapper, EXCEPTION_WRAPPER_TAG, _wrapper_to_dict, _dict_to_wrapper)
