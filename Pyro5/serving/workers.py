"""A pool of threads that grows with the work and shrinks when it is idle."""
from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Callable, Deque, Optional, Set

log = logging.getLogger("Pyro5.serving.workers")

IDLE_SECONDS = 5.0  # how long a thread above the minimum waits for work before it ends

Job = Callable[[], object]


class WorkerPool:
    """Threads that run jobs, started as they are needed.  Thread-safe.

    Args:
        minimum: this many threads stay when there is nothing to do.
        maximum: at most so many run at the same time; further jobs wait.
        name: what the threads are called.
    """

    def __init__(self, minimum: int, maximum: int, name: str) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._name = name
        self._jobs: Deque[Job] = deque()
        self._threads: Set[threading.Thread] = set()
        self._idle = 0
        self._stopping = False
        # guards everything above; notified when a job comes or the pool stops
        self._changed = threading.Condition()

    def start(self) -> None:
        """Start the threads that stand by; not needed before submit()."""
        with self._changed:
            while len(self._threads) < self._minimum and not self._stopping:
                self._start_thread_locked()

    def __len__(self) -> int:
        return len(self._threads)

    @property
    def jobs_waiting(self) -> bool:
        """Whether a job waits for a free thread."""
        return bool(self._jobs)

    def busy(self) -> int:
        """How many threads are running a job, plus the jobs that wait."""
        with self._changed:
            return len(self._threads) - self._idle + len(self._jobs)

    def submit(self, job: Job) -> None:
        """Let a thread run the job as soon as one is free."""
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif len(self._threads) < self._maximum and not self._stopping:
                self._grow_locked()

    def is_worker(self) -> bool:
        """Whether the calling thread belongs to this pool."""
        return threading.current_thread() in self._threads

    def stop(self, timeout_seconds: float) -> None:
        """Let the threads finish their jobs and end, and wait for that, but no longer than this."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            threads = list(self._threads)
        deadline = time.monotonic() + timeout_seconds
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _grow_locked(self) -> None:
        """Start a thread for the job that was added last; if the system has none left, one of those there does it."""
        try:
            self._start_thread_locked()
        except RuntimeError as x:
            if not self._threads:
                self._jobs.pop()
                raise
            log.warning("cannot start another thread, the job waits for one of %d: %s", len(self._threads), x)

    def _start_thread_locked(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._threads.add(thread)
        self._idle += 1
        try:
            thread.start()
        except BaseException:
            self._threads.discard(thread)
            self._idle -= 1
            raise

    def _run(self) -> None:
        while True:
            job = self._next_job()
            if job is None:
                return
            try:
                job()
            except BaseException:  # border of a thread: a fault in a job must not cost the pool a worker
                log.exception("a worker thread's job failed")
            del job
            with self._changed:
                self._idle += 1

    def _next_job(self) -> Optional[Job]:
        """Wait for a job; None if the thread shall end."""
        with self._changed:
            while not self._jobs:
                timed_out = not self._stopping and not self._changed.wait(IDLE_SECONDS)
                superfluous = self._stopping or timed_out and len(self._threads) > self._minimum
                if superfluous and not self._jobs:
                    self._idle -= 1
                    self._threads.discard(threading.current_thread())
                    return None
            self._idle -= 1
            return self._jobs.popleft()
