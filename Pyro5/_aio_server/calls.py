"""Run the methods of calls: async ones as tasks of the event loop, others in a pool of threads."""
from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import os
import threading
from typing import Any, Callable, Optional

from .._calls.async_loop import AsyncLoop, Watch, wait_at_most
from .._calls.async_streams import AsyncItems
from .._calls.deferred import SHUTTING_DOWN, Deferred, DeferredCall, runs_in_worker, shutdown_error
from .._server.oneway import OnewayCalls
from .._server.workers import WorkerPool

log = logging.getLogger("Pyro5.server.async_methods")


async def run_in_pool(pool: WorkerPool, owner: Any, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a thread of a pool, in a copy of the context.

    Args:
        owner: the connection whose thread is to run it, None: any thread.
    """
    job = _Job(function, args)
    pool.submit(job.run, owner)
    return await job.outcome


async def run_in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a thread of its own, which ends with it."""
    job = _Job(function, args)
    # Not in a pool: the pools are among what these threads wait for.
    thread = threading.Thread(target=job.run, name="Pyro-asyncio-end", daemon=True)
    thread.start()
    value = await job.outcome
    thread.join()  # it has nothing left to do
    return value


class _Job:
    """A call of a function in a thread; its outcome is a future of the running event loop."""

    def __init__(self, function: Callable[..., Any], args: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Any] = self._loop.create_future()
        self._context = contextvars.copy_context()
        self._function = function
        self._args = args

    def run(self) -> None:
        """Call the function, and set the outcome."""
        value, error = None, None
        try:
            value = self._context.run(self._function, *self._args)
        except Exception as x:
            error = x
        except BaseException as x:  # SystemExit or similar has no meaning in this thread
            error = RuntimeError("%s raised %s" % (getattr(self._function, "__qualname__", self._function), type(x).__name__))
        try:
            # A future belongs to the thread of its loop.
            self._loop.call_soon_threadsafe(self._set_outcome, value, error)
        except RuntimeError:
            return  # the event loop is closed

    def _set_outcome(self, value: Any, error: Optional[Exception]) -> None:
        if self.outcome.done():
            return  # the waiting task was cancelled
        if error is None:
            self.outcome.set_result(value)
        else:
            self.outcome.set_exception(error)


END_SECONDS = 1.0  # that cancelled tasks get to end
STOP_SECONDS = 0.1  # that tasks get which have ignored their cancellation, and whose coroutine was closed


class _Stopped(Deferred):
    """What is left of a method that had to be stopped."""

    def result(self, value: Any, error: Optional[BaseException]) -> Any:
        raise shutdown_error()


class _Watch(Watch):
    """Cancels the task of a call. The server notices itself when the client has disconnected."""

    def watch_client(self) -> None:
        pass


class CallsInLoop(AsyncLoop):
    """Runs the methods that a dispatcher has deferred. Methods may be called from any thread, unless stated otherwise.

    Args:
        oneway_calls: counts the unfinished oneway calls of each client.
        pool: the threads for methods that are not async.
        after_job: called in a thread of the pool after each call.
    """

    watch = _Watch
    raises_interrupts = True

    def __init__(self, oneway_calls: OnewayCalls, pool: WorkerPool, after_job: Callable[[], None]) -> None:
        super().__init__()
        self._oneway_calls = oneway_calls
        self._pool = pool
        self._after_job = after_job

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the running event loop, which is given."""
        # The program runs the loop: it is neither started nor stopped here.
        self._loop, self._thread = loop, threading.current_thread()

    def start(self, call: DeferredCall, on_end: Optional[Callable[[], None]] = None) -> None:
        """Run the method of a call. From here on, its task or its thread owns the request."""
        if runs_in_worker(call.deferred):
            try:
                # The connection is the owner of the job: all its calls use the same thread, unless they may run at once.
                owner = None if call.deferred.method.is_detached else call.connection  # type: ignore[attr-defined]
                self._pool.submit(functools.partial(self._work, call, on_end), owner)
            except RuntimeError as x:  # the system cannot start a thread
                call.context.run(call.finish, None, x)
        else:
            super().start(call, on_end)

    def start_oneway(self, call: DeferredCall, size: int) -> None:
        """Run the method of a oneway call; it counts as unfinished until it has ended.

        Args:
            size: the size of the request in bytes.
        """
        self._oneway_calls.begin(call.connection, size)
        self.start(call, functools.partial(self._oneway_calls.end, call.connection, size))

    def items(self, iterator: Any) -> Any:
        """Return the items of an asynchronous iterator, for a `StreamTable`."""
        return AsyncItems(iterator, self.spawn)

    async def run_in_thread(self, connection: Any, function: Callable[[], Any]) -> Any:
        """Call a function in a thread of the pool, and return its result."""
        try:
            return await run_in_pool(self._pool, connection, function)
        finally:
            self._after_job()

    def _call_soon(self, callback: Callable[[], Any], context: Any = None) -> bool:
        loop = self._loop
        if loop is None or self._is_stopping or os.getpid() != self._process:
            return False
        # In the thread of the loop the task is created at once, so that calls of one client start in their order.
        if threading.current_thread() is not self._thread:
            try:
                loop.call_soon_threadsafe(callback, context=context)
            except RuntimeError:  # the program has closed its event loop
                return False
        elif context is None:
            contextvars.copy_context().run(callback)
        else:
            context.run(callback)
        return True

    def _work(self, call: DeferredCall, on_end: Optional[Callable[[], None]]) -> None:
        """Run a method in this thread, and finish its call."""
        try:
            call.context.run(self._run_in_worker, call)
        finally:
            if call.is_detached:
                call.connection.flush_detached()
            if on_end is not None:
                on_end()
            self._after_job()

    def _run_in_worker(self, call: DeferredCall) -> None:
        value, error = None, None
        try:
            call.running.thread = threading.get_ident()
            call.running.stop_if_cancelled()  # it may have waited long for this thread
            value = call.deferred.method()
        except BaseException as x:  # also SystemExit and KeyboardInterrupt: they end this call, not the thread
            error = x
        if os.getpid() != self._process:
            raise SystemExit(0)  # the method has forked and returned in both processes: the child ends
        try:
            # A property or a method that turned out to belong to the loop, after the thread has done what may block.
            if type(value) is Deferred:
                call.deferred = value
                super().start(call)
            else:
                call.finish(value, error)
        finally:
            error = None  # its traceback refers to this frame

    # ------------------------------------------------------------ in the thread of the event loop

    def runs(self, task: Any) -> bool:
        """Return whether a task runs a call."""
        return task in self._tasks

    def _forget(self, task: Any) -> None:
        super()._forget(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log KeyboardInterrupt, which the loop raises as well

    async def end(self, timeout_seconds: float) -> None:
        """Wait for oneway calls and the end of item streams, but at most this long, cancel the rest, and start no more."""
        await wait_at_most(timeout_seconds, [task for task, is_waited_for in self._tasks.items() if is_waited_for])
        self._is_stopping = True
        for call in list(self._calls.values()):
            call.running.cancel(SHUTTING_DOWN)
        # Tasks without a call, such as the ends of item streams, have no client that could be told.
        for task in [task for task in self._tasks if task not in self._calls]:
            task.cancel()
        await wait_at_most(END_SECONDS, self._tasks)
        self.stop_tasks()
        await wait_at_most(STOP_SECONDS, self._tasks)

    def stop_tasks(self) -> None:
        """Stop tasks that have ignored their cancellation: close their coroutines, which then cannot wait any more."""
        self._is_stopping = True
        for task in list(self._tasks):
            log.warning("an async method does not end, although it was cancelled: %r", task.get_name())
            call = self._calls.get(task)
            if call is not None:
                call.deferred = _Stopped(call.deferred.method, (), {})
            try:
                # A task cannot be killed. Without the coroutine that it waits for, its next step ends it.
                task.get_coro().cr_await.close()
            except Exception as x:  # it ignores even this, or waits for something else than a coroutine
                log.debug("cannot close the coroutine: %s", x)
            task.cancel()
            task._log_destroy_pending = False  # this log entry says the same
