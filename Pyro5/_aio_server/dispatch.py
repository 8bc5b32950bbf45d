"""Turn messages into replies for a daemon in an event loop: decide which code runs in the loop, and which in a thread."""
from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from typing import Any, Callable, Dict, Mapping, Optional

from .. import protocol
from .._calls.deferred import Deferred, InWorker, runs_in_worker
from .._calls.dispatch import Dispatcher
from .._calls.interception import call_of, is_known, with_arguments
from .._calls.reply_encoding import correlation_of
from .._messages import requests
from .._messages.requests import Call
from .._objects.objects import PublishedObject
from .._observe.interceptors import of_asyncio_daemons, run_async
from ..constants import DAEMON_NAME, NEXT_ITEM_METHOD
from ..protocol import ReceivingMessage, SendingMessage

log = logging.getLogger("Pyro5.server.dispatch")

# What the coroutine annotations() of the daemon has returned for the request at hand; None: it is an ordinary method.
own_annotations: contextvars.ContextVar[Optional[Dict[str, Any]]] = contextvars.ContextVar("own_annotations", default=None)


class Intercepted:
    """The method of a `Deferred` that runs a call through the interceptors of a daemon, which are coroutine functions."""

    def __init__(self, dispatcher: LoopDispatcher, connection: Any, published: PublishedObject, call: Call) -> None:
        self._dispatcher = dispatcher
        self._connection = connection
        self._published = published
        self._call = call
        self.__qualname__ = "%s.%s" % (call.object_id, call.method)

    async def __call__(self) -> Any:
        """Run it."""
        seen = call_of(self._connection, self._call)

        def make() -> Any:
            call = with_arguments(self._call, seen)
            return self._dispatcher.run_prepared(self._connection, self._published, call)

        return await run_async(self._dispatcher.interceptors, seen, make)


