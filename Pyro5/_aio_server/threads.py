"""Run functions that may block in threads, and wait for them in the event loop."""
from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any, Callable, Optional

from .._server.workers import WorkerPool

__all__ = ["run_in_pool", "run_in_thread"]


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
