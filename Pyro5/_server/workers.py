"""A pool of threads that grows with the work and shrinks when it is idle.

A job may have an owner (a client's connection). As long as there are no more owners than threads, all jobs of an owner run in
one thread, which runs no other jobs. Beyond that, threads are taken from the owners that have been idle longest.
"""
from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, List, Optional, Set, Tuple

from .job_queue import Job, JobQueue

log = logging.getLogger("Pyro5.server.workers")

IDLE_SECONDS = 5.0  # how long a thread above the minimum waits for a job before it ends

RESERVED_SECONDS = 5.0  # how long the owner of a reserved thread must be idle before the thread may be taken from it


class Worker(threading.Thread):
    """A thread of a pool. Its attributes belong to the pool, and are guarded by the pool's lock.

    Attributes:
        jobs: what this thread, and no other, runs next.
        owner: the connection whose jobs run here, None: all jobs can. A connection is bound to ``connection.worker``
            if that thread's owner is this connection; when the thread has been taken from it, this is no longer so.
        reserved: the thread is not taken from its owner while that is active.
        waiting: it has nothing to do; the thread that sets this to False also calls signal().
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
        # A bare lock as the signal: a Condition or an Event would allocate another lock for each wait, and take two of them.
        self._signal = threading.Lock()
        self._signal.acquire()

    def signal(self) -> None:
        """Wake the thread. The caller holds the lock of the pool."""
        self.waiting = False
        self._signal.release()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the signal (-1: without a limit). Return False if it did not come in time."""
        return self._signal.acquire(timeout=timeout_seconds)

    def run(self) -> None:
        """Run jobs until the pool has none for this thread any more."""
        # A fork inside a job continues in the child with this thread alone: compared after each job.
        process = os.getpid()
        self.pool._begin_running(self)
        job = self.pool._next_job(self)
        while job is not None:
            try:
                job()
            except BaseException:  # an error in a job must not cost the pool a worker
                log.exception("a worker thread's job failed")
            del job  # it refers to a connection, which must not be kept alive while this thread waits
            if os.getpid() != process:
                return  # the child of a fork inside the job: locks may be held by threads that only the parent has
            job = self.pool._next_job(self)


