"""
A pool of threads that grows with the work and shrinks when it is idle.

A job may have an owner (a client's connection).  All jobs of an owner run in one thread, which runs nothing else, as long as
there are no more owners than threads; beyond that, threads are taken from the owners that have been idle longest.
"""
from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, List, Optional, Set, Tuple

log = logging.getLogger("Pyro5.server.workers")

IDLE_SECONDS = 5.0  # how long a thread above the minimum waits for work before it ends

RESERVED_SECONDS = 5.0  # how long the owner of a reserved thread must be idle before the thread may be taken from it

Job = Callable[[], object]


class Worker(threading.Thread):
    """One thread of a pool.  Its fields belong to the pool, and are guarded by the pool's lock.

    Attributes:
        jobs: what this thread, and no other, is to do next.
        owner: the connection whose jobs run here, None: any job may.  A connection is bound to ``connection.worker`` if that
            thread's owner is this connection; once the thread was taken from it, this is not so any more.
        reserved: the thread is not taken from its owner as long as that is active.
        waiting: it has nothing to do; the thread that changes that gives the signal.
        idle_since: when it began to wait (monotonic seconds).
    """

    def __init__(self, pool: WorkerPool, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.pool = pool
        self.jobs: Deque[Job] = deque()
        self.owner: Any = None
        self.reserved = False
        self.waiting = False
        self.idle_since = 0.0
        self._signal = threading.Lock()
        self._signal.acquire()

    def signal(self) -> None:
        """End its waiting."""
        self.waiting = False
        self._signal.release()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the signal (-1: for ever); False if it did not come in time."""
        return self._signal.acquire(timeout=timeout_seconds)

    def consume_signal(self) -> None:
        """Discard the signal, if there is one."""
        self._signal.acquire(blocking=False)

    def run(self) -> None:
        """Do jobs until the pool has none for this thread any more."""
        process = os.getpid()
        self.pool._begin_running(self)
        job = self.pool._next_job(self)
        while job is not None:
            try:
                job()
            except BaseException:  # border of a thread: a fault in a job must not cost the pool a worker
                log.exception("a worker thread's job failed")
            del job
            if os.getpid() != process:
                return  # the job has forked, and this is the child: locks may be held by threads that are not here
            job = self.pool._next_job(self)


class WorkerPool:
    """Threads that run jobs, started as they are needed.  Thread-safe.

    A job without an owner, or whose owner has no thread yet, goes to the thread that has been idle for the shortest time.

    Args:
        minimum: this many threads stay when there is nothing to do.
        maximum: at most so many run at the same time; further jobs wait.
        name: what the threads are called.
        is_crowded: returns whether there are more owners than threads; may also return False when it does not know yet.
    """

    def __init__(self, minimum: int, maximum: int, name: str, is_crowded: Callable[[], bool] = lambda: False) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._name = name
        self._is_crowded = is_crowded
        self._jobs: Deque[Tuple[Job, Any]] = deque()  # with their owners
        self._workers: Set[Worker] = set()
        self._ending: List[Worker] = []  # threads that have left the pool, and may run for another moment
        self._idle: List[Worker] = []  # threads without an owner that wait
        self._resting: OrderedDict[Worker, None] = OrderedDict()  # those with an owner that wait, idle longest first
        self._reserved = 0
        self._large_jobs: Deque[Tuple[Job, Any]] = deque()  # those that wait for other large ones to end
        self._large_running = 0
        self._most_large = max(1, maximum - max(1, maximum // 4))
        self._stopping = False
        self._has_warned = False
        # guards everything above
        self._lock = threading.Lock()

    @property
    def maximum(self) -> int:
        """How many threads there may be."""
        return self._maximum

    def start(self) -> None:
        """Start the threads that stand by; not needed before submit()."""
        with self._lock:
            while len(self._workers) < self._minimum and not self._stopping:
                self._begin_waiting_locked(self._start_worker_locked())

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
        return not self._idle and not self._resting and len(self._workers) >= self._maximum

    def busy(self) -> int:
        """How many threads are running a job, plus the jobs that wait."""
        with self._lock:
            return sum(1 for worker in self._workers if not worker.waiting) + len(self._jobs) + len(self._large_jobs)

    def submit(self, job: Job, owner: Any = None) -> None:
        """Run the job in a thread as soon as one is free; if it has an owner, in the owner's thread.

        Raises:
            RuntimeError: the system has no thread left, and there is none that could run the job.
        """
        with self._lock:
            worker = None if owner is None else owner.worker
            if worker is not None and worker.owner is owner and worker in self._workers:
                if worker.waiting:
                    self._assign_locked(worker, job, owner)
                    return
                if worker.reserved or not self._jobs or not self._crowded_locked():
                    worker.jobs.append(job)
                    return
                self._unbind_locked(worker)  # others have been waiting for a thread before
            self._jobs.append((job, owner))
            self._dispatch_locked()

    def begin_large(self) -> bool:
        """Whether the calling thread, one of the pool, may do something that takes long; if so, end_large() is to follow."""
        with self._lock:
            may_begin = self._large_running < self._most_large
            self._large_running += may_begin
            return may_begin

    def submit_large(self, job: Job, owner: Any = None) -> None:
        """Let a thread run a job that may take long.  A quarter of the threads is never taken by such jobs, so that others
        need not wait for them."""
        with self._lock:
            if self._large_running >= self._most_large:
                self._large_jobs.append((job, owner))
                return
            self._large_running += 1
        self.submit(functools.partial(self._run_large, job), owner)

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
            job, owner = self._large_jobs.popleft()
        self.submit(functools.partial(self._run_large, job), owner)

    def is_worker(self) -> bool:
        """Whether the calling thread belongs to this pool."""
        return threading.current_thread() in self._workers

    def bind(self, owner: Any) -> None:
        """Make an owner without a thread the owner of the calling thread, which is one of the pool and has no owner."""
        worker = threading.current_thread()
        if isinstance(worker, Worker):
            with self._lock:
                worker.owner, owner.worker = owner, worker

    def reserve(self, owner: Any) -> bool:
        """Do not take the owner's thread from it as long as it is active.  At most half of the threads can be reserved.

        Returns:
            whether its thread is reserved now.
        """
        worker = owner.worker
        if worker is None or worker.owner is not owner or worker.reserved:
            return worker is not None and worker.owner is owner
        with self._lock:
            if worker.owner is not owner or self._reserved >= self._maximum // 2:
                return False
            worker.reserved = True
            self._reserved += 1
            return True

    def release(self, owner: Any) -> None:
        """Let the owner's thread, if it has one, work for all others again."""
        with self._lock:
            worker = owner.worker
            if worker is None or worker.owner is not owner:
                return
            self._unbind_locked(worker)
            if worker.waiting:
                self._resting.pop(worker, None)
                self._idle.append(worker)
                self._dispatch_locked()

    def shrink(self, now: float) -> None:
        """Take threads back from owners that are idle: for jobs that wait, and if there are more owners than threads, to end
        them.  To be called every few seconds, with the monotonic time."""
        with self._lock:
            self._dispatch_locked()
            if not self._resting or not self._crowded_locked():
                return
            for worker in list(self._resting):
                if now - worker.idle_since < IDLE_SECONDS or len(self._workers) <= self._minimum:
                    break
                if not worker.reserved:
                    self._resting.pop(worker)
                    self._forget_locked(worker)
                    worker.signal()

    def stop(self, timeout_seconds: float) -> None:
        """Let the threads finish their jobs and end, and wait for that, but no longer than this."""
        with self._lock:
            self._stopping = True
            self._idle.clear()
            self._resting.clear()
            workers = [*self._workers, *self._ending]
            for worker in self._workers:
                if worker.waiting:
                    worker.signal()
        deadline = time.monotonic() + timeout_seconds
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join(max(0.0, deadline - time.monotonic()))

    def _dispatch_locked(self) -> None:
        """Hand the jobs that wait to threads, as long as there are some that may run them."""
        while self._jobs:
            worker = self._find_worker_locked()
            if worker is None:
                return
            self._assign_locked(worker, *self._jobs.popleft())

    def _find_worker_locked(self) -> Optional[Worker]:
        """Return a thread for a job that waits: an idle one, a new one, or one of an idle owner; None if all are at work."""
        if self._idle:
            return self._idle.pop()
        has_failed = False
        if len(self._workers) < self._maximum and not self._stopping:
            try:
                return self._start_worker_locked()
            except RuntimeError as x:
                if len(self._workers) <= self._reserved:
                    self._jobs.pop()
                    raise
                if not self._has_warned:  # once: on a system without threads this happens all the time
                    log.warning("cannot start another thread, jobs wait for one of %d: %s", len(self._workers), x)
                self._has_warned = True
                has_failed = True
        if self._resting and (has_failed or self._crowded_locked()):
            return self._longest_idle_locked()
        return None

    def _longest_idle_locked(self) -> Optional[Worker]:
        """Return the thread whose owner has been idle longest; a reserved one only if there is no other."""
        for worker in self._resting:
            if not worker.reserved:
                return worker
        worker = next(iter(self._resting))
        return worker if time.monotonic() - worker.idle_since >= RESERVED_SECONDS else None

    def _crowded_locked(self) -> bool:
        """Return whether there are more owners than threads, so that threads may be taken from owners."""
        if self._is_crowded():
            return True
        # The one whose job waits is one more.  Owners that have ended give their threads back in a moment.
        owners = sum(1 for worker in self._workers if worker.owner is not None and worker.owner.keeps_worker)
        return bool(self._jobs) and owners >= self._maximum

    def _assign_locked(self, worker: Worker, job: Job, owner: Any) -> None:
        """Hand a job to a thread that waits, or is new."""
        if worker.owner is not owner:
            self._bind_locked(worker, owner)
        worker.jobs.append(job)
        if worker.waiting:
            self._resting.pop(worker, None)
            worker.signal()

    def _bind_locked(self, worker: Worker, owner: Any) -> None:
        self._unbind_locked(worker)
        worker.owner = owner
        if owner is not None:
            owner.worker = worker

    def _unbind_locked(self, worker: Worker) -> None:
        worker.owner = None
        self._reserved -= worker.reserved
        worker.reserved = False

    def _start_worker_locked(self) -> Worker:
        worker = Worker(self, self._name)
        worker.start()  # it waits for the lock, held here, before it looks for a job
        self._workers.add(worker)
        return worker

    def _begin_running(self, worker: Worker) -> None:
        """Consume the signal of a job that came before the thread ran.  Called by the thread itself.

        start() marks new threads as waiting.  Left over, the signal would meet a second one before the thread's next wait:
        a lock cannot be released twice, so the second submit() would raise RuntimeError, and its job would never run.
        """
        with self._lock:
            if not worker.waiting:
                worker.consume_signal()

    def _next_job(self, worker: Worker) -> Optional[Job]:
        """Wait for a job; None if the thread shall end.  Called by the thread itself."""
        while True:
            with self._lock:
                if worker.jobs:
                    return worker.jobs.popleft()
                if self._jobs and self._may_take_locked(worker):
                    job, owner = self._jobs.popleft()
                    self._bind_locked(worker, owner)
                    return job
                if self._stopping or worker not in self._workers:
                    self._forget_locked(worker)
                    return None
                timeout_seconds = self._begin_waiting_locked(worker)
            if not worker.wait(timeout_seconds) and self._waited_in_vain(worker):
                return None

    def _may_take_locked(self, worker: Worker) -> bool:
        """Return whether a thread may run a job that waits, of any owner."""
        return self._stopping or worker.owner is None or not worker.reserved and self._crowded_locked()

    def _begin_waiting_locked(self, worker: Worker) -> float:
        """Note that a thread waits; return for how many seconds, -1: without a limit."""
        if not worker.waiting:
            worker.waiting = True
            if worker.owner is None:
                self._idle.append(worker)
            else:
                worker.idle_since = time.monotonic()
                self._resting[worker] = None
        return -1 if worker.owner is not None or len(self._workers) <= self._minimum else IDLE_SECONDS

    def _waited_in_vain(self, worker: Worker) -> bool:
        """A worker has waited long enough: shall it end?"""
        with self._lock:
            if not worker.waiting:  # just now there is something to do
                worker.wait(-1)
                return False
            if worker.owner is not None or len(self._workers) <= self._minimum:
                return False
            self._idle.remove(worker)
            self._forget_locked(worker)
            return True

    def _forget_locked(self, worker: Worker) -> None:
        self._ending = [other for other in self._ending if other.is_alive() and other is not worker]
        self._ending.append(worker)  # stop() waits for it too
        self._workers.discard(worker)
        self._unbind_locked(worker)
