"""Calls of async methods: between the dispatcher, which finds out that a call is one, and the event loop that runs it.

While an event loop runs the method, no thread waits for it, and no further request of the connection is read. The task
owns the connection: it sends the reply, and then returns the connection to the loop of the server. Calls that are detached
do not own it: further requests are read, and the replies are sent in the order in which the methods end.
"""
from __future__ import annotations

import contextvars
import logging
from typing import Any, Callable, Mapping, Optional

from .. import errors
from ..protocol import SendingMessage

log = logging.getLogger("Pyro5.server.async_methods")

SHUTTING_DOWN = "the server is shutting down"


class InWorker:
    """The method of a `Deferred` that has to run in a thread of a pool.

    Args:
        function: calls the method, and returns its result, or a `Deferred` for an event loop.

    Attributes:
        is_detached: other requests of the connection may be handled meanwhile, in other threads.
    """

    is_detached = False

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        self.function = function
        self.__qualname__ = name

    def __call__(self) -> Any:
        """Call the method here."""
        return self.function()


class Deferred:
    """A coroutine function and its arguments: what an event loop has to run to get the result of a call.

    Args:
        method: the coroutine function.
        convert: called with the result that it returns; returns the result of the call, or raises an exception.
    """

    __slots__ = ("method", "args", "kwargs", "_convert")

    def __init__(self, method: Callable[..., Any], args: Any, kwargs: Mapping[str, Any],
                 convert: Optional[Callable[[Any], Any]] = None) -> None:
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self._convert = convert

    def __call__(self) -> Deferred:
        """Return itself: prepared calls of other methods are functions that return the result."""
        return self

    def result(self, value: Any, error: Optional[BaseException]) -> Any:
        """Return the result of the call.

        Args:
            value: what the coroutine returned.
            error: what it raised instead.

        Raises:
            BaseException: that error.
        """
        try:
            if error is not None:
                raise error
            return value if self._convert is None else self._convert(value)
        finally:
            del error  # its traceback refers to this frame


def runs_in_worker(deferred: Deferred) -> bool:
    """Return whether a method has to run in a thread of a pool."""
    return isinstance(deferred.method, InWorker)


def beside(connection: Any, name: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """Return what runs an ordinary method in a thread beside other requests of its connection, if that is possible now.

    Args:
        name: of the method, for the log.
        run: calls the method; or the `Deferred` of one that an event loop runs, which is returned.
    """
    if isinstance(run, Deferred) and not runs_in_worker(run) or not getattr(connection, "may_use_thread", False):
        return run
    method = run.method if isinstance(run, Deferred) else InWorker(run, name)
    method.is_detached = True  # type: ignore[union-attr]
    return Deferred(method, (), {})


class DeferredCall:
    """A request whose method runs in an event loop.

    Args:
        start: called with this object, runs the method.
        finish: called with this object, the value and the exception when the method has ended, in the thread and in the
            context of its task; returns the reply, or None.

    Attributes:
        deferred: what to run.
        connection: that of the client.
        running: the request as the daemon counts it.
        keeps_connection: the connection waits for the end of the method; False for oneway calls, and if is_detached.
        is_detached: other calls of the connection may run until the method ends, and its reply is sent beside theirs.
        context: the context variables that the method sees.
    """

    def __init__(self, deferred: Deferred, connection: Any, running: Any, keeps_connection: bool,
                 start: Callable[[DeferredCall], None],
                 finish: Callable[[DeferredCall, Any, Optional[BaseException]], Optional[SendingMessage]],
                 is_detached: bool = False) -> None:
        self.deferred = deferred
        self.connection = connection
        self.running = running
        self.keeps_connection = keeps_connection
        self.is_detached = is_detached
        # Copied in the thread of the request: the method sees current_context and the variables that this request has set.
        self.context = contextvars.copy_context()
        self._start = start
        self._finish = finish
        # Before the method starts: else the dispatcher, which is still in the request, would remove the call from the
        # running ones.
        running.runs_elsewhere = True

    def start(self) -> None:
        """Run the method. From here on, its task owns the connection."""
        self._start(self)

    def finish(self, value: Any, error: Optional[BaseException]) -> None:
        """Send the reply, and return the connection to the loop of the server. Called once."""
        reply = None
        try:
            reply = self._finish(self, value, error)
        except BaseException as x:  # the method raised SystemExit or similar; other calls continue
            log.warning("%s raised %s", getattr(self.deferred.method, "__qualname__", "an async method"), type(x).__name__,
                        exc_info=isinstance(x, Exception))
            if self.keeps_connection or self.is_detached:
                log.warning("closing the connection with %s", self.connection.peer_address)
                (self.connection.abandon if self.keeps_connection else self.connection.close)()
        finally:
            error = None  # its traceback refers to this frame
            # In any case, because a connection that is not returned would never be served again.
            if self.keeps_connection:
                self.connection.finish_deferred(reply)
            elif self.is_detached:
                self.connection.finish_detached(self, reply)


def shutdown_error() -> errors.CancelledError:
    """Return the exception of calls that come too late to be started."""
    return errors.CancelledError("the call was stopped: " + SHUTTING_DOWN)
