"""Run async methods in an event loop, in one thread per daemon.

The thread is started by the first call, and ends with the daemon. A task is cancelled when the deadline of its call passes,
when the client cancels the call, or when the connection ends.
"""
from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import threading
import time
from typing import Any, Callable, Coroutine, Dict, Iterable, Optional, Set

from .. import errors
from .deferred import SHUTTING_DOWN, DeferredCall, shutdown_error
from .running_calls import LATE

log = logging.getLogger("Pyro5.server.async_methods")

END_SECONDS = 1.0  # that cancelled tasks get to end


class Watch:
    """Cancels the task of a call when the client does not wait for it any more. Belongs to the thread of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: DeferredCall) -> None:
        self._loop = loop
        self._call = call
        self._fd = -1
        self._timer: Optional[asyncio.TimerHandle] = None
        self._task: Any = None  # from begin() to end()

    def begin(self) -> None:
        """Begin to watch the client, for the current task."""
        self._task = asyncio.current_task()
        running = self._call.running
        running.on_cancel = self._cancel_soon
        if running.deadline is not None:
            self._timer = self._loop.call_later(max(running.deadline - time.monotonic(), 0.0), running.cancel, LATE)
        if self._call.keeps_connection and not running.is_oneway:
            self.watch_client()
        # Asked after on_cancel is set: a call that is cancelled meanwhile is noticed here or there.
        running.stop_if_cancelled()

    def watch_client(self) -> None:
        """Begin to watch the connection of the client."""
        # The event loop watches the sockets itself: the thread of CallWatcher would look at all of them for each new call.
        try:
            fd = self._call.connection.sock.fileno()
            self._loop.add_reader(fd, self._client_is_ready)
            self._fd = fd
        except (NotImplementedError, OSError, ValueError, RuntimeError):  # on Windows, or the socket is closed
            self._call.running.cancelled  # noqa: B018  from its first use on it is watched

    def _client_is_ready(self) -> None:
        """Look why the socket is readable: because of the next request, or because the client has disconnected."""
        self._stop_reading()
        running = self._call.running
        if not running.is_cancelled():
            # The request stays in the socket, which is readable from now on: this thread watches only the end of the client.
            running.cancelled  # noqa: B018

    def _stop_reading(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # it was closed at the end of the daemon
                self._loop.remove_reader(fd)

    def _cancel_soon(self) -> None:
        """Cancel the task. Can be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def end(self) -> None:
        """Stop watching the client: from here on the task is not cancelled."""
        self._call.running.on_cancel = self._task = None
        self._stop_reading()
        if self._timer is not None:
            self._timer.cancel()