class LoopDispatcher(Dispatcher):
    """Answers messages in the thread of the event loop, or in a thread of its pool.

    A method that has to run in the other one is returned as a `Deferred`: an ordinary method called in the event loop, or one
    marked with ``@expose(blocking=False)`` called in a thread, as a part of a batch.
    """

    _async_methods: Any  # CallsInLoop
    _loop_thread = 0
    _may_run_at_once = False  # it depends on the thread
    common_interceptors = of_asyncio_daemons

    def begin(self) -> None:
        """Note that the calling thread is that of the event loop."""
        self._loop_thread = threading.get_ident()

    def _is_in_loop(self) -> bool:
        return threading.get_ident() == self._loop_thread

    def _own_annotations(self) -> Dict[str, Any]:
        own = own_annotations.get()
        return super()._own_annotations() if own is None else own

    # ------------------------------------------------------------ handshakes

    async def answer_handshake(self, connection: Any, message: ReceivingMessage,
                               validate: Callable[[Any, Any], Any]) -> Optional[SendingMessage]:
        """Answer a handshake; validateHandshake is a coroutine function.

        Args:
            validate: that function.
        """
        correlation_id = correlation_of(message)
        if self.options.log_wire:
            protocol.log_wiredata(log, "received from %s" % (connection.peer_address,), message)
        serializer = None
        try:
            serializer = self._handshake_serializer(message)
            data = self._begin_handshake(connection, message, serializer, correlation_id)
            response = await validate(connection, data)
            reply: Optional[SendingMessage] = self._accept_handshake(connection, message, serializer, response, correlation_id)
        except asyncio.CancelledError:
            if connection.handshake_error is None:
                raise
            reply = self._refuse_handshake(connection, message, serializer, connection.handshake_error, correlation_id)
        except Exception as x:  # validateHandshake of the program, and any error that malformed data causes
            reply = self._refuse_handshake(connection, message, serializer, x, correlation_id)
        return self._logged(connection, reply)

    # ------------------------------------------------------------ calls

    def _start(self, connection: Any, published: PublishedObject, call: Call) -> Any:
        _object_id, name, args, kwargs = call
        # Where it was called from is right already: in the loop for members that never wait, in a thread for all others. Then
        # this does what _prepare() does, without its closures.
        is_here = (name in published.members.nonblocking) == self._is_in_loop()
        if is_here and name in published.direct and not self.interceptors:
            return self._run_method(connection, getattr(published.instance_for(connection), name), args, kwargs)
        return super()._start(connection, published, call)

    def _prepare(self, connection: Any, published: PublishedObject, call: Call) -> Callable[[], Any]:
        belongs_to_loop = self._belongs_to_loop(published, call)
        if belongs_to_loop is None or belongs_to_loop == self._is_in_loop():
            return super()._prepare(connection, published, call)
        if belongs_to_loop:
            prepared = super()._prepare(connection, published, call)
            if type(prepared) is Deferred:
                return prepared  # it is a coroutine function as well

            async def in_loop() -> Any:
                return prepared()
            return Deferred(in_loop, (), {})
        # Everything else in the thread, too: constructors of instances may block as well.
        prepare = super()._prepare
        name = "%s.%s" % (call.object_id, call.method)
        return Deferred(InWorker(lambda: prepare(connection, published, call)(), name), (), {})

    def _intercepted(self, connection: Any, published: PublishedObject, call: Call) -> Callable[[], Any]:
        if call.object_id == DAEMON_NAME or not is_known(published, call):
            return self._prepare(connection, published, call)
        return Deferred(Intercepted(self, connection, published, call), (), {})

    async def run_prepared(self, connection: Any, published: PublishedObject, call: Call) -> Any:
        """Run a call where it belongs, in the event loop or in a thread, and return its result."""
        value = self._prepare(connection, published, call)()
        while type(value) is Deferred:
            if runs_in_worker(value):
                beside = call.method in published.members.concurrent and connection.may_use_thread
                value = await self._async_methods.run_in_thread(None if beside else connection, value.method)
                continue
            outcome, error = None, None
            try:
                outcome = await value.method(*value.args, **value.kwargs)
            except Exception as x:
                error = x
            try:
                value = value.result(outcome, error)
            except Exception as x:
                self.call_error_handler(connection, value.method, value.args, value.kwargs, x)
                raise
            finally:
                error = None  # its traceback refers to this frame
        return value

    def _belongs_to_loop(self, published: PublishedObject, call: Call) -> Optional[bool]:
        """Return whether a method or property has to run in the event loop; None: wherever its call is prepared, because it
        is a coroutine function.
        """
        name, members = call.method, published.members
        if name in members.nonblocking:
            return True
        if name in (requests.GETATTR_METHOD, requests.SETATTR_METHOD):
            return bool(call.args) and type(call.args[0]) is str and call.args[0] in members.nonblocking
        if call.object_id == DAEMON_NAME and name == NEXT_ITEM_METHOD:
            # the items of ordinary iterators are computed in a thread
            is_async = bool(call.args) and type(call.args[0]) is str and self._streams.is_asynchronous(call.args[0])
            return None if is_async else False
        return None if name in members.methods and name not in members.direct else False

    def _run_prepared_oneway(self, connection: Any, call: Call, message: ReceivingMessage, run: Callable[[], Any]) -> None:
        # The pool for oneway calls, so that they do not take threads from calls that clients wait for.
        if type(run) is Deferred and runs_in_worker(run) and self._run_oneway is not None:
            self._start_oneway(connection, call, run.method, message.memory_bytes)
        elif type(run) is not Deferred and self._is_in_loop():
            run()
        else:
            super()._run_prepared_oneway(connection, call, message, run)

    def call_error_handler(self, connection: Any, method: Callable[..., Any], args: Any, kwargs: Mapping[str, Any],
                           error: Exception) -> None:
        if not isinstance(method, (InWorker, Intercepted)):  # else it was called in the thread of the method
            super().call_error_handler(connection, method, args, kwargs, error)
