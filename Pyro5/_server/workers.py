"""A pool of threads that grows with the work and shrinks when it is idle."""
from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Set

log = logging.getLogger("Pyro5.serving.workers")

IDLE_SECONDS = 5.0  # how long a thread above the minimum waits for work before it ends

Job = Callable[[], object]


class Worker(threading.Thread):
    """One thread of a pool.  Its fields belong to the pool, and are guarded by the pool's lock.

    Attributes:
        jobs: what this thread, and no other, is to do next.
        reserved: it does nothing but those.
        waiting: it has nothing to do; whoever changes that gives the signal.
    """

    def __init__(self, pool: WorkerPool, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.pool = pool
        self.jobs: Deque[Job] = deque()
        self.reserved = False
        self.waiting = False
        self._signal = threading.Lock()
        self._signal.acquire()

    def signal(self) -> None:
        """End its waiting."""
        self.waiting = False
        self._signal.release()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the signal (-1: for ever); False if it did not come in time."""
        return self._signal.acquire(timeout=timeout_seconds)

    def run(self) -> None:
        """Do jobs until the pool has none for this thread any more."""
        job = self.pool._next_job(self)
        while job is not None:
            try:
                job()
            except BaseException:  # border of a thread: a fault in a job must not cost the pool a worker
                log.exception("a worker thread's job failed")
            del job
            job = self.pool._next_job(self)


class WorkerPool:
    """Threads that run jobs, started as they are needed.  Thread-safe.

    A job goes to the thread that has been idle for the shortest time.

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
        self._workers: Set[Worker] = set()
        self._idle: List[Worker] = []  # those that wait, except reserved ones
        self._reserved = 0
        self._large_jobs: Deque[Job] = deque()  # those that wait for other large ones to end
        self._large_running = 0
        self._most_large = max(1, maximum - max(1, maximum // 4))
        self._stopping = False
        # guards everything above
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the threads that stand by; not needed before submit()."""
        with self._lock:
            while len(self._workers) < self._minimum and not self._stopping:
                self._start_worker_locked(None)

    def set_maximum(self, maximum: int) -> None:
        """Let so many threads run at the same time from now on; threads beyond that go on until they are idle."""
        with self._lock:
            self._maximum = maximum

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def idle(self) -> bool:
        """Whether a thread has nothing to do."""
        return bool(self._idle)

    @property
    def jobs_waiting(self) -> bool:
        """Whether a job waits for a free thread."""
        return bool(self._jobs)

    @property
    def is_full(self) -> bool:
        """Whether every thread that there may be is at work."""
        return not self._idle and len(self._workers) >= self._maximum

    def busy(self) -> int:
        """How many threads are running a job, plus the jobs that wait."""
        with self._lock:
            return sum(1 for worker in self._workers if not worker.waiting) + len(self._jobs) + len(self._large_jobs)

    def submit(self, job: Job, worker: Optional[Worker] = None) -> None:
        """Let a thread run the job as soon as one is free; or let this very one do it."""
        with self._lock:
            if worker in self._workers:
                worker.jobs.append(job)
                if worker.waiting:
                    worker.signal()
            elif self._idle:
                worker = self._idle.pop()
                worker.jobs.append(job)
                worker.signal()
            else:
                self._jobs.append(job)
                if len(self._workers) < self._maximum and not self._stopping:
                    self._grow_locked()

    def begin_large(self) -> bool:
        """Whether the calling thread, one of the pool, may do something that takes long; if so, end_large() is to follow."""
        with self._lock:
            may_begin = self._large_running < self._most_large
            self._large_running += may_begin
            return may_begin

    def submit_large(self, job: Job) -> None:
        """Let a thread run a job that may take long.  A quarter of the threads is never taken by such jobs, so that others
        need not wait for them."""
        with self._lock:
            if self._large_running >= self._most_large:
                self._large_jobs.append(job)
                return
            self._large_running += 1
        self.submit(functools.partial(self._run_large, job))

    def _run_large(self, job: Job) -> None:
        try:
            job()
        finally:
            self.end_large()

    def end_large(self) -> None:
        """Something that takes long is done: begin the next of those that wait."""
        with self._lock:
            if not self._large_jobs:
                self._large_running -= 1
                return
            job = self._large_jobs.popleft()
        self.submit(functools.partial(self._run_large, job))

    def is_worker(self) -> bool:
        """Whether the calling thread belongs to this pool."""
        return threading.current_thread() in self._workers

    def reserve(self) -> Optional[Worker]:
        """Keep the calling thread, one of the pool, for the jobs that are submitted to it by name.

        Returns:
            None if so many are reserved that only the minimum is left for everything else.
        """
        worker = threading.current_thread()
        with self._lock:
            if not isinstance(worker, Worker) or self._reserved >= self._maximum - max(self._minimum, 1):
                return None
            worker.reserved = True
            self._reserved += 1
            return worker

    def release(self, worker: Worker) -> None:
        """Let a reserved thread work for everybody again.  To be called by itself."""
        with self._lock:
            worker.reserved = False
            self._reserved -= 1

    def stop(self, timeout_seconds: float) -> None:
        """Let the threads finish their jobs and end, and wait for that, but no longer than this."""
        with self._lock:
            self._stopping = True
            self._idle.clear()
            workers = list(self._workers)
            for worker in workers:
                if worker.waiting:
                    worker.signal()
        deadline = time.monotonic() + timeout_seconds
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join(max(0.0, deadline - time.monotonic()))

    def _grow_locked(self) -> None:
        """Start a thread for the job that was added last; if the system has none left, one of those there does it."""
        try:
            self._start_worker_locked(self._jobs.pop)
        except RuntimeError as x:
            if len(self._workers) <= self._reserved:
                self._jobs.pop()
                raise
            log.warning("cannot start another thread, the job waits for one of %d: %s", len(self._workers), x)

    def _start_worker_locked(self, take_job: Optional[Callable[[], Job]]) -> None:
        worker = Worker(self, self._name)
        worker.start()  # it waits for the lock, held here, before it looks for a job
        self._workers.add(worker)
        if take_job is None:
            self._idle.append(worker)
            worker.waiting = True
        else:
            worker.jobs.append(take_job())

    def _next_job(self, worker: Worker) -> Optional[Job]:
        """Wait for a job; None if the thread shall end.  Called by the thread itself."""
        while True:
            with self._lock:
                if worker.jobs:
                    return worker.jobs.popleft()
                if self._jobs and (self._stopping or not worker.reserved):
                    return self._jobs.popleft()
                if self._stopping:
                    self._forget_locked(worker)
                    return None
                timeout_seconds = self._begin_waiting_locked(worker)
            if not worker.wait(timeout_seconds) and self._waited_in_vain(worker):
                return None

    def _begin_waiting_locked(self, worker: Worker) -> float:
        """Note that a worker waits; give how many seconds it is worth to."""
        if not worker.waiting:
            worker.waiting = True
            if not worker.reserved:
                self._idle.append(worker)
        return -1 if worker.reserved or len(self._workers) <= self._minimum else IDLE_SECONDS

    def _waited_in_vain(self, worker: Worker) -> bool:
        """A worker has waited long enough: shall it end?"""
        with self._lock:
            if not worker.waiting:  # just now there is something to do
                worker.wait(-1)
                return False
            if len(self._workers) <= self._minimum:
                return False
            self._idle.remove(worker)
            self._forget_locked(worker)
            return True

    def _forget_locked(self, worker: Worker) -> None:
        self._workers.discard(worker)
        self._reserved -= worker.reserved
