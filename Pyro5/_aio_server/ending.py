"""The end of a daemon: running calls get time to finish, then everything is closed. Ctrl-C and SIGTERM begin it, if the
program only serves the daemon.
"""
from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import threading
import time
from typing import Any, AsyncGenerator, Callable, Dict, Generator, Optional

from .._calls.streams import StreamTable
from .._server.eventloop import END_SECONDS
from .._server.oneway import OnewayCalls
from .calls import CallsInLoop, run_in_thread
from .server import AsyncServer

log = logging.getLogger("Pyro5.server")


class Ending:
    """Ends a daemon. Belongs to the thread of the event loop, except where stated.

    Args:
        stop_threads: ends threads besides those of the pool. Called in a thread, and at last in that of the loop.
        finish: called when everything else has ended.

    Attributes:
        ended: a future of the event loop, done when everything is closed; None before the daemon has begun.
    """

    def __init__(self, server: AsyncServer, calls: CallsInLoop, oneway_calls: OnewayCalls, streams: StreamTable,
                 stop_threads: Callable[[], None], finish: Callable[[], None]) -> None:
        self._server = server
        self._calls = calls
        self._oneway_calls = oneway_calls
        self._streams = streams
        self._stop_threads = stop_threads
        self._finish = finish
        self._task: Optional[asyncio.Task[None]] = None
        self._has_started = self._is_hurried = self._is_freed = False
        self._process = os.getpid()
        self.ended: Optional[asyncio.Future[None]] = None
        self._end_of_loop: Optional[AsyncGenerator[None, None]] = None

    async def watch_loop(self) -> None:
        """Make the daemon end when the running event loop ends before it, as that of ``asyncio.run`` does."""
        self.ended = asyncio.get_running_loop().create_future()
        # At its end, the loop closes its asynchronous generators.
        self._end_of_loop = self._until_end_of_loop()
        await self._end_of_loop.__anext__()

    async def _until_end_of_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if not self._is_freed and self.ended is not None:
                self._end_of_loop = None  # it is being closed already
                self._begin(0.0)
                await asyncio.shield(self.ended)

    def begin(self, timeout_seconds: float) -> None:
        """Make the daemon end soon; running calls get this time. Can be called from any thread, and in a signal handler."""
        if os.getpid() != self._process:
            return  # in a forked child, everything belongs to the parent
        loop = self._server.event_loop
        try:
            if loop is not None:
                # Also in the thread of the loop: in a signal handler, it would not notice a new task otherwise.
                loop.call_soon_threadsafe(self._begin, timeout_seconds)
                return
        except RuntimeError:
            log.debug("the event loop was closed before the daemon")
        self.end_at_once()

    def _begin(self, timeout_seconds: float) -> None:
        if self._task is None:
            self._task = self._server.event_loop.create_task(self._end(timeout_seconds))

    def hurry(self) -> None:
        """Cancel running calls at once, if the end has begun."""
        if self._task is not None:
            self._is_hurried = True
            if self._has_started:
                self._task.cancel()     # before, this would end the task without closing anything

    async def wait(self) -> None:
        """Wait until everything is closed; inside of a call of this daemon, return at once.

        Raises:
            RuntimeError: the daemon runs in another event loop.
        """
        # Without a running loop there is nothing to wait for: begin() has freed everything.
        loop = self._server.event_loop
        if loop is None or loop.is_closed() or self.ended is None:
            return
        if loop is not asyncio.get_running_loop():
            raise RuntimeError("the daemon runs in another event loop")
        # The end waits for the calls that run: one that waited for the end would wait for itself.
        if not self._calls.runs(asyncio.current_task()):
            await asyncio.shield(self.ended)

    async def _end(self, timeout_seconds: float) -> None:
        self._has_started = True
        try:
            await self._end_gracefully(0.0 if self._is_hurried else timeout_seconds)
        except asyncio.CancelledError:
            # By hurry(), or by asyncio.run, which cancels all tasks at its end. Tasks of methods need a turn to end.
            await self._calls.end(0.0)
        except Exception:
            log.exception("the end of the daemon failed")
        finally:
            self.end_at_once()
            generator, self._end_of_loop = self._end_of_loop, None
            if generator is not None:
                await generator.aclose()

    async def _end_gracefully(self, timeout_seconds: float) -> None:
        server, deadline = self._server, time.monotonic() + timeout_seconds
        server.stopping = True
        server.stop_accepting()
        for connection in server.all_connections():
            server.pump(connection)  # those without a running call are closed
        await self._until(lambda: not (server.all_connections() or server.open), deadline)
        for connection in server.all_connections():
            connection.cancel_deferred()
            if connection.handshake_task is not None:
                connection.handshake_task.cancel()
        left = max(END_SECONDS, deadline - time.monotonic())
        # In this order: oneway calls may still read streams. In threads, because these calls block until other threads have
        # ended.
        await run_in_thread(self._oneway_calls.stop, left)
        await run_in_thread(self._stop_threads)
        await run_in_thread(self._streams.clear)
        await self._calls.end(left)
        for connection in server.all_connections():
            connection.is_working = False  # its method does not end: nothing is sent any more
            connection.detached = set()
            server.drop(connection)
        await self._until(lambda: not (server.tasks or server.open), time.monotonic() + END_SECONDS)
        for task in list(server.tasks):
            task.cancel()
        await self._until(lambda: not server.tasks, time.monotonic() + END_SECONDS)
        await run_in_thread(server.pool.stop, max(END_SECONDS, deadline - time.monotonic()))

    async def _until(self, condition: Callable[[], bool], deadline: float) -> None:
        """Wait until a condition is met, which can only change when the server makes progress."""
        progress = asyncio.Event()
        # The server sets it with each step that may have changed the condition, so that nothing is polled.
        self._server.on_progress = progress.set
        while not condition() and time.monotonic() < deadline:
            progress.clear()
            try:
                await asyncio.wait_for(progress.wait(), deadline - time.monotonic())
            except asyncio.TimeoutError:
                return

    def end_at_once(self) -> None:
        """Close what is still open, without waiting. Can be called from any thread, if the event loop does not run."""
        if self._is_freed:
            return
        # First: what follows may call user code, which may close the daemon again.
        self._is_freed = True
        server = self._server
        server.stopping = server.has_ended = True
        server.stop_accepting()
        server.stop_timers()
        if server.event_loop is not None and not server.event_loop.is_closed():
            self._calls.stop_tasks()
            for connection in server.all_connections():
                connection.is_working = False
                connection.detached = set()
                server.drop(connection)
        self._oneway_calls.stop(0.0)
        server.pool.stop(0.0)
        self._stop_threads()
        self._finish()
        if self.ended is not None and not self.ended.done() and not server.event_loop.is_closed():
            self.ended.set_result(None)


