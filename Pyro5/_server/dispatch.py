"""Turn messages into replies: handshakes, calls, batches, and what is answered when a message is invalid.

No socket, thread or clock is used here, apart from what the called method does. Every exception that a method raises
becomes a reply; sending the reply, and handling network errors, is up to the caller.
"""
from __future__ import annotations

import contextvars
import functools
import logging
from collections.abc import Iterator
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from .. import callcontext, errors, protocol, serializers
from .._messages import handshake, replies, requests
from .._messages.batch_results import BatchResults
from .._messages.replies import ReplyTo
from .._messages.requests import Call, WireOptions
from .._values import unsendable
from ..protocol import ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from . import exposure
from .error_log import ErrorLog, RepeatFilter, client_name
from .objects import ObjectTable, PublishedObject
from .streams import StreamTable
from .turns import Turns

log = logging.getLogger("Pyro5.server.dispatch")

_MAX_CACHED_TEXT = 200  # characters of the response of validateHandshake: payloads with longer ones are not cached
# results in a batch whose size is not counted; nor is that of an int of at most this many bits
_UNCOUNTED_TYPES = frozenset((type(None), bool, float))
_MAX_UNCOUNTED_INT_BITS = 256
_SHORT_HANDSHAKE_BYTES = 4096  # longer ones are decoded one at a time
_MAX_TURN_WAIT_SECONDS = 1.0  # that a long handshake waits for another one to be decoded
_BATCH_OR_ONEWAY = protocol.FLAGS_BATCH | protocol.FLAGS_ONEWAY
# A result of one of these types is certainly no iterator. This lookup saves 0.2 us per call compared with
# isinstance(..., Iterator), which asks the abstract class.
_NON_ITERATOR_TYPES = frozenset((type(None), bool, int, float, str, bytes, list, tuple, dict, set))


class DispatchOptions(NamedTuple):
    """The settings that a `Dispatcher` uses, see `Dispatcher.set_options`."""

    wire: WireOptions
    accepted_serializers: List[str]
    streaming: bool
    detailed_traceback: bool
    log_wire: bool


