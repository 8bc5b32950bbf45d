"""Message in, reply message out: the handshake, the calls, and what is answered when something is wrong.

Pure but for the user's method: no socket, no thread, no clock.  Whatever an object raises becomes a reply; what the
network does is the caller's business.
"""
from __future__ import annotations

import contextvars
import functools
import logging
from collections.abc import Iterator
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from .. import callcontext, constants, errors, protocol, serializers
from .._messages import handshake, replies, requests
from .._messages.batch_results import BatchResults
from .._messages.replies import ReplyTo
from .._messages.requests import Call, WireOptions
from .._values import unsendable
from ..protocol import ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from . import error_log, exposure
from .objects import ObjectTable, Published
from .streams import StreamTable
from .turns import Turns

log = logging.getLogger("Pyro5.serving.dispatch")

_OBJECTS_THAT_ARE_ASKED = frozenset((constants.DAEMON_NAME, constants.NAMESERVER_NAME))
_SHORT_TEXT = 200  # characters of a handshake value that many clients may be given: longer ones take much memory to keep
_SMALL = frozenset((type(None), bool, float))  # results in a batch that are not counted; so are ints of up to so many bits
_SMALL_INT_BITS = 256
_SHORT_HANDSHAKE = 4096  # bytes
_MOST_WAITING_SECONDS = 1.0
_BATCH_OR_ONEWAY = protocol.FLAGS_BATCH | protocol.FLAGS_ONEWAY
# a result of one of these types is certainly no iterator; asking the abstract class costs more
_NO_ITERATORS = frozenset((type(None), bool, int, float, str, bytes, list, tuple, dict, set))


class DispatchOptions(NamedTuple):
    """Settings, see `Dispatcher.set_options`."""

    wire: WireOptions
    accepted_serializers: List[str]
    streaming: bool
    detailed_traceback: bool
    log_wire: bool


