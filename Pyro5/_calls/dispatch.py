"""Turn messages into replies: handshakes, calls, batches, and what is answered when a message is invalid.

No socket, thread or clock is used here, apart from what the called method does. Every exception that a method raises
becomes a reply; sending the reply, and handling network errors, is up to the caller.
"""
from __future__ import annotations

import contextvars
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from typing import Any, Callable, Dict, Optional, Union

from .. import LazyModule, callcontext, constants, errors, protocol
from .._messages import handshake, replies, requests
from .._messages.replies import ReplyTo
from .._messages.requests import Call
from .._objects import permissions
from .._objects.members import exposed_method, get_exposed_attribute, set_exposed_attribute
from .._objects.objects import ObjectTable, PublishedObject
from .._observe.statistics import BATCH
from .._values import unsendable
from ..protocol import FLAGS_BATCH, FLAGS_ONEWAY, MSG_INVOKE, Payload, ReceivingMessage, SendingMessage, result_message
from ..serializers import SerializerBase
from .async_methods import AsyncMethods
from .batches import Batch
from .call_accounts import CallAccounts
from .decoding import RequestDecoder
from .deferred import Deferred, DeferredCall, beside, runs_in_worker
from .error_log import RepeatFilter, client_name, is_end_of_stream
from .exclusive import ExclusiveUse
from .interception import intercepted, is_known
from .item_requests import item_request
from .reply_encoding import DispatchOptions, correlation_of
from .running_calls import RunningCall
from .streams import StreamTable

log = logging.getLogger("Pyro5.server.dispatch")

# A result of one of these types is certainly no iterator. This lookup saves 0.2 us per call compared with
# isinstance(..., Iterator), which asks the abstract class.
_NON_ITERATOR_TYPES = frozenset((type(None), bool, int, float, str, bytes, list, tuple, dict, set))


