"""Replies: results, exceptions, item streams and results of batches, as the server builds and the client parses them."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, NoReturn, Optional

from .. import errors, protocol
from .._values import classes, exceptions, plain, recreation, unsendable
from ..protocol import Buffer, Payload, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from . import limits
from .batch_results import BatchResults
from .requests import WireOptions

STREAM_ANNOTATION = "STRM"  # stream id, in the reply that opens an item stream
# a reply with none of these flags is the result of a call, as the serializer wrote it
MORE_THAN_A_VALUE = protocol.FLAGS_EXCEPTION | protocol.FLAGS_BATCH | protocol.FLAGS_ITEMSTREAMRESULT
_MAYBE_LONG_RESULT = frozenset((bytes, str, dict))  # serpent makes dicts of bytes
EXCEPTION_WRAPPER_TAG = "Pyro5.core._ExceptionWrapper"


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
    if len(message.data) > limits.FREE_BYTES:
        limits.check_reply(message, serializer)
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