class AsyncLoop:
    """An event loop in a thread. Methods may be called from any thread, unless stated otherwise.

    Attributes:
        watch: creates the object that cancels the task of a call.
        raises_interrupts: whether KeyboardInterrupt in a task is raised by the event loop, too: Ctrl-C interrupts the main
            thread in any task.
    """

    watch: Callable[..., Watch] = Watch
    raises_interrupts = False

    def __init__(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()  # guards the next three
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._is_stopping = False
        self._timeout = 0.0
        self._has_stopped = False
        # Belongs to the thread. By task: whether it is waited for at the end, before it is cancelled.
        self._tasks: Dict[Any, bool] = {}
        self._calls: Dict[Any, DeferredCall] = {}
        self._flushing: Set[Any] = set()  # connections with replies of this turn of the event loop

    def is_running_here(self) -> bool:
        """Return whether the calling thread is that of the event loop."""
        return threading.current_thread() is self._thread

    def start(self, call: DeferredCall, on_end: Optional[Callable[[], None]] = None) -> None:
        """Run the method of a call, and finish the call with its outcome.

        Args:
            on_end: called after that.
        """
        error: Optional[Exception] = None
        try:
            if self._call_soon(functools.partial(self._start_task, self._run, call, on_end), call.context):
                return
            error = shutdown_error()
        except RuntimeError as x:  # the system cannot start a thread
            error = errors.DaemonError("cannot run an async method: %s" % x)
        call.context.run(call.finish, None, error)
        if call.is_detached:
            call.connection.flush_detached()
        if on_end is not None:
            on_end()

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function, unless the loop has ended. At the end of the daemon it is waited for."""
        with contextlib.suppress(RuntimeError):  # the system cannot start a thread
            self._call_soon(functools.partial(self._start_task, function))

    def _call_soon(self, callback: Callable[[], Any], context: Any = None) -> bool:
        """Call a function in the thread of the event loop. Return False if that has ended."""
        if os.getpid() != self._process:
            return False  # that thread exists in the parent process only
        with self._lock:
            if self._is_stopping:
                return False
            if self._loop is None:
                self._loop = self._begin_locked()
            # Under the lock, so that stop() comes either before, and then nothing is scheduled, or after this.
            self._loop.call_soon_threadsafe(callback, context=context)
            return True

    def _begin_locked(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._serve, args=(loop,), name="Pyro-asyncio", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            loop.close()
            raise
        self._thread = thread
        return loop

    # ------------------------------------------------------------ in the thread of the event loop

    def _start_task(self, function: Callable[..., Coroutine[Any, Any, None]], call: Optional[DeferredCall] = None,
                    on_end: Optional[Callable[[], None]] = None) -> None:
        task = asyncio.get_running_loop().create_task(function() if call is None else function(call, on_end))
        self._tasks[task] = call is None or not call.keeps_connection
        if call is not None:
            self._calls[task] = call
        task.add_done_callback(self._forget)

    def _forget(self, task: Any) -> None:
        self._tasks.pop(task, None)
        self._calls.pop(task, None)

    async def _run(self, call: DeferredCall, on_end: Optional[Callable[[], None]]) -> None:
        value, error, deferred = None, None, call.deferred
        watch = self.watch(asyncio.get_running_loop(), call)
        try:
            watch.begin()
            value = await deferred.method(*deferred.args, **deferred.kwargs)
        except asyncio.CancelledError as x:
            error = _error_of_cancellation(call, x)
        except asyncio.TimeoutError as x:
            # The exception that asyncio.TimeoutError is from Python 3.11 on; clients know only this one.
            error = x if isinstance(x, TimeoutError) else TimeoutError(*x.args).with_traceback(x.__traceback__)
        except BaseException as x:  # also SystemExit and KeyboardInterrupt: they end this call, not those of other clients
            error = x
        if os.getpid() != self._process:
            raise SystemExit(0)  # the method has forked and returned in both processes: the child ends
        watch.end()
        is_interrupt = self.raises_interrupts and isinstance(error, KeyboardInterrupt)
        try:
            call.finish(value, error)
        finally:
            error = None  # its traceback refers to this frame
            if call.is_detached:
                self._flush_soon(call.connection)
            if on_end is not None:
                on_end()
        if is_interrupt:
            raise KeyboardInterrupt

    def _flush_soon(self, connection: Any) -> None:
        """Send the replies of this turn of the event loop together, at its end."""
        if not self._flushing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._flushing.add(connection)

    def _flush(self) -> None:
        connections, self._flushing = self._flushing, set()
        for connection in connections:
            connection.flush_detached()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while not self._has_stopped:
            try:
                loop.run_forever()
            except BaseException as x:  # a task that a method has started raised SystemExit or similar
                if os.getpid() != self._process:
                    return
                log.warning("a task in the event loop of async methods raised %s", type(x).__name__)
        try:
            loop.run_until_complete(self._end_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
        except BaseException:
            log.exception("the end of the event loop of async methods failed")
        finally:
            for task in asyncio.all_tasks(loop):
                log.warning("an async method does not end, although it was cancelled: %r", task.get_name())
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # this log entry says the same
            asyncio.set_event_loop(None)
            loop.close()

    def _stop_running(self, loop: asyncio.AbstractEventLoop) -> None:
        # Another flag than _is_stopping, which could end _serve() before this runs: it would stop the cleanup then.
        self._has_stopped = True
        loop.stop()

    async def _end_tasks(self) -> None:
        await wait_at_most(self._timeout, [task for task, is_waited_for in self._tasks.items() if is_waited_for])
        for call in list(self._calls.values()):
            call.running.cancel(SHUTTING_DOWN)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            if task not in self._calls:
                task.cancel()
        await wait_at_most(END_SECONDS, rest)

    def stop(self, timeout_seconds: float) -> None:
        """End the tasks and the thread, see `AsyncMethods.stop`."""
        with self._lock:
            self._is_stopping, self._timeout = True, timeout_seconds
            loop, thread = self._loop, self._thread
        if loop is None or thread is None or os.getpid() != self._process:
            return
        with contextlib.suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(self._stop_running, loop)
        if thread is not threading.current_thread():
            # Bounded, because a method may block the thread for ever.
            thread.join(timeout_seconds + 2 * END_SECONDS)


def _error_of_cancellation(call: DeferredCall, error: BaseException) -> BaseException:
    """Return the exception that the client gets for a method which ended with asyncio.CancelledError."""
    try:
        call.running.stop_if_cancelled()
        stopped: Exception = errors.CancelledError("the method ended with asyncio.CancelledError, although its client has "
                                                   "not cancelled the call")
    except Exception as x:
        stopped = x
    stopped.__suppress_context__ = True
    return stopped.with_traceback(error.__traceback__)


async def wait_at_most(seconds: float, tasks: Iterable[Any]) -> None:
    """Wait for tasks, of which there may be none."""
    tasks = list(tasks)
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
