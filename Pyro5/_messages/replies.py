"""Replies: results, exceptions, item streams and results of batches. The server builds them, the client parses them.

Both sides of each format are in this module, so that a format is changed in one place.
"""
from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Iterator, List, Mapping, NoReturn, Optional

from .. import LazyModule, errors, protocol
from .._values import classes, plain, recreation
from .._values.large_buffers import SMALL
from ..constants import DAEMON_NAME, NEXT_ITEM_METHOD
from ..protocol import Buffer, Payload, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase, get_serializer
from . import limits, out_of_band
from .requests import WireOptions

if TYPE_CHECKING:
    from .._values import exceptions, unsendable
    from . import batch_results
else:
    exceptions = LazyModule(globals(), ".._values.exceptions")
    batch_results = LazyModule(globals(), ".batch_results")
    unsendable = LazyModule(globals(), ".._values.unsendable")

STREAM_ANNOTATION = "STRM"  # the stream id, in the reply that opens an item stream
# the payload of a reply without these flags is the serialized result of the call
MORE_THAN_A_VALUE = protocol.FLAGS_EXCEPTION | protocol.FLAGS_BATCH | protocol.FLAGS_ITEMSTREAMRESULT
# types of results that the serializer may be able to send without copying them; serpent turns bytes into a dict
_MAYBE_LONG_RESULT = frozenset((bytes, str, dict))
_NEXT_ITEM = "%s.%s" % (DAEMON_NAME, NEXT_ITEM_METHOD)
EXCEPTION_WRAPPER_TAG = "Pyro5.core._ExceptionWrapper"


class StreamOpened:
    """The result of a call that returned an iterator: the id of the item stream, None if the server does not allow streams."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: Optional[str]) -> None:
        self.stream_id = stream_id


class ExceptionWrapper:
    """The exception of a call, in the place of its result in the results of a batch."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception

    def raise_it(self) -> NoReturn:
        """Raise the exception. Its ``_pyroTraceback`` is the traceback on the server."""
        raise raisable(self.exception)

    raiseIt = raise_it  # the name in 5.x


def _dict_to_wrapper(data: Mapping[str, Any], convert: classes.Convert) -> ExceptionWrapper:
    exception = convert(data["exception"])
    if not isinstance(exception, BaseException):
        raise ValueError("a batch contains something else in the place of an exception: %s" % plain.text_of(exception))
    return ExceptionWrapper(exception)


class ReplyTo:
    """The values that a reply repeats from its request, and the options of its encoding."""

    def __init__(self, seq: int, serializer: SerializerBase, correlation_id: bytes, annotations: Mapping[str, Buffer],
                 wire: WireOptions) -> None:
        self.seq, self.serializer, self.correlation_id = seq, serializer, correlation_id
        self.annotations, self.wire = annotations, wire


def payload_reply(to: ReplyTo, flags: int, payload: Payload, annotations: Mapping[str, Buffer]) -> SendingMessage:
    """Build a reply with an encoded value.

    Raises:
        MessageTooLargeError: it exceeds the limit.
        SerializeError: it is none, see `unsendable.check_payload`.
    """
    if type(payload) is not bytes:
        unsendable.check_payload(payload, to.serializer, "dumps")
    return SendingMessage(protocol.MSG_RESULT, flags, to.seq, to.serializer.serializer_id, payload, annotations,
                          correlation_id=to.correlation_id, compress=to.wire.compress, max_size=to.wire.max_size)


def value_reply(to: ReplyTo, value: Any, flags: int = 0,
                buffers: Optional[out_of_band.BufferOptions] = None) -> SendingMessage:
    """Build the reply with the result of a call.

    Args:
        buffers: how large buffers may be sent; None: in the payload.

    Raises:
        MessageTooLargeError: the reply exceeds the limit.
        Exception: the error of the serializer for a value that it cannot serialize.
    """
    payload: Payload
    annotations = to.annotations
    if buffers is None or type(value) in SMALL:
        payload = to.serializer.value_payload(value) if type(value) in _MAYBE_LONG_RESULT else to.serializer.dumps(value)
    else:
        payload, annotations = out_of_band.value_payload(buffers, to.serializer, value, annotations)
    return payload_reply(to, flags, payload, annotations)


