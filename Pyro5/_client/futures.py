"""Calls that run in the background, and can be cancelled."""
from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Optional, Set

if TYPE_CHECKING:
    from .call_future import CallFuture

log = logging.getLogger("Pyro5.client")


class BackgroundCalls:
    """Runs the calls of one proxy in threads, which end when there are no more calls. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the rest
        self._jobs: Deque[Callable[[], None]] = deque()
        self._threads: Set[threading.Thread] = set()

    def submit(self, call: Callable[[CallFuture], Any], calls_at_once: Optional[int]) -> CallFuture:
        """Start a call in a copy of the current context.

        Args:
            call: is given its own future.
            calls_at_once: how many calls of the proxy may run at the same time; None: this one does not wait for others.
        """
        from .call_future import CallFuture
        future = CallFuture()
        # The correlation id, the annotations and the deadline of the submitting code apply to the call.
        context = contextvars.copy_context()
        self.start(lambda: context.run(_run_call, call, future), calls_at_once)
        return future

    def start(self, job: Callable[[], None], limit: Optional[int]) -> None:
        """Run a job in a thread, when fewer than ``limit`` others are being run; None: now, in a new thread."""
        with self._lock:
            if limit is not None:
                # Appended under the same lock under which a thread finds the queue empty and ends: a job is never left behind.
                self._jobs.append(job)
                # Those that run look for another job under this lock before they end.
                if len(self._threads) >= limit:
                    return
            first = (job,) if limit is None else ()
            thread = threading.Thread(target=self._work, args=first, name="Pyro5 background call", daemon=True)
            self._threads.add(thread)
        try:
            thread.start()
        except BaseException:
            with self._lock:
                # Discarded, not counted: if a signal handler raised this, the thread may be running all the same.
                self._threads.discard(thread)
                if job in self._jobs:  # else a thread that was running has taken it
                    self._jobs.remove(job)
            raise

    def _work(self, job: Optional[Callable[[], None]] = None) -> None:
        if job is not None:
            job()
            del job
        while True:
            with self._lock:
                if not self._jobs:
                    self._threads.discard(threading.current_thread())
                    return
                job = self._jobs.popleft()
            job()
            del job  # else it keeps the future and its result alive while the thread looks for the next job


def _run_call(call: Callable[[CallFuture], Any], future: CallFuture) -> None:
    # Cancelled in the queue: nothing is sent.
    if future.cancelled():
        return
    future._is_running = True
    result, error = None, None
    try:
        result = call(future)
    except BaseException as x:  # border of a thread: the one who waits for the future gets any exception
        # Its traceback has frames of this library only, which refer to the future and the connection: a reference cycle, which
        # would keep the connection open until the garbage collector finds it.
        error = x.with_traceback(None)
    try:
        future.finish(result, error)
    except Exception:  # a callback that the program added
        log.exception("the outcome of a background call could not be set")
    finally:
        error = None