class WaitForEnd:
    """The result of `Daemon.shutdown` and `Daemon.close`: awaiting it waits for the end."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending

    def __await__(self) -> Generator[Any, Any, None]:
        return self._ending.wait().__await__()


class EndOnSignals:
    """A context manager in which Ctrl-C and SIGTERM call a function; a second signal acts as before.

    Nothing changes unless the running task is that of ``asyncio.run`` or ``run_until_complete``, with which the program ends:
    if the daemon runs in a task beside others, these would go on. Signals that the program handles itself, or ignores, are
    left alone. In threads other than the main thread, Python cannot handle signals.

    Args:
        end: called in the main thread, between any two instructions.
    """

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> EndOnSignals:
        if threading.current_thread() is threading.main_thread() and _is_main_task():
            for number in (signal.SIGINT, signal.SIGTERM):
                if _has_default(number):
                    # Not add_signal_handler(): it could not restore the handler that asyncio.run has set.
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._restore()

    def _on_signal(self, number: int, frame: object) -> None:
        self._restore()  # a second signal interrupts a program that does not end
        self._end()

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())


def _is_main_task() -> bool:
    """Return whether the event loop ends with the running task."""
    # asyncio has no function for this. The loop that waits for a task has added a function of its run_until_complete().
    callbacks = getattr(asyncio.current_task(), "_callbacks", None) or ()
    return any("run_until_complete" in getattr(callback, "__qualname__", "") for callback, _context in callbacks)


def _has_default(number: int) -> bool:
    """Return whether a signal still has its default action, or that of asyncio.run."""
    handler: Any = signal.getsignal(number)
    if isinstance(handler, functools.partial):  # asyncio.run, which cancels the main task and then raises KeyboardInterrupt
        return getattr(handler.func, "__module__", "") == "asyncio.runners"
    return handler is (signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