def unsent_result(error: Exception, value: Any, serializer: SerializerBase, method: str) -> Exception:
    """Return the error to send when a result could not be serialized; its text names the part that is the cause."""
    what = "cannot send the result of " + method
    # in a batch it is not known here which result failed, so all of them are examined
    if isinstance(value, batch_results.BatchResults):
        parts = [("the result of call %d" % number, each) for number, each in enumerate(value.values, value.first_number)]
    elif method == _NEXT_ITEM:
        what, parts = "cannot send an item of a stream", [("the item", value)]
    else:
        parts = [("result", value)]
    explained = unsendable.explain(error, parts, serializer)
    if isinstance(explained, errors.ProtocolError):
        errors.add_context(explained, what)
    return explained


def batch_reply(to: ReplyTo, results: batch_results.BatchResults) -> SendingMessage:
    """Build the reply with the results of a batch. Raises the same exceptions as value_reply."""
    # no flag for exceptions: those of single calls are ExceptionWrappers in the list
    payload = results.payload()
    return payload_reply(to, protocol.FLAGS_BATCH, payload, results.annotations_for(to.annotations))


def stream_reply(to: ReplyTo, stream_id: Optional[str]) -> SendingMessage:
    """Build the reply that opens an item stream; with stream_id None, the reply that the server does not allow streams.

    The payload is an exception, for peers that do not support item streams.
    """
    hint = errors.ProtocolError("result of call is an iterator")
    hint.__dict__["_pyroTraceback"] = None
    annotations = dict(to.annotations)
    if stream_id is not None:
        annotations[STREAM_ANNOTATION] = stream_id.encode("ascii")
    # both flags: a peer without item streams raises the exception, others look at the stream flag first
    flags = protocol.FLAGS_EXCEPTION | protocol.FLAGS_ITEMSTREAMRESULT
    return payload_reply(to, flags, to.serializer.dumps(hint), annotations)


def exception_reply(to: ReplyTo, exception: BaseException, traceback_lines: List[str]) -> SendingMessage:
    """Build the reply with an exception and its traceback.

    An exception that cannot be serialized or exceeds the size limit is replaced by a PyroError whose text describes it. So
    this never fails, and every call gets a reply.
    """
    carried = remote_traceback(exception)  # of an exception that the method itself received from another server
    too_large = ["the remote traceback is too large to be sent\n"]
    try:
        with contextlib.suppress(Exception) if exception.__cause__ is not None else contextlib.nullcontext():
            return _first_within_limit(to, exception, traceback_lines, too_large)
        with _without_cause(exception):  # which is perhaps what cannot be sent
            return _first_within_limit(to, exception, traceback_lines, too_large)
    except Exception as x:  # a serializer, or user code that it calls such as __getstate__, can raise anything
        reason = "Error serializing exception: %s. Original exception: %s: %s" % (
            text_of(x), type(exception), text_of(exception))
    finally:
        # Restore the attribute: the server may raise the same exception object again, where it is not a remote exception.
        set_remote_traceback(exception, carried)
    with contextlib.suppress(Exception):
        return _first_within_limit(to, errors.PyroError(reason[:2000]), traceback_lines, [])
    # Still too large, or the annotations cannot be sent: without limit and annotations.
    with contextlib.suppress(Exception):
        bare = ReplyTo(to.seq, to.serializer, to.correlation_id, {}, WireOptions())
        return _first_within_limit(bare, errors.PyroError(reason[:200]), [])
    # A serializer of the program that fails for everything. The client refuses the reply, and does not wait for another one.
    bare = ReplyTo(to.seq, get_serializer("marshal"), to.correlation_id, {}, WireOptions())
    return _first_within_limit(bare, errors.PyroError(reason[:200]), [])


@contextlib.contextmanager
def _without_cause(exception: BaseException) -> Iterator[None]:
    cause, is_suppressed = exception.__cause__, exception.__suppress_context__
    exception.__cause__ = None
    try:
        yield
    finally:
        exception.__cause__, exception.__suppress_context__ = cause, is_suppressed


def _first_within_limit(to: ReplyTo, exception: BaseException, *tracebacks: List[str]) -> SendingMessage:
    """Build an exception reply with the first of these tracebacks for which it does not exceed the size limit."""
    for traceback_lines in tracebacks[:-1]:
        set_remote_traceback(exception, traceback_lines)
        try:
            return payload_reply(to, protocol.FLAGS_EXCEPTION, to.serializer.dumps(exception), to.annotations)
        except errors.MessageTooLargeError:
            continue
    set_remote_traceback(exception, tracebacks[-1])
    return payload_reply(to, protocol.FLAGS_EXCEPTION, to.serializer.dumps(exception), to.annotations)