class WorkerPool:
    """Threads that run jobs, started as they are needed. Thread-safe.

    A job without an owner, or whose owner has no thread yet, goes to the thread that has been idle for the shortest time.

    Args:
        minimum: the number of threads that stay when there is nothing to do.
        maximum: the number of threads that may run at the same time; further jobs wait.
        name: the name of the threads.
        has_more_owners: returns whether there are more owners than threads; may return False while it does not know yet.

    Attributes:
        maximum: the number of threads that may run at the same time. Read without the lock.
        waiting: the jobs that wait for a free thread. Other threads only read whether there are any.
    """

    def __init__(self, minimum: int, maximum: int, name: str, has_more_owners: Callable[[], bool] = lambda: False) -> None:
        self._minimum = minimum
        self.maximum = maximum
        self._name = name
        self._has_more_owners = has_more_owners
        self._jobs = self.waiting = JobQueue()
        self._workers: Set[Worker] = set()
        self._ending: List[Worker] = []  # threads that have left the pool, but may still be running
        self._idle: List[Worker] = []  # waiting threads without an owner
        self._idle_owned: OrderedDict[Worker, None] = OrderedDict()  # waiting threads with an owner, idle longest first
        self._reserved = 0
        self._large_jobs: Deque[Tuple[Job, Any]] = deque()  # large jobs that wait for others to end
        self._large_running = 0
        # At least one large job may run. With two threads or more, one of them never runs any.
        self._max_large = max(1, maximum - max(1, maximum // 4))
        self._stopping = False
        self._has_warned = False
        # Guards everything above, and the attributes of the workers. No job runs while it is held.
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the minimum number of threads. It is not necessary to call this before submit()."""
        with self._lock:
            while len(self._workers) < self._minimum and not self._stopping:
                self._begin_waiting_locked(self._start_worker_locked())

    def set_maximum(self, maximum: int) -> None:
        """Change the maximum. Threads beyond it continue until they are idle."""
        with self._lock:
            self.maximum = maximum

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def idle(self) -> bool:
        """Whether a thread without an owner is waiting. A snapshot, read without the lock, like the next three."""
        return bool(self._idle)

    @property
    def has_free_thread(self) -> bool:
        """Whether a job would get a thread at once, without taking that of an owner."""
        return bool(self._idle) or len(self._workers) < self.maximum

    @property
    def jobs_waiting(self) -> bool:
        """Whether a job waits for a free thread."""
        return not self.waiting.is_empty

    @property
    def is_full(self) -> bool:
        """Whether all threads that may run are running a job."""
        return not self._idle and not self._idle_owned and len(self._workers) >= self.maximum

    def busy(self) -> int:
        """Return the number of threads that are running a job, plus that of waiting jobs."""
        with self._lock:
            # A thread counts as busy from signal() on, before it runs: a job must not be missed at shutdown.
            return sum(1 for worker in self._workers if not worker.waiting) + len(self._jobs) + len(self._large_jobs)

    def waiting_jobs(self) -> int:
        """Return the number of jobs that wait for a thread."""
        with self._lock:
            return len(self._jobs) + len(self._large_jobs)

    def submit(self, job: Job, owner: Any = None, is_long: bool = False) -> None:
        """Run the job in a thread as soon as one is free; if it has an owner with a thread, in that one.

        Args:
            is_long: if it has to wait, other jobs go first, also those that come later.

        Raises:
            RuntimeError: the system cannot start a thread, and the pool has none that could run the job.
        """
        with self._lock:
            worker = None if owner is None else owner.worker
            # Both directions must agree: owner.worker stays set after the thread was taken from the owner.
            if worker is not None and worker.owner is owner and worker in self._workers:
                if worker.waiting:
                    self._assign_locked(worker, job, owner)
                    return
                if worker.reserved or not self._jobs or not self._has_more_owners_locked():
                    worker.jobs.append(job)
                    return
                self._unbind_locked(worker)  # others have been waiting for a thread longer
            # In order: jobs that have been waiting longer get the next threads.
            self._jobs.append(job, owner, is_long)
            self._dispatch_locked()

    def begin_large(self) -> bool:
        """Return whether the calling thread, one of the pool, may run a large job now. If so, end_large() must be
        called afterwards.
        """
        with self._lock:
            may_begin = self._large_running < self._max_large  # a bool is 0 or 1
            self._large_running += may_begin
            return may_begin

    def submit_large(self, job: Job, owner: Any = None) -> None:
        """Run a large job, one that may take long, as submit() does. A quarter of the threads never runs large jobs,
        so that small ones do not have to wait for them.
        """
        with self._lock:
            if self._large_running >= self._max_large:
                self._large_jobs.append((job, owner))
                return
            # Counted when it is queued: otherwise a burst of large jobs could take all threads before the first one begins.
            self._large_running += 1
        self.submit(functools.partial(self._run_large, job), owner, is_long=True)

    def _run_large(self, job: Job) -> None:
        try:
            job()
        finally:
            self.end_large()

    def end_large(self) -> None:
        """Note that a large job has ended: start the next waiting one."""
        # The slot is freed or passed on under one lock, so that there is never a moment with a free slot and a waiting job.
        with self._lock:
            if not self._large_jobs:
                self._large_running -= 1
                return
            # The slot of the ended job passes to this one, so _large_running stays the same.
            job, owner = self._large_jobs.popleft()
        self.submit(functools.partial(self._run_large, job), owner, is_long=True)

    def is_worker(self) -> bool:
        """Return whether the calling thread belongs to this pool."""
        return threading.current_thread() in self._workers

    def bind(self, owner: Any) -> None:
        """Make an owner without a thread the owner of the calling thread, which belongs to the pool and has no owner."""
        worker = threading.current_thread()
        if isinstance(worker, Worker):
            with self._lock:
                worker.owner, owner.worker = owner, worker

    def reserve(self, owner: Any) -> bool:
        """Do not take the owner's thread from it while it is active. At most half of the threads can be reserved.

        Returns:
            whether its thread is reserved now.
        """
        # Read without the lock, because this runs after each call of a client with session objects, and mostly
        # changes nothing.
        worker = owner.worker
        if worker is None or worker.owner is not owner or worker.reserved:
            return worker is not None and worker.owner is owner
        with self._lock:
            # Asked again under the lock: the thread may have been taken from the owner in between.
            if worker.owner is not owner or self._reserved >= self.maximum // 2:
                return False
            worker.reserved = True
            self._reserved += 1
            return True

    def release(self, owner: Any) -> None:
        """Release the owner's thread, if it has one, so that it runs all jobs again."""
        with self._lock:
            worker = owner.worker
            if worker is None or worker.owner is not owner:
                return
            self._unbind_locked(worker)
            if worker.waiting:
                self._idle_owned.pop(worker, None)
                # The thread is free for waiting jobs of all owners at once.
                self._idle.append(worker)
                self._dispatch_locked()

    def shrink(self, now: float) -> None:
        """Release threads of idle owners: hand them to waiting jobs, or end them if there are more owners than threads.

        Call it every few seconds.

        Args:
            now: monotonic seconds.
        """
        with self._lock:
            self._dispatch_locked()
            if not self._idle_owned or not self._has_more_owners_locked():
                return
            # Idle longest first, so the first one that is not idle long enough ends the search.
            for worker in list(self._idle_owned):
                if now - worker.idle_since < IDLE_SECONDS or len(self._workers) <= self._minimum:
                    break
                if not worker.reserved:
                    self._idle_owned.pop(worker)
                    self._forget_locked(worker)
                    worker.signal()

    def stop(self, timeout_seconds: float) -> None:
        """Make the threads finish their jobs and end, and wait for that, but at most this long."""
        with self._lock:
            self._stopping = True
            self._idle.clear()
            self._idle_owned.clear()
            workers = [*self._workers, *self._ending]
            for worker in self._workers:
                if worker.waiting:
                    worker.signal()
        # Without the lock: the threads need it to end. The calling thread may be one of them.
        deadline = time.monotonic() + timeout_seconds
        for worker in workers:
            if worker is not threading.current_thread():
                worker.join(max(0.0, deadline - time.monotonic()))

    def _dispatch_locked(self) -> None:
        """Hand waiting jobs to threads, as long as there are threads for them."""
        while self._jobs:
            worker = self._find_worker_locked()
            if worker is None:
                return
            self._assign_locked(worker, *self._jobs.take())

    def _find_worker_locked(self) -> Optional[Worker]:
        """Return a thread for a waiting job: an idle one, a new one, or that of an idle owner; None if all are busy."""
        # The one that became idle last: its stack and caches are warm, and the others can time out.
        if self._idle:
            return self._idle.pop()
        cannot_start = False
        if len(self._workers) < self.maximum and not self._stopping:
            try:
                return self._start_worker_locked()
            except RuntimeError as x:
                # All threads are reserved, and none of them would ever run the job: the caller has to handle it.
                if len(self._workers) <= self._reserved and self._jobs.remove_newest():
                    raise
                if not self._has_warned:  # only once: on a system that is out of threads this happens all the time
                    log.warning("cannot start another thread, jobs wait for one of %d: %s", len(self._workers), x)
                self._has_warned = True
                cannot_start = True
        if self._idle_owned and (cannot_start or self._has_more_owners_locked()):
            return self._longest_idle_locked()
        return None

    def _longest_idle_locked(self) -> Optional[Worker]:
        """Return the thread whose owner has been idle longest; a reserved one only if there is no other, and after
        some seconds.
        """
        for worker in self._idle_owned:
            if not worker.reserved:
                return worker
        worker = next(iter(self._idle_owned))
        return worker if time.monotonic() - worker.idle_since >= RESERVED_SECONDS else None

    def _has_more_owners_locked(self) -> bool:
        """Return whether there are more owners than threads, so that threads may be taken from owners."""
        if self._has_more_owners():
            return True
        # The owner of the waiting job is one more. Owners that have ended release their threads in a moment, and do not count.
        owners = sum(1 for worker in self._workers if worker.owner is not None and worker.owner.keeps_worker)
        return bool(self._jobs) and owners >= self.maximum

    def _assign_locked(self, worker: Worker, job: Job, owner: Any) -> None:
        """Hand a job to a thread that is waiting or new."""
        if worker.owner is not owner:
            self._bind_locked(worker, owner)
        # The job is in place before the signal: the woken thread finds it under the lock.
        worker.jobs.append(job)
        if worker.waiting:
            self._idle_owned.pop(worker, None)
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
        worker.start()  # before it looks for a job it waits for the lock, which is held here
        self._workers.add(worker)
        return worker

    def _begin_running(self, worker: Worker) -> None:
        """Discard the signal of a job that came before the thread ran. Called by the thread itself.

        start() marks new threads as waiting. If the signal remained, a second one could follow before the thread's next wait:
        a lock cannot be released twice, so the second submit() would raise RuntimeError, and its job would never run.
        """
        with self._lock:
            if not worker.waiting:
                worker.wait(0)

    def _next_job(self, worker: Worker) -> Optional[Job]:
        """Wait for a job; return None if the thread has to end. Called by the thread itself."""
        while True:
            with self._lock:
                if worker.jobs:
                    return worker.jobs.popleft()
                # Taking a job binds this thread to the job's owner, instead of its previous one.
                if self._jobs and self._may_take_locked(worker):
                    job, owner = self._jobs.take()
                    self._bind_locked(worker, owner)
                    return job
                if self._stopping or worker not in self._workers:
                    self._forget_locked(worker)
                    return None
                timeout_seconds = self._begin_waiting_locked(worker)
            if not worker.wait(timeout_seconds) and self._end_if_idle(worker):
                return None

    def _may_take_locked(self, worker: Worker) -> bool:
        """Return whether a thread may run a waiting job of any owner."""
        return self._stopping or worker.owner is None or not worker.reserved and self._has_more_owners_locked()

    def _begin_waiting_locked(self, worker: Worker) -> float:
        """Mark a thread as waiting, and return for how many seconds, -1: without a limit."""
        if not worker.waiting:
            worker.waiting = True
            if worker.owner is None:
                self._idle.append(worker)
            else:
                worker.idle_since = time.monotonic()
                self._idle_owned[worker] = None
        return -1 if worker.owner is not None or len(self._workers) <= self._minimum else IDLE_SECONDS

    def _end_if_idle(self, worker: Worker) -> bool:
        """Return whether a thread has to end whose waiting time has passed. If so, it has left the pool."""
        with self._lock:
            if not worker.waiting:  # a job was assigned just before the lock was acquired: consume its signal
                worker.wait(-1)
                return False
            if worker.owner is not None or len(self._workers) <= self._minimum:
                return False
            self._idle.remove(worker)
            self._forget_locked(worker)
            return True

    def _forget_locked(self, worker: Worker) -> None:
        self._ending = [other for other in self._ending if other.is_alive() and other is not worker]
        self._ending.append(worker)  # stop() waits for it, too
        self._workers.discard(worker)
        self._unbind_locked(worker)