class Dispatcher:
    """Answers the messages of all clients of a daemon. Thread-safe: several threads may call answer() at once.

    Args:
        daemon: its documented methods validateHandshake, annotations and methodcall_error_handler are called.
        run_oneway: called with a connection, a callable that runs a oneway call, and the size of the request in
            bytes, to run the call in another thread; None: oneway calls run in the caller's thread.
        repeat_filter: decides which exceptions of calls are logged.

    Attributes:
        find_custom_get_metadata: returns the function that makes the metadata of an object for the handshake (called
            with the object id), or None to use the exposed members.
    """

    def __init__(self, daemon: Any, objects: ObjectTable, streams: StreamTable, options: DispatchOptions,
                 run_oneway: Optional[Callable[[Any, Callable[[], Any], int], None]],
                 repeat_filter: RepeatFilter) -> None:
        self._daemon = daemon
        self._objects = objects
        self._streams = streams
        self._error_log = ErrorLog(repeat_filter)
        self.set_options(options, run_oneway)
        self.find_custom_get_metadata: Callable[[], Optional[Callable[[str], Any]]] = lambda: None

    def set_options(self, options: DispatchOptions,
                    run_oneway: Optional[Callable[[Any, Callable[[], Any], int], None]]) -> None:
        """Use these options from the next message on. Requests that are running may see some of them."""
        self._options = options
        self._wire = options.wire
        self._run_oneway = run_oneway
        self._long_handshakes = Turns(_MAX_TURN_WAIT_SECONDS)
        self._serializers: Dict[int, SerializerBase] = {}  # accepted ones, filled as they are asked for

    # ------------------------------------------------------------ any message

    def answer(self, connection: Any, message: ReceivingMessage) -> Optional[SendingMessage]:
        """Process a message and return the reply, None if none is to be sent.

        Calls ``connection.finish_handshake()`` when the handshake succeeds, and sets ``connection.closing`` when the
        connection must be closed.

        Raises:
            BaseException: a method raised SystemExit, KeyboardInterrupt or GeneratorExit.
        """
        if self._options.log_wire:
            protocol.log_wiredata(log, "received from %s" % (connection.peer_address,), message)
        # Each request runs in a copy of the context: variables that it sets do not reach the next request of this
        # thread.
        return contextvars.copy_context().run(self._answer, connection, message)

    def _answer(self, connection: Any, message: ReceivingMessage) -> Optional[SendingMessage]:
        # not corr_bytes: reading that property takes as long as the rest of this line
        has_id = message.flags & protocol.FLAGS_CORR_ID
        correlation_id = message.corr_id if has_id else callcontext.new_correlation_bytes()
        reply: Optional[SendingMessage]
        if not connection.handshake_done:
            reply = self._answer_handshake(connection, message, correlation_id)
        elif message.type == protocol.MSG_INVOKE:
            reply = self._invoke(connection, message, correlation_id)
        elif message.type == protocol.MSG_PING:
            reply = replies.pong(message, correlation_id)
        else:
            reply = self._reject_unexpected(connection, message, correlation_id)
        if self._options.log_wire and reply is not None:
            protocol.log_wiredata(log, "sending to %s" % (connection.peer_address,), reply)
        return reply

    def build_refusal(self, connection: Any, error: errors.ProtocolError) -> Optional[SendingMessage]:
        """Build the reply for a client whose data cannot be parsed any further; None if no reply is possible."""
        correlation_id = callcontext.new_correlation_bytes()
        if not connection.handshake_done:
            return handshake.connect_refused(None, None, str(error), correlation_id, self._wire)
        refused = connection.refused_message
        if refused is None:
            return None
        return self._exception_reply(refused, correlation_id, error)

    def _serializer_for(self, message: ReceivingMessage) -> SerializerBase:
        """Return the serializer of a message, before any of its payload is decoded.

        Raises:
            SerializeError: the serializer is unknown, not installed, or not accepted by this server.
        """
        try:
            return self._serializers[message.serializer_id]
        except KeyError:
            serializer = serializers.get_serializer_by_id(message.serializer_id)
        if serializer.name not in self._options.accepted_serializers and serializers.is_own(serializer):
            raise errors.SerializeError(
                "serializer '%s' is not accepted by this server; use one of: %s (its setting SERIALIZERS_ACCEPTED)"
                % (serializer.name, ", ".join(self._options.accepted_serializers)))
        self._serializers[message.serializer_id] = serializer
        return serializer

    # ------------------------------------------------------------ handshake

    def _answer_handshake(self, connection: Any, message: ReceivingMessage, correlation_id: bytes) -> Optional[SendingMessage]:
        serializer = None
        try:
            if message.type != protocol.MSG_CONNECT:
                raise errors.ProtocolError("invalid message type %d: a connection begins with CONNECT (%d)"
                                           % (message.type, protocol.MSG_CONNECT))
            serializer = self._serializer_for(message)
            callcontext.begin_request(connection, connection.peer_address, message.seq, message.flags,
                                      message.serializer_id, message.annotations, correlation_id)
            object_id, data = self._parse_connect_request(message, serializer)
            # Set before validateHandshake is called, which may look at it.
            connection.objectId = object_id
            response = self._daemon.validateHandshake(connection, data)
            members = self._objects.get(object_id).members
            get_metadata = self.find_custom_get_metadata()
            if get_metadata is not None:
                payload = handshake.accepted_payload(serializer, response, get_metadata(object_id))
            elif type(response) is str and len(response) <= _MAX_CACHED_TEXT:
                payload = _cached_accepted_payload(serializer, response, members)
            else:
                payload = handshake.accepted_payload(serializer, response, members.metadata())
            reply = handshake.connect_accepted(message, serializer, payload, correlation_id, self._annotations(), self._wire)
            connection.finish_handshake()
            return reply
        except errors.ConnectionClosedError as x:
            log.info("handshake with %s ended without an answer: %s", connection.peer_address, x)
            connection.closing = True
            return None
        except Exception as x:  # validateHandshake of the program, and any error that malformed data causes
            log.warning("handshake with %s refused: %s: %s", connection.peer_address, type(x).__name__,
                        errors.one_line(replies.text_of(x)))
            log.debug("the refused handshake", exc_info=True)
            connection.closing = True
            return handshake.connect_refused(message if serializer else None, serializer, replies.text_of(x), correlation_id,
                                             self._wire)

    def _parse_connect_request(self, message: ReceivingMessage, serializer: SerializerBase) -> Tuple[str, Any]:
        """Parse the data of a handshake; long ones one at a time.

        Clients that have not finished their handshake are not trusted yet. However many of them send costly data, only
        one thread at a time decodes it, so the others serve established clients. The wait is bounded, because
        converters of the program may block.
        """
        if len(message.data) <= _SHORT_HANDSHAKE_BYTES:
            return handshake.parse_connect_request(message, serializer)
        with self._long_handshakes.one():
            return handshake.parse_connect_request(message, serializer)

    def _annotations(self) -> Dict[str, Any]:
        """Return the annotations of a reply: those that the method set, updated by those of the daemon."""
        from_method, own = callcontext.response_to_send(), self._daemon.annotations()
        return {**from_method, **own} if own else from_method

    # ------------------------------------------------------------ calls

    def _invoke(self, connection: Any, message: ReceivingMessage, correlation_id: bytes) -> Optional[SendingMessage]:
        flags = message.flags
        # For the log, if decoding the request fails.
        call = None
        try:
            serializer = self._serializer_for(message)
            callcontext.begin_request(connection, connection.peer_address, message.seq, flags, message.serializer_id,
                                      message.annotations, correlation_id)
            call = requests.parse_invoke_request(message, serializer)
            published = self._objects.get(call.object_id)
            if flags & _BATCH_OR_ONEWAY:
                value = self._run_batch_or_oneway(connection, published, call, serializer, message)
                if flags & protocol.FLAGS_ONEWAY:
                    return None
            else:
                value = self._run(connection, published, call)
            to = ReplyTo(message.seq, serializer, correlation_id, self._annotations(), self._wire)
            return self._value_reply(connection, to, value, call, flags)
        except Exception as x:  # user code, and any error that malformed data causes
            self._error_log.log(connection, call, x, self._is_callback)
            if self._must_close_after(connection, message, x):
                connection.closing = not flags & protocol.FLAGS_ONEWAY
            return None if flags & protocol.FLAGS_ONEWAY else self._exception_reply(message, correlation_id, x)

    def _run(self, connection: Any, published: PublishedObject, call: Call) -> Any:
        """Run a call if it is allowed, and return its result."""
        _object_id, name, args, kwargs = call
        if name not in published.members.methods:
            return self._prepare(connection, published, call)()
        # The plain case (a method of a registered object) is inlined: _prepare and its closure cost 0.4 us more per
        # call.
        instance = published.fixed_instance
        if instance is None:
            instance = published.instance_for(connection)
        method = getattr(instance, name)
        try:
            return method(*args, **kwargs)
        except Exception as x:
            self._call_error_handler(connection, method, args, kwargs, x)
            raise

    def _run_batch_or_oneway(self, connection: Any, published: PublishedObject, call: Call, serializer: SerializerBase,
                     message: ReceivingMessage) -> Any:
        """Run a batch, or a oneway call, or both. A oneway call may still be running in another thread when this
        returns.
        """
        if message.flags & protocol.FLAGS_BATCH:
            return self._run_batch(connection, published, call, serializer, message.flags)
        run = self._prepare(connection, published, call)
        if self._run_oneway is None:
            return run()
        return self._start_oneway(connection, call, run, message.memory_bytes)

    def _must_close_after(self, connection: Any, message: ReceivingMessage, error: Exception) -> bool:
        """Return whether the connection has to be closed after this error: clients of all 5.x releases expect this
        after a SecurityError or SerializeError, and reconnect.
        """
        return (isinstance(error, (errors.SecurityError, errors.SerializeError))
                and not isinstance(error, (errors.RemoteError, unsendable.Unsendable)) and not connection.keep_open
                and message.serializer_id in self._serializers)  # else nothing of it was decoded

    def _value_reply(self, connection: Any, to: ReplyTo, value: Any, call: Call, flags: int) -> SendingMessage:
        if type(value) not in _NON_ITERATOR_TYPES and isinstance(value, Iterator):
            stream_id = self._streams.open(value, connection) if self._options.streaming else None
            return replies.stream_reply(to, stream_id)
        try:
            if flags & protocol.FLAGS_BATCH:
                return replies.batch_reply(to, value)
            return replies.value_reply(to, value)
        except Exception as x:  # raised by the serializer, or by a converter of the program
            raise replies.unsent_result(x, value, to.serializer, "%s.%s" % (call.object_id, call.method)) from x

    def _prepare(self, connection: Any, published: PublishedObject, call: Call) -> Callable[[], Any]:
        """Check that a call is allowed, and return a function that runs it."""
        instance = published.instance_for(connection)
        name, args, kwargs = call.method, call.args, call.kwargs
        if name == requests.GETATTR_METHOD:
            attribute = requests.parse_getattr(call)
            return lambda: exposure.get_exposed_attribute(instance, attribute, published.members)
        if name == requests.SETATTR_METHOD:
            attribute, value = requests.parse_setattr(call)
            return lambda: exposure.set_exposed_attribute(instance, attribute, value, published.members)
        method = exposure.exposed_method(instance, name, published.members)
        return lambda: self._run_method(connection, method, args, kwargs)

    def _run_method(self, connection: Any, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as x:
            self._call_error_handler(connection, method, args, kwargs, x)
            raise

    def _call_error_handler(self, connection: Any, method: Callable[..., Any], args: Any, kwargs: Any,
                            error: Exception) -> None:
        try:
            self._daemon.methodcall_error_handler(self._daemon, connection, method, args, kwargs, error)
        except Exception:  # the handler of the program failed: the client still gets the first error
            log.exception("methodcall_error_handler failed")

    def _run_batch(self, connection: Any, published: PublishedObject, call: Call, serializer: SerializerBase,
                   flags: int) -> BatchResults:
        """Run the calls of a batch in order, until one fails. If any of them is not allowed, none is run."""
        elements, names = requests.parse_batch(call)
        methods: Dict[Any, Callable[..., Any]] = self._methods_of(published, names)
        steps = elements
        if not methods:
            methods = dict(enumerate(self._prepare_batch(connection, published, call.object_id, elements)))
            steps = [(number, (), {}) for number in methods]
        wants_results, counting = not flags & protocol.FLAGS_ONEWAY, False
        results = BatchResults(serializer, self._wire.max_size)
        add, uncounted = results.values.append, _UNCOUNTED_TYPES
        while_connected = getattr(connection, "while_connected", None) if wants_results else None
        try:
            # This loop is half of the server's cost of a small call in a batch, so it looks up nothing that could be
            # looked up before.
            for step, args, kwargs in (while_connected(steps) if while_connected else steps):
                result = methods[step](*args, **kwargs) if kwargs else methods[step](*args)
                add(result if wants_results else None)
                kind = type(result)
                if (kind not in uncounted and (kind is not int or result.bit_length() > _MAX_UNCOUNTED_INT_BITS)
                        and wants_results):
                    counting = True  # set while count() runs, so that its errors are told from those of the method
                    results.count(result)
                    counting = False
        except Exception as x:  # user code failed: the exception takes the place of the result
            if counting:
                raise replies.unsent_result(x, result, serializer, "%s.%s" % (call.object_id, call.method)) from x
            if steps is elements:  # else _run_method has called the handler
                step, args, kwargs = elements[len(results)]
                self._call_error_handler(connection, methods[step], args, kwargs, x)
            self._error_log.log(connection, call, x, self._is_callback)
            replies.set_remote_traceback(x, self._traceback(x))
            results.values.append(replies.ExceptionWrapper(replies.sendable(x, serializer)))
            errors.drop_tracebacks(x)  # their frames refer to the results, which would be kept in memory
        return results

    def _prepare_batch(self, connection: Any, published: PublishedObject, object_id: str,
                       elements: Sequence[Any]) -> List[Callable[[], Any]]:
        """Check that all calls of a batch are allowed, and return functions that run them."""
        is_percall = published.is_class and exposure.instancing_of(published.target)[0] == "percall"
        prepared: List[Callable[[], Any]] = []
        for element in elements:
            call = Call(object_id, *element)
            if not is_percall:
                prepared.append(self._prepare(connection, published, call))
                continue
            if call.method not in published.members.methods:
                self._prepare(connection, published, call)  # raises if the call is not allowed
            # Create each instance right before its call: there are never two of them at the same time.
            prepared.append(functools.partial(self._prepare_and_run, connection, published, call))
        return prepared

    def _prepare_and_run(self, connection: Any, published: PublishedObject, call: Call) -> Any:
        return self._prepare(connection, published, call)()

    def _methods_of(self, published: PublishedObject, names: Set[str]) -> Dict[str, Callable[..., Any]]:
        """Return the methods that a batch calls, by name; empty if they are not all methods of one registered object."""
        if published.fixed_instance is None or not names <= published.members.methods:
            return {}
        return {name: getattr(published.fixed_instance, name) for name in names}

    def _start_oneway(self, connection: Any, call: Call, run: Callable[[], Any], size: int) -> None:
        # A second copy: the reply of the next request in this thread must not change what this call sees.
        context = contextvars.copy_context()

        def run_and_log() -> None:
            try:
                context.run(run)
            except Exception as x:  # there is no reply that could carry it
                self._error_log.log(connection, call, x, self._is_callback)
        if self._run_oneway is not None:
            self._run_oneway(connection, run_and_log, size)

    # ------------------------------------------------------------ when something is wrong

    def _reject_unexpected(self, connection: Any, message: ReceivingMessage, correlation_id: bytes) -> SendingMessage:
        """Answer a message of a type that is not valid here. The connection stays usable: message boundaries are still
        known.
        """
        error = errors.ProtocolError("invalid message type %d received on an open connection" % message.type)
        log.warning("from %s: %s", client_name(connection), error)
        if message.type == protocol.MSG_CONNECT:
            connection.closing = True
            return handshake.connect_refused(message, None, "this connection has had its handshake already",
                                             correlation_id, self._wire)
        return self._exception_reply(message, correlation_id, error)

    def _exception_reply(self, message: ReceivingMessage, correlation_id: bytes, error: Exception) -> SendingMessage:
        try:
            serializer = self._serializer_for(message)
        except errors.SerializeError:
            serializer = self._serializer_for_refusal(message)
        try:
            annotations = self._daemon.annotations()
        except Exception:  # annotations() of the program failed: the client still gets the first error
            log.exception("Daemon.annotations failed")
            annotations = {}
        to = ReplyTo(message.seq, serializer, correlation_id, annotations, self._wire)
        return replies.exception_reply(to, error, self._traceback(error))

    @staticmethod
    def _serializer_for_refusal(message: ReceivingMessage) -> SerializerBase:
        """Return the serializer to encode a refusal in: that of the message if it is installed, although it is not
        accepted (encoding is safe), else marshal.
        """
        try:
            return serializers.get_serializer_by_id(message.serializer_id)
        except errors.SerializeError:
            return serializers.get_serializer("marshal")

    def _traceback(self, error: BaseException) -> List[str]:
        detailed = self._options.detailed_traceback
        tb = errors.without_own_frames(error.__traceback__)
        try:
            if replies.remote_traceback(error):  # from another server: include its traceback
                return errors.get_pyro_traceback(type(error), error, tb, detailed)
            return errors.format_traceback(type(error), error, tb, detailed)
        except Exception as x:  # reading attributes and the text of an exception runs user code
            return ["%s; its traceback cannot be shown (%s)\n" % (type(error).__name__, type(x).__name__)]

    def log_repeated_errors(self, at_end: bool = False) -> None:
        """Log how often exceptions were raised again, see `ErrorLog.log_repeated`."""
        self._error_log.log_repeated(at_end)

    def _is_callback(self, call: Call) -> bool:
        try:
            return call.method in self._objects.get(call.object_id).members.callbacks
        except errors.DaemonError:
            return False


@functools.lru_cache(maxsize=128)
def _cached_accepted_payload(serializer: SerializerBase, response: str, members: exposure.Members) -> bytes:
    """Return handshake.accepted_payload(). Cached, because most clients of an object get the same payload."""
    return handshake.accepted_payload(serializer, response, members.metadata())