class Dispatcher:
    """Answers the messages of all clients of a daemon.  Thread-safe: several threads may answer at once.

    Args:
        daemon: its documented hooks are called (validateHandshake, annotations, methodcall_error_handler).
        run_aside: takes a connection, a callable (a oneway call, to run it in another thread) and the size of its request;
            None: it runs in the caller's thread.
        raised: decides which exceptions of calls are logged.

    Attributes:
        find_get_metadata: returns what is called with the id of the object that a client connects to, for what the client is
            told of it; None: the client is told what is exposed.
    """

    def __init__(self, daemon: Any, objects: ObjectTable, streams: StreamTable, options: DispatchOptions,
                 run_aside: Optional[Callable[[Any, Callable[[], Any], int], None]],
                 raised: error_log.RepeatFilter) -> None:
        self._daemon = daemon
        self._objects = objects
        self._streams = streams
        self._raised = raised
        self.set_options(options, run_aside)
        self.find_get_metadata: Callable[[], Optional[Callable[[str], Any]]] = lambda: None

    def set_options(self, options: DispatchOptions,
                    run_aside: Optional[Callable[[Any, Callable[[], Any], int], None]]) -> None:
        """Use other options from the next message on.  Requests that are running may see some of them."""
        self._options = options
        self._wire = options.wire
        self._run_aside = run_aside
        self._long_handshakes = Turns(_MOST_WAITING_SECONDS)
        self._serializers: Dict[int, SerializerBase] = {}  # accepted ones, filled as they are asked for

    # ------------------------------------------------------------ entrance

    def answer(self, connection: Any, message: ReceivingMessage) -> Optional[SendingMessage]:
        """Do what a message asks for, and give the reply, None if there is none to send.

        Calls ``connection.welcome()`` when the handshake succeeds, sets ``connection.closing`` when the connection must end.

        Raises:
            BaseException: a method raised SystemExit, KeyboardInterrupt or GeneratorExit.
        """
        if self._options.log_wire:
            protocol.log_wiredata(log, "received from %s" % (connection.peer_address,), message)
        # in a context of its own: nothing of this request is left behind, nothing of the surroundings is lost
        return contextvars.copy_context().run(self._answer, connection, message)

    def _answer(self, connection: Any, message: ReceivingMessage) -> Optional[SendingMessage]:
        # not corr_bytes: a property costs as much as all the rest of this line
        has_id = message.flags & protocol.FLAGS_CORR_ID
        correlation_id = message.corr_id if has_id else callcontext.new_correlation_bytes()
        reply: Optional[SendingMessage]
        if not connection.greeted:
            reply = self._greet(connection, message, correlation_id)
        elif message.type == protocol.MSG_INVOKE:
            reply = self._invoke(connection, message, correlation_id)
        elif message.type == protocol.MSG_PING:
            reply = replies.pong(message, correlation_id)
        else:
            reply = self._unexpected(connection, message, correlation_id)
        if self._options.log_wire and reply is not None:
            protocol.log_wiredata(log, "sending to %s" % (connection.peer_address,), reply)
        return reply

    def refusal(self, connection: Any, error: errors.ProtocolError) -> Optional[SendingMessage]:
        """Give what a client is told whose bytes cannot be read any further, None if it cannot be told."""
        correlation_id = callcontext.new_correlation_bytes()
        if not connection.greeted:
            return handshake.connect_refused(None, None, str(error), correlation_id, self._wire)
        refused = connection.refused_message
        if refused is None:
            return None
        return self._exception_reply(refused, correlation_id, error)

    def _serializer_for(self, message: ReceivingMessage) -> SerializerBase:
        """Give the serializer of a message, before a byte of it is decoded.

        Raises:
            SerializeError: it is unknown, not installed, or not accepted here.
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

    def _greet(self, connection: Any, message: ReceivingMessage, correlation_id: bytes) -> Optional[SendingMessage]:
        serializer = None
        try:
            if message.type != protocol.MSG_CONNECT:
                raise errors.ProtocolError("invalid message type %d: a connection begins with CONNECT (%d)"
                                           % (message.type, protocol.MSG_CONNECT))
            serializer = self._serializer_for(message)
            callcontext.begin_request(connection, connection.peer_address, message.seq, message.flags,
                                      message.serializer_id, message.annotations, correlation_id)
            object_id, data = self._parse_connect_request(message, serializer)
            connection.objectId = object_id
            response = self._daemon.validateHandshake(connection, data)
            members = self._objects.get(object_id).members
            get_metadata = self.find_get_metadata()
            if get_metadata is not None:
                payload = handshake.accepted_payload(serializer, response, get_metadata(object_id))
            elif type(response) is str and len(response) <= _SHORT_TEXT:
                payload = _welcome(serializer, response, members)
            else:
                payload = handshake.accepted_payload(serializer, response, members.metadata())
            reply = handshake.connect_accepted(message, serializer, payload, correlation_id, self._annotations(), self._wire)
            connection.welcome()
            return reply
        except errors.ConnectionClosedError as x:
            log.info("handshake with %s ended without an answer: %s", connection.peer_address, x)
            connection.closing = True
            return None
        except Exception as x:  # border of a request: the user's validator, and whatever malformed data makes it raise
            log.warning("handshake with %s refused: %s: %s", connection.peer_address, type(x).__name__,
                        errors.one_line(replies.text_of(x)))
            log.debug("the refused handshake", exc_info=True)
            connection.closing = True
            return handshake.connect_refused(message if serializer else None, serializer, replies.text_of(x), correlation_id,
                                             self._wire)

    def _parse_connect_request(self, message: ReceivingMessage, serializer: SerializerBase) -> Tuple[str, Any]:
        """Decode long handshakes one at a time: of many clients that are not let in yet, one competes with the others.

        (Not for ever: converters of the program may be at work.)
        """
        if len(message.data) <= _SHORT_HANDSHAKE:
            return handshake.parse_connect_request(message, serializer)
        with self._long_handshakes.one():
            return handshake.parse_connect_request(message, serializer)

    def _annotations(self) -> Dict[str, Any]:
        """What goes out with a reply: what the method set, then what the daemon adds."""
        from_method, own = callcontext.response_to_send(), self._daemon.annotations()
        return {**from_method, **own} if own else from_method

    # ------------------------------------------------------------ calls

    def _invoke(self, connection: Any, message: ReceivingMessage, correlation_id: bytes) -> Optional[SendingMessage]:
        flags = message.flags
        call = None
        try:
            serializer = self._serializer_for(message)
            callcontext.begin_request(connection, connection.peer_address, message.seq, flags, message.serializer_id,
                                      message.annotations, correlation_id)
            call = requests.parse_invoke_request(message, serializer)
            published = self._objects.get(call.object_id)
            if flags & _BATCH_OR_ONEWAY:
                value = self._run_special(connection, published, call, serializer, message)
                if flags & protocol.FLAGS_ONEWAY:
                    return None
            else:
                value = self._run(connection, published, call)
            to = ReplyTo(message.seq, serializer, correlation_id, self._annotations(), self._wire)
            return self._value_reply(connection, to, value, call, flags)
        except Exception as x:  # border of a request: user code, and whatever malformed data makes a serializer raise
            self._log_exception(connection, call, x)
            if self._ends_connection(connection, message, x):
                connection.closing = not flags & protocol.FLAGS_ONEWAY
            return None if flags & protocol.FLAGS_ONEWAY else self._exception_reply(message, correlation_id, x)

    def _run(self, connection: Any, published: Published, call: Call) -> Any:
        """Run a call if it is allowed, and give its result."""
        _object_id, name, args, kwargs = call
        if name not in published.members.methods:
            return self._prepare(connection, published, call)()
        instance = published.fixed_instance
        if instance is None:
            instance = published.instance_for(connection)
        method = getattr(instance, name)
        try:
            return method(*args, **kwargs)
        except Exception as x:
            self._tell_error_handler(connection, method, args, kwargs, x)
            raise

    def _run_special(self, connection: Any, published: Published, call: Call, serializer: SerializerBase,
                     message: ReceivingMessage) -> Any:
        """Run a batch, a oneway call (which may still run, elsewhere, when this returns), or both."""
        if message.flags & protocol.FLAGS_BATCH:
            return self._run_batch(connection, published, call, serializer, message.flags)
        run = self._prepare(connection, published, call)
        if self._run_aside is None:
            return run()
        return self._start_oneway(connection, call, run, message.memory_bytes)

    def _ends_connection(self, connection: Any, message: ReceivingMessage, error: Exception) -> bool:
        """Clients of every release expect the connection to end after these two errors, and connect anew."""
        return (isinstance(error, (errors.SecurityError, errors.SerializeError))
                and not isinstance(error, (errors.RemoteError, unsendable.Unsendable)) and not connection.keep_open
                and message.serializer_id in self._serializers)  # else it was only refused, before it was decoded

    def _value_reply(self, connection: Any, to: ReplyTo, value: Any, call: Call, flags: int) -> SendingMessage:
        if type(value) not in _NO_ITERATORS and isinstance(value, Iterator):
            stream_id = self._streams.open(value, connection) if self._options.streaming else None
            return replies.stream_reply(to, stream_id)
        try:
            if flags & protocol.FLAGS_BATCH:
                return replies.batch_reply(to, value)
            return replies.value_reply(to, value)
        except Exception as x:  # whatever a serializer, or the user's part in it, says of the result
            raise replies.unsent_result(x, value, to.serializer, "%s.%s" % (call.object_id, call.method)) from x

    def _prepare(self, connection: Any, published: Published, call: Call) -> Callable[[], Any]:
        """Find what a call means and check that it is allowed; the result runs it."""
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
            self._tell_error_handler(connection, method, args, kwargs, x)
            raise

    def _tell_error_handler(self, connection: Any, method: Callable[..., Any], args: Any, kwargs: Any,
                            error: Exception) -> None:
        try:
            self._daemon.methodcall_error_handler(self._daemon, connection, method, args, kwargs, error)
        except Exception:  # the user's handler failed: the client still gets the first error
            log.exception("methodcall_error_handler failed")

    def _run_batch(self, connection: Any, published: Published, call: Call, serializer: SerializerBase,
                   flags: int) -> BatchResults:
        """Run the calls of a batch; nothing runs if one of them is not allowed, and nothing after the first that fails."""
        elements, names = requests.parse_batch(call)
        methods: Dict[Any, Callable[..., Any]] = self._methods_of(published, names)
        steps = elements
        if not methods:
            methods = dict(enumerate(self._prepare_batch(connection, published, call.object_id, elements)))
            steps = [(number, (), {}) for number in methods]
        wanted, counting = not flags & protocol.FLAGS_ONEWAY, False
        results = BatchResults(serializer, self._wire.max_size)
        add, unsized = results.values.append, _SMALL
        while_connected = getattr(connection, "while_connected", None) if wanted else None
        try:
            # this loop is half of what a small method costs here
            for step, args, kwargs in (while_connected(steps) if while_connected else steps):
                result = methods[step](*args, **kwargs) if kwargs else methods[step](*args)
                add(result if wanted else None)
                kind = type(result)
                if kind not in unsized and (kind is not int or result.bit_length() > _SMALL_INT_BITS) and wanted:
                    counting = True  # one request may make many large results
                    results.count(result)
                    counting = False
        except Exception as x:  # user code: the client gets it in place of the result
            if counting:
                raise replies.unsent_result(x, result, serializer, "%s.%s" % (call.object_id, call.method)) from x
            if steps is elements:  # the others have seen to it themselves
                step, args, kwargs = elements[len(results)]
                self._tell_error_handler(connection, methods[step], args, kwargs, x)
            self._log_exception(connection, call, x)
            replies.set_remote_traceback(x, self._traceback(x))
            results.values.append(replies.ExceptionWrapper(replies.sendable(x, serializer)))
            errors.drop_tracebacks(x)  # they lead back to the results
        return results

    def _prepare_batch(self, connection: Any, published: Published, object_id: str,
                       elements: Sequence[Any]) -> List[Callable[[], Any]]:
        """Check that all calls of a batch are allowed; the results run them."""
        is_percall = published.is_class and exposure.instancing_of(published.target)[0] == "percall"
        prepared: List[Callable[[], Any]] = []
        for element in elements:
            call = Call(object_id, *element)
            if not is_percall:
                prepared.append(self._prepare(connection, published, call))
                continue
            if call.method not in published.members.methods:
                self._prepare(connection, published, call)  # only to find out whether it is allowed
            # each of the instances is made when its call is due: there are never two of them
            prepared.append(functools.partial(self._prepare_and_run, connection, published, call))
        return prepared

    def _prepare_and_run(self, connection: Any, published: Published, call: Call) -> Any:
        return self._prepare(connection, published, call)()

    def _methods_of(self, published: Published, names: Set[str]) -> Dict[str, Callable[..., Any]]:
        """Give all methods that a batch calls, looked up once each; none if they are not all those of one object."""
        if published.fixed_instance is None or not names <= published.members.methods:
            return {}
        return {name: getattr(published.fixed_instance, name) for name in names}

    def _start_oneway(self, connection: Any, call: Call, run: Callable[[], Any], size: int) -> None:
        context = contextvars.copy_context()

        def run_quietly() -> None:
            try:
                context.run(run)
            except Exception as x:  # border of a task: nobody waits for this call
                self._log_exception(connection, call, x)
        if self._run_aside is not None:
            self._run_aside(connection, run_quietly, size)

    # ------------------------------------------------------------ when something is wrong

    def _unexpected(self, connection: Any, message: ReceivingMessage, correlation_id: bytes) -> SendingMessage:
        """Answer a message of a type that has no place here; the stream is still in step."""
        error = errors.ProtocolError("invalid message type %d received on an open connection" % message.type)
        log.warning("from %s: %s", error_log.client_name(connection), error)
        if message.type == protocol.MSG_CONNECT:
            connection.closing = True
            return handshake.connect_refused(message, None, "this connection has had its handshake already",
                                             correlation_id, self._wire)
        return self._exception_reply(message, correlation_id, error)

    def _exception_reply(self, message: ReceivingMessage, correlation_id: bytes, error: Exception) -> SendingMessage:
        try:
            serializer = self._serializer_for(message)
        except errors.SerializeError:
            serializer = self._serializer_to_refuse_in(message)
        try:
            annotations = self._daemon.annotations()
        except Exception:  # the user's hook: the client is to hear of the first error all the same
            log.exception("Daemon.annotations failed")
            annotations = {}
        to = ReplyTo(message.seq, serializer, correlation_id, annotations, self._wire)
        return replies.exception_reply(to, error, self._traceback(error))

    @staticmethod
    def _serializer_to_refuse_in(message: ReceivingMessage) -> SerializerBase:
        """Encoding is safe in a serializer that is not accepted; marshal serves where even that is not at hand."""
        try:
            return serializers.get_serializer_by_id(message.serializer_id)
        except errors.SerializeError:
            return serializers.get_serializer("marshal")

    def _traceback(self, error: BaseException) -> List[str]:
        detailed = self._options.detailed_traceback
        tb = errors.without_own_frames(error.__traceback__)
        try:
            if replies.remote_traceback(error):  # it came from yet another server: keep what happened there
                return errors.get_pyro_traceback(type(error), error, tb, detailed)
            return errors.format_traceback(type(error), error, tb, detailed)
        except Exception as x:  # the attributes and texts of exceptions are user code
            return ["%s; its traceback cannot be shown (%s)\n" % (type(error).__name__, type(x).__name__)]

    def _log_exception(self, connection: Any, call: Optional[Call], error: Exception) -> None:
        if isinstance(error, StopIteration) and call is not None and call.method == constants.NEXT_ITEM_METHOD:
            return  # the ordinary end of an item stream
        what = "a request" if call is None else errors.one_line("%s.%s" % (call.object_id, _name_called(call)))
        is_answer = _is_answer(call, error)
        kind = (what, type(error))
        if not is_answer and not self._raised.admit(kind, "%s raised %s" % (what, type(error).__name__)):
            return
        with_traceback = log.isEnabledFor(logging.DEBUG) or call is not None and self._is_callback(call)
        place = error_log.place_of(error)
        write = log.info if is_answer else log.warning
        write(
            "%s from %s raised %s: %s%s", what, error_log.client_name(connection), type(error).__name__,
            errors.one_line(replies.text_of(error)), " (%s)" % errors.one_line(place) if place else "",
            exc_info=(type(error), error, errors.without_own_frames(error.__traceback__)) if with_traceback else None)

    def log_repetitions(self, at_end: bool = False) -> None:
        """Log how often exceptions were raised again that were not logged themselves; to be called every few seconds.

        Args:
            at_end: no further calls are made: log all of them, not just those of the last minute.
        """
        for description, number in self._raised.summaries(at_end):
            log.warning("%s, and %d more", description, number)

    def _is_callback(self, call: Call) -> bool:
        try:
            return call.method in self._objects.get(call.object_id).members.callbacks
        except errors.DaemonError:
            return False


def _name_called(call: Call) -> str:
    """Return what a call is about in the user's names: the attribute, not the method that reads or sets it."""
    is_attribute = call.method in (requests.GETATTR_METHOD, requests.SETATTR_METHOD)
    return str(call.args[0]) if is_attribute and call.args and type(call.args[0]) is str else call.method


def _is_answer(call: Optional[Call], error: Exception) -> bool:
    """Tell whether an error is only an answer: a name server that knows no such name, a daemon that knows no such object."""
    return call is not None and call.object_id in _OBJECTS_THAT_ARE_ASKED and isinstance(error, errors.PyroError)


@functools.lru_cache(maxsize=128)
def _welcome(serializer: SerializerBase, response: str, members: exposure.Members) -> bytes:
    """As handshake.accepted_payload(); most clients of an object are told the same."""
    return handshake.accepted_payload(serializer, response, members.metadata())