def sendable(exception: Exception, serializer: SerializerBase) -> Exception:
    """Return the exception, or a PyroError that describes it if it cannot be serialized."""
    try:
        serializer.dumps(exception)
        return exception
    except Exception as x:  # as in exception_reply
        substitute = errors.PyroError("Error serializing exception: %s. Original exception: %s: %s" % (
            text_of(x), type(exception), text_of(exception)))
        set_remote_traceback(substitute, remote_traceback(exception))
        return substitute


def remote_traceback(exception: BaseException) -> Optional[List[str]]:
    """Return the remote traceback of an exception, None if it is not a remote exception. No code of its class is run.

    An exception class can override __getattribute__, so the attribute is read by the method of BaseException.
    """
    attributes = BaseException.__getattribute__(exception, "__dict__")
    lines: Optional[List[str]] = attributes.get("_pyroTraceback")
    return lines


def text_of(error: BaseException) -> str:
    """Return the text of an exception; a substitute if its class fails to return one."""
    try:
        return str(error)
    except Exception as x:  # __str__ is code of the program
        return "<no text, %s>" % type(x).__name__


def set_remote_traceback(exception: BaseException, lines: Optional[List[str]]) -> None:
    """Set the remote traceback of an exception; None removes it. No code of its class is run."""
    attributes = BaseException.__getattribute__(exception, "__dict__")
    if lines is None:
        attributes.pop("_pyroTraceback", None)
    else:
        attributes["_pyroTraceback"] = lines


def pong(message: ReceivingMessage, correlation_id: bytes) -> SendingMessage:
    """Build the reply to a ping."""
    return SendingMessage(protocol.MSG_PING, 0, message.seq, message.serializer_id, b"pong",
                          correlation_id=correlation_id, compress=False, max_size=0)


def parse_reply(message: ReceivingMessage, serializer: SerializerBase) -> Any:
    """Return the result of a call: its value, a list of results of a batch, or a StreamOpened.

    Raises:
        Exception: the exception in the reply; or the error of the serializer for malformed data.
        ProtocolError: the payload does not match the flags of the reply.
    """
    if len(message.data) > limits.FREE_BYTES:
        limits.check_reply(message, serializer)  # before anything is decoded: afterwards the memory is already used
    if not message.flags & MORE_THAN_A_VALUE:
        return out_of_band.load(message, serializer.loads)
    if message.flags & protocol.FLAGS_ITEMSTREAMRESULT:
        stream_id = message.annotations.get(STREAM_ANNOTATION)
        return StreamOpened(None if stream_id is None else bytes(stream_id).decode("ascii", "replace"))
    # Proxies in exceptions and batches stay unusable until the types have been checked: nothing here may connect anywhere.
    with recreation.DeferredDelivery():
        data = out_of_band.load(message, serializer.loads_reply)
        if not message.flags & protocol.FLAGS_EXCEPTION:
            return _batch_results(data)
        if not isinstance(data, BaseException):
            raise errors.ProtocolError("the server sent something else in the place of an exception: %s" % plain.text_of(data))
        raise raisable(data)


def _batch_results(data: Any) -> Any:
    if type(data) not in plain.SEQUENCES:
        raise errors.ProtocolError("expected a list of results in the reply to a batch, got %s" % plain.text_of(data))
    return data


def raisable(exception: BaseException) -> Exception:
    """Return the exception to raise for one that was received.

    A SystemExit, KeyboardInterrupt or GeneratorExit from the network must not have its effect in this process: these
    are replaced by a RemoteError.
    """
    if not isinstance(exception, Exception):
        exception = exceptions.foreign_exception(exceptions.exception_to_dict(exception))
    if "_pyroUnsendable" in vars(exception):  # unsendable.MARK, without loading that module for all exceptions
        exception = unsendable.as_received(exception)
    if type(exception) is not StopIteration:  # it ends every item stream, and its traceback is never shown
        errors.show_remote_traceback(exception)
    return exception


classes.register_own_dict(ExceptionWrapper, EXCEPTION_WRAPPER_TAG, lambda wrapper: {
    "__class__": EXCEPTION_WRAPPER_TAG, "exception": SerializerBase.class_to_dict(wrapper.exception)}, _dict_to_wrapper)
classes.register_own_tagged(ExceptionWrapper, lambda wrapper: {
    "__class__": EXCEPTION_WRAPPER_TAG, "exception": wrapper.exception})
