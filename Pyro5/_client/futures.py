"""Calls that run in the background, and can be cancelled."""
from __future__ import annotations

import concurrent.futures
import contextvars
import logging
import threading
from collections import deque
from typing import Any, Callable, Deque, Optional, Set

log = logging.getLogger("Pyro5.client")


class BackgroundCalls:
    """Runs the calls of one proxy in threads, which end when there are no more calls. Thread-safe."""

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


class CallFuture(concurrent.futures.Future):  # type: ignore[type-arg]  # not subscriptable before Python 3.9
    """The result of a call that runs in the background.

    It counts as pending until the reply has come, so that it can be cancelled until then.
    """

    def __init__(self) -> None:
        super().__init__()
        self._decision = threading.Lock()  # guards the change from pending to cancelled or done
        self._is_running = False
        self.cancel_remotely: Optional[Callable[[], None]] = None  # set while the request is at the server

    def running(self) -> bool:
        """Return whether the call is being made now."""
        # Set without the lock, by the thread that makes the call. It only shows the state.
        return self._is_running and not self.done()

    def cancel(self) -> bool:
        """Cancel the call, and return whether it is cancelled: it is not if it has ended.

        A call that was not sent yet is never sent. If the server runs it, the server is told: there,
        ``current_context.cancelled`` is set. (Servers of other releases are not told: the reply is thrown away.)
        """
        with self._decision:
            was_cancelled = self.cancelled()
            if not super().cancel():
                return False
            # Once: waiting threads (as_completed, wait) are notified by this, and a second notification is an error.
            if not was_cancelled:
                self.set_running_or_notify_cancel()
            cancel_remotely, self.cancel_remotely = self.cancel_remotely, None
        if cancel_remotely is not None:
            cancel_remotely()  # outside of the lock: it may start a thread
        return True

    def begin_sending(self, cancel_remotely: Optional[Callable[[], None]]) -> bool:
        """Note that the request is about to be sent.

        Args:
            cancel_remotely: tells the server to cancel it; None if the server cannot do that.

        Returns:
            False if the call is cancelled, and must not be sent.
        """
        with self._decision:
            # Either cancel() was first, and nothing is sent, or it finds the function that cancels on the server.
            self.cancel_remotely = cancel_remotely
            return not self.cancelled()

    def finish(self, result: Any, error: Optional[BaseException]) -> None:
        """Set the outcome; ignored if the call was cancelled."""
        with self._decision:
            self.cancel_remotely = None
            if self.cancelled():
                return
            self.set_running_or_notify_cancel()
        # Outside of the lock, since callbacks of the program run here, which may call cancel().
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(result)