class Dispatcher(CallAccounts):
    """Answers the messages of all clients of a daemon. Thread-safe: several threads may call answer() at once.

    Args:
        daemon: its documented methods validateHandshake, annotations and methodcall_error_handler are called.
        run_oneway: called with a connection, a callable that runs a oneway call, and the size of the request in
            bytes, to run the call in another thread; None: oneway calls run in the caller's thread.
        repeat_filter: decides which exceptions of calls are logged.
        async_methods: runs async methods.
    """

    def __init__(self, daemon: Any, objects: ObjectTable, streams: StreamTable, options: DispatchOptions,
                 run_oneway: Optional[Callable[[Any, Callable[[], Any], int], None]],
                 repeat_filter: RepeatFilter, async_methods: AsyncMethods) -> None:
        super().__init__(daemon, options, objects, repeat_filter)
        self._streams = streams
        self._async_methods = async_methods
        self.exclusive = ExclusiveUse(self.running)
        self.decoder = RequestDecoder(objects)
        LazyModule.load_all()  # while it is possible: a server may run out of file descriptors
        self.set_options(options, run_oneway)

    def set_options(self, options: DispatchOptions,
                    run_oneway: Optional[Callable[[Any, Callable[[], Any], int], None]]) -> None:
        """Use these options from the next message on. Requests that are running may see some of them."""
        self._use_options(options)
        self._use_account_options(options)
        self._run_oneway = run_oneway

    # ------------------------------------------------------------ any message

    def answer(self, connection: Any, message: ReceivingMessage) -> Optional[SendingMessage]:
        """Process a message and return the reply, None if none is to be sent.

        Calls ``connection.finish_handshake()`` when the handshake succeeds, and sets ``connection.closing`` when the
        connection must be closed.

        Raises:
            BaseException: a method raised SystemExit, KeyboardInterrupt or GeneratorExit.
        """
        step = self._invoke if message.type == MSG_INVOKE and connection.handshake_done else self._answer_other
        # Each request runs in a copy of the context: variables that it sets do not reach the next request of this thread.
        if not self.options.log_wire:
            return copy_context().run(step, connection, message)
        protocol.log_wiredata(log, "received from %s" % (connection.peer_address,), message)
        return self._logged(connection, copy_context().run(step, connection, message))

    def _answer_other(self, connection: Any, message: ReceivingMessage) -> Optional[SendingMessage]:
        """Answer a message that is no call."""
        correlation_id = correlation_of(message)
        if not connection.handshake_done:
            return self._answer_handshake(connection, message, correlation_id)
        if message.type == protocol.MSG_PING:
            return replies.pong(message, correlation_id)
        return self._reject_unexpected(connection, message, correlation_id)

    def _logged(self, connection: Any, reply: Optional[SendingMessage]) -> Optional[SendingMessage]:
        if self.options.log_wire and reply is not None:
            protocol.log_wiredata(log, "sending to %s" % (connection.peer_address,), reply)
        return reply

    # ------------------------------------------------------------ calls

    def _invoke(self, connection: Any, message: ReceivingMessage) -> Optional[SendingMessage]:
        if message.flags & FLAGS_BATCH:
            return self._answer_batch(connection, message)
        call = None  # for the log, if decoding the request fails
        running = self.running.begin(connection, message)
        try:
            serializer = self.serializers[message.serializer_id, connection.features]
            call = self.decoder.parse(message, serializer)
            return self.answer_call(connection, message, call, serializer, running)
        except Exception as x:  # user code, and any error that malformed data causes
            return self.error_reply(connection, message, running.correlation_id, call, x)
        finally:
            if not running.runs_elsewhere:
                self.running.end(running)

    def answer_call(self, connection: Any, message: ReceivingMessage, call: Call, serializer: SerializerBase,
                    running: RunningCall) -> Optional[SendingMessage]:
        """Return the reply to a decoded call; None if it is sent later, or not at all.

        Raises:
            Exception: the error to send.
        """
        object_id, method, args, kwargs = call
        running.method = method
        running.object_id = object_id  # before the look at `holders`, see ExclusiveUse.acquire
        if running.reason:
            running.check()  # it is late, or was cancelled on its way: it is not started
        if self.exclusive.holders:
            self.exclusive.check(object_id, connection, running.correlation_id)
        published = self.objects.by_id[object_id]
        if self.gate is not None or published.members.roles:
            permissions.check_call(self.gate, connection, published, call)
        if message.flags & FLAGS_ONEWAY:
            prepare = self._intercepted if self.interceptors else self._prepare
            self._run_prepared_oneway(connection, call, message, prepare(connection, published, call))
            return None
        if self.runs_at_once and method in published.direct:
            function = getattr(published.instance_for(connection), method)  # an ordinary method
            value = self._run_method(connection, function, args, kwargs)
        else:
            value = self._start(connection, published, call)
            if type(value) is Deferred:
                self._defer(connection, message, call, value, running, self._finish_call)
                return None
        return self._reply(running, serializer, value)

    def error_reply(self, connection: Any, message: ReceivingMessage, correlation_id: bytes, call: Optional[Call],
                    error: Exception) -> Optional[SendingMessage]:
        """Return the reply to a request that failed, None if it was oneway. Without a call, decoding it has failed."""
        is_oneway = message.flags & protocol.FLAGS_ONEWAY
        self._note_error(callcontext.running_call(), connection, call, error)
        if self._must_close_after(connection, message, error):
            connection.closing = not is_oneway
        # The end of a stream is no error: nothing shows its traceback, whose text would take 40 % of a stream of three items.
        is_end = call is not None and is_end_of_stream(call, error)
        return None if is_oneway else self._exception_reply(connection, message, correlation_id, error,
                                                            ["StopIteration\n"] if is_end else None)

    def _reply(self, call: RunningCall, serializer: SerializerBase, value: Any) -> SendingMessage:
        """Return the reply with a result. Raises the error to send if that fails, see `replies.unsent_result`."""
        annotations = self._annotations()
        payload = None if annotations else self.plain_payload(call, serializer, value)
        return self.any_reply(call, serializer, value, payload, annotations)

    def any_reply(self, call: RunningCall, serializer: SerializerBase, value: Any, payload: Optional[Payload],
                  annotations: Dict[str, Any]) -> SendingMessage:
        """Return the reply with a result of any kind.

        Args:
            payload: what plain_payload() has returned for it.
        """
        if payload is not None:
            unsendable.check_payload(payload, serializer, "dumps")
            size = sum(map(len, payload)) if isinstance(payload, list) else len(payload)  # a program may return a bytearray
            if size <= self.plain_size:
                return result_message(call.seq, serializer.serializer_id, payload, size, call.correlation_id)
        to = ReplyTo(call.seq, serializer, call.correlation_id, annotations, self._wire)
        if payload is None:
            return self._value_reply(call.connection, to, value, call, call.flags)
        try:
            return replies.payload_reply(to, 0, payload, {})
        except Exception as x:  # it is too large
            raise replies.unsent_result(x, value, serializer, "%s.%s" % (call.object_id, call.method)) from x

    def _start(self, connection: Any, published: PublishedObject, call: Call) -> Any:
        """Call any method, and return its result, or the `Deferred` of one that runs elsewhere."""
        run = (self._intercepted if self.interceptors else self._prepare)(connection, published, call)
        name, members = call.method, published.members
        if name in members.concurrent and name not in members.nonblocking and call.object_id != constants.DAEMON_NAME:
            run = beside(connection, "%s.%s" % (call.object_id, call.method), run)
        return run()

    def _run_prepared_oneway(self, connection: Any, call: Call, message: ReceivingMessage, run: Callable[[], Any]) -> None:
        if type(run) is Deferred:
            self._defer(connection, message, call, run, callcontext.running_call(), self._finish_call)
        elif self._run_oneway is None or call.object_id == constants.DAEMON_NAME and call.method == constants.CANCEL_METHOD:
            run()  # a cancellation does not wait for other oneway calls
        else:
            self._start_oneway(connection, call, run, message.memory_bytes)

    def _defer(self, connection: Any, message: ReceivingMessage, call: Call, deferred: Deferred, running: RunningCall,
               finish: Callable[..., Optional[SendingMessage]]) -> None:
        """Make an event loop or a thread run a method, as soon as the server does not use the connection any more. A oneway
        call is started at once, unless they run one after the other, and so is one beside which others may run.
        """
        is_single = not message.flags & protocol.FLAGS_BATCH
        is_parallel = is_single and running.is_oneway and self._run_oneway is not None
        if runs_in_worker(deferred) and call.object_id != constants.DAEMON_NAME:
            is_detached = deferred.method.is_detached  # type: ignore[attr-defined]
        else:
            is_detached = (is_single and not running.is_oneway and getattr(connection, "may_detach", False)
                           and call.method in self.objects.get(call.object_id).members.concurrent)
        if call.object_id == constants.DAEMON_NAME:
            connection.item_request = item_request(message)
        keeps_connection = not (is_parallel or is_detached)
        deferred_call = DeferredCall(deferred, connection, running, keeps_connection, self._async_methods.start,
                                     functools.partial(finish, message, call), is_detached)
        if is_parallel:
            self._async_methods.start_oneway(deferred_call, message.memory_bytes)
        elif is_detached:
            connection.detach(deferred_call)
        else:
            connection.deferred = deferred_call

    def _finish_call(self, message: ReceivingMessage, call: Call, done: DeferredCall, value: Any,
                     error: Optional[BaseException]) -> Optional[SendingMessage]:
        """Return the reply to a call whose async method has ended. Runs in its task."""
        connection = done.connection
        reply = None
        try:
            value = self._result_of(done, value, error)
            if not done.running.is_oneway:
                serializer = self._serializer_for(message, connection.features)
                reply = self._reply(done.running, serializer, value)
        except Exception as x:
            reply = self.error_reply(connection, message, done.running.correlation_id, call, x)
        finally:
            error = None  # its traceback refers to this frame
            self.running.end(done.running)
        return self._logged(connection, reply)

    def _result_of(self, done: DeferredCall, value: Any, error: Optional[BaseException]) -> Any:
        deferred = done.deferred
        try:
            return deferred.result(value, error)
        except Exception as x:
            if not runs_in_worker(deferred):  # else it was called in the thread of the method
                self.call_error_handler(done.connection, deferred.method, deferred.args, deferred.kwargs, x)
            raise
        finally:
            error = None

    def _finish_step(self, batch: Batch, message: ReceivingMessage, call: Call, done: DeferredCall, value: Any,
                     error: Optional[BaseException]) -> None:
        """Store the outcome of an async method in a batch. Runs in its task."""
        try:
            batch.set_outcome(self._result_of(done, value, error), None)
        except Exception as x:
            batch.set_outcome(None, x)
        finally:
            error = None
            batch.context = contextvars.copy_context()
            self.running.end(done.running)  # until the batch continues, which it does not if its connection has ended

    def _must_close_after(self, connection: Any, message: ReceivingMessage, error: Exception) -> bool:
        """Return whether the connection has to be closed after this error: clients of all 5.x releases expect this
        after a SecurityError or SerializeError, and reconnect.
        """
        return (isinstance(error, (errors.SecurityError, errors.SerializeError))
                and not isinstance(error, (errors.RemoteError, unsendable.Unsendable, permissions.Refused))
                and not connection.keep_open
                and (message.serializer_id, connection.features) in self.serializers)  # else nothing of it was decoded

    def _value_reply(self, connection: Any, to: ReplyTo, value: Any, call: Union[Call, RunningCall],
                     flags: int) -> SendingMessage:
        if type(value) not in _NON_ITERATOR_TYPES and isinstance(value, (Iterator, AsyncIterator)):
            stream_id = None
            if self.options.streaming:
                items = value if isinstance(value, Iterator) else self._async_methods.items(value)
                stream_id = self._streams.open(items, connection, (to.correlation_id, to.seq))
            return replies.stream_reply(to, stream_id)
        try:
            if flags & protocol.FLAGS_BATCH:
                return replies.batch_reply(to, value)
            return replies.value_reply(to, value, 0, connection.buffers)
        except Exception as x:  # raised by the serializer, or by a converter of the program
            raise replies.unsent_result(x, value, to.serializer, "%s.%s" % (call.object_id, call.method)) from x

    def _prepare(self, connection: Any, published: PublishedObject, call: Call) -> Callable[[], Any]:
        """Check that a call is allowed, and return a function that runs it."""
        instance = published.instance_for(connection)
        name, args, kwargs = call.method, call.args, call.kwargs
        if name == requests.GETATTR_METHOD:
            attribute = requests.parse_getattr(call)
            return lambda: get_exposed_attribute(instance, attribute, published.members)
        if name == requests.SETATTR_METHOD:
            attribute, value = requests.parse_setattr(call)
            return lambda: set_exposed_attribute(instance, attribute, published.rebuilt_value(attribute, value),
                                                 published.members)
        method = exposed_method(instance, name, published.members)
        rebuild = published.rebuilders.get(name)
        if name not in published.members.direct and inspect.iscoroutinefunction(method):
            return Deferred(method, *((args, kwargs) if rebuild is None else rebuild(args, kwargs)))
        if rebuild is not None:
            return lambda: self._run_method(connection, method, *rebuild(args, kwargs))
        return lambda: self._run_method(connection, method, args, kwargs)

    def _intercepted(self, connection: Any, published: PublishedObject, call: Call) -> Callable[[], Any]:
        """Do what `_prepare` does, with a function that runs the call through the interceptors."""
        # What proxies need internally, such as the items of streams, is not a call of the program.
        if call.object_id == constants.DAEMON_NAME or not is_known(published, call):
            return self._prepare(connection, published, call)
        return intercepted(self.interceptors, connection, call, functools.partial(self._prepare, connection, published),
                           self._async_methods.start, functools.partial(self.call_error_handler, connection))

    def _run_method(self, connection: Any, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as x:
            self.call_error_handler(connection, method, args, kwargs, x)
            raise

    def call_error_handler(self, connection: Any, method: Callable[..., Any], args: Any, kwargs: Any,
                           error: Exception) -> None:
        try:
            self._daemon.methodcall_error_handler(self._daemon, connection, method, args, kwargs, error)
        except Exception:  # the handler of the program failed: the client still gets the first error
            log.exception("methodcall_error_handler failed")

    def _answer_batch(self, connection: Any, message: ReceivingMessage) -> Optional[SendingMessage]:
        """Execute a batch, or go on with one that was suspended. None is returned if it is suspended, too."""
        batch = getattr(connection, "suspended_batch", None)
        if batch is not None:
            connection.suspended_batch = None
            return batch.context.run(self._continue_batch, connection, message, batch)  # type: ignore[no-any-return]
        call, wants_results = None, not message.flags & protocol.FLAGS_ONEWAY
        running = self.running.begin(connection, message)
        correlation_id = running.correlation_id
        try:
            serializer = self._serializer_for(message, connection.features)
            call = self.decoder.parse(message, serializer)
            running.stop_if_cancelled()
            running.object_id = call.object_id
            self.exclusive.check(call.object_id, connection, correlation_id)
            published = self.objects.get(call.object_id)
            permissions.check_call(self.gate, connection, published, call, is_batch=True)
            batch = Batch(call, serializer, correlation_id, wants_results, self._wire.max_size, connection.buffers)
            batch.running = running
            prepare = self._intercepted if self.interceptors else self._prepare
            steps = batch.prepare(published, functools.partial(prepare, connection, published), bool(self.interceptors))
            pieces_of = getattr(connection, "pieces_of", None)
            batch.steps = batch.execute(pieces_of(steps, wants_results) if pieces_of else iter((steps,)),
                                        functools.partial(self._add_batch_error, connection, batch))
        except Exception as x:  # any error that malformed data causes
            self.running.end(running)
            return self.error_reply(connection, message, correlation_id, call, x)
        return self._continue_batch(connection, message, batch)

    def _continue_batch(self, connection: Any, message: ReceivingMessage, batch: Batch) -> Optional[SendingMessage]:
        running = batch.running
        running.runs_elsewhere = False
        self.running.resume(running)
        try:
            for deferred in batch.steps:
                batch.context = contextvars.copy_context()
                connection.suspend(message, batch)
                if deferred is not None:
                    finish = functools.partial(self._finish_step, batch)
                    self._defer(connection, message, batch.call, deferred, running, finish)
                return None
            running.method, running.inner_calls, running.is_special = BATCH, len(batch.results), True
            if message.flags & protocol.FLAGS_ONEWAY:
                return None
            to = ReplyTo(message.seq, batch.serializer, batch.correlation_id, self._annotations(), self._wire)
            return self._value_reply(connection, to, batch.results, batch.call, message.flags)
        except Exception as x:
            return self.error_reply(connection, message, batch.correlation_id, batch.call, x)
        finally:
            if not running.runs_elsewhere:
                self.running.end(running)  # also one that is suspended: its connection may end before it goes on

    def _add_batch_error(self, connection: Any, batch: Batch, error: Exception, failed: Any) -> None:
        """Handle the exception that ended a batch, and add it to the results."""
        if failed is not None:  # else _run_method has called the handler
            method, args, kwargs = failed
            self.call_error_handler(connection, method, args, kwargs, error)
        self._note_error(batch.running, connection, batch.call, error)
        replies.set_remote_traceback(error, self._traceback(error))
        batch.results.values.append(replies.ExceptionWrapper(replies.sendable(error, batch.serializer)))
        errors.drop_tracebacks(error)  # their frames refer to the results, which would be kept in memory

    def _start_oneway(self, connection: Any, call: Call, run: Callable[[], Any], size: int) -> None:
        # A second copy: the reply of the next request in this thread must not change what this call sees.
        context = contextvars.copy_context()
        running = callcontext.running_call()

        def run_and_log() -> None:
            running.note_thread()
            try:
                context.run(run)
            except Exception as x:  # there is no reply that could carry it
                self._note_error(running, connection, call, x)
            finally:
                self.running.end(running)
        if self._run_oneway is not None:
            running.runs_elsewhere = True
            self._run_oneway(connection, run_and_log, size)

    # ------------------------------------------------------------ when something is wrong

    def _reject_unexpected(self, connection: Any, message: ReceivingMessage, correlation_id: bytes) -> SendingMessage:
        """Answer a message of a type that is not valid here. The connection stays usable: message boundaries are still known.
        """
        error = errors.ProtocolError("invalid message type %d received on an open connection" % message.type)
        log.warning("from %s: %s", client_name(connection), error)
        if message.type == protocol.MSG_CONNECT:
            connection.closing = True
            return handshake.connect_refused(message, None, "this connection has had its handshake already",
                                             correlation_id, self._wire)
        return self._exception_reply(connection, message, correlation_id, error)
