"""The pool of workers: it grows with the work up to its maximum, loses no job, shrinks, and ends."""
from __future__ import annotations

import threading
import time
import unittest
from typing import Any, Callable, List, Set
from unittest import mock

from Pyro5._server import workers
from Pyro5._server.workers import WorkerPool

PATIENCE_SECONDS = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a change by another thread that no event announces."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen")
        pause.wait(0.002)


class Gate:
    """Jobs that report when they run, and wait until they are released."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.threads: Set[int] = set()
        self.running = self.most = self.done = 0
        self._lock = threading.Lock()

    def job(self) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.threads.add(threading.get_ident())
        self.entered.release()
        if not self.open.wait(PATIENCE_SECONDS):
            raise AssertionError("the gate was not opened")
        with self._lock:
            self.running -= 1
            self.done += 1

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            if not self.entered.acquire(timeout=PATIENCE_SECONDS):
                raise AssertionError("a job did not start")


class PoolTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.gate = Gate()
        self.pools: List[WorkerPool] = []
        before = set(threading.enumerate())
        self.addCleanup(lambda: self.assertEqual(set(), set(threading.enumerate()) - before))
        self.addCleanup(self.stop_all)

    def stop_all(self) -> None:
        self.gate.open.set()
        for pool in self.pools:
            pool.stop(PATIENCE_SECONDS)

    def pool(self, minimum: int, maximum: int) -> WorkerPool:
        self.pools.append(WorkerPool(minimum, maximum, "test-worker"))
        return self.pools[-1]


class PoolTests(PoolTestCase):
    def test_jobs_submitted_before_a_thread_runs_leave_no_signal(self) -> None:
        pool = self.pool(1, 1)
        with mock.patch.object(workers.Worker, "start"):
            pool.start()
        pool.submit(self.gate.job)
        self.gate.open.set()
        wait = workers.Worker.wait
        late = [self.gate.job]  # submitted while the thread is marked as waiting, but does not wait yet

        def wait_late(worker: workers.Worker, timeout_seconds: float) -> bool:
            if late and timeout_seconds:  # it waits, and does not only discard the signal
                pool.submit(late.pop())
            return wait(worker, timeout_seconds)

        with mock.patch.object(workers.Worker, "wait", wait_late):
            next(iter(pool._workers)).start()
            self.gate.wait_for(2)

    def test_starts_with_the_minimum(self) -> None:
        pool = self.pool(3, 5)
        self.assertEqual(0, len(pool))
        pool.start()
        pool.start()
        self.assertEqual((3, 0, False), (len(pool), pool.busy(), pool.jobs_waiting))

    def test_grows_to_the_maximum_and_no_further(self) -> None:
        pool = self.pool(1, 3)
        for _ in range(7):
            pool.submit(self.gate.job)
        self.gate.wait_for(3)
        self.assertEqual((3, 7, True), (len(pool), pool.busy(), pool.jobs_waiting))
        self.gate.open.set()
        wait_until(lambda: pool.busy() == 0)
        self.assertEqual((7, 3, 3), (self.gate.done, self.gate.most, len(self.gate.threads)))

    def test_works_without_start(self) -> None:
        pool = self.pool(0, 2)
        pool.submit(self.gate.job)
        self.gate.wait_for(1)
        self.assertEqual(1, len(pool))

    def test_an_idle_worker_is_used_before_a_new_one_is_started(self) -> None:
        pool = self.pool(0, 10)
        threads: Set[int] = set()
        for _ in range(20):
            done = threading.Event()

            def job(done: threading.Event = done) -> None:
                threads.add(threading.get_ident())
                done.set()
            pool.submit(job)
            self.assertTrue(done.wait(PATIENCE_SECONDS))
            wait_until(lambda: pool.busy() == 0)
        self.assertEqual(1, len(threads))

    def test_jobs_run_in_order_in_a_single_worker(self) -> None:
        pool = self.pool(1, 1)
        order: List[int] = []
        pool.submit(self.gate.job)
        for number in range(50):
            pool.submit(lambda number=number: order.append(number))  # type: ignore[misc]
        self.gate.open.set()
        wait_until(lambda: pool.busy() == 0)
        self.assertEqual(list(range(50)), order)

    def test_a_job_that_fails_is_logged_and_costs_no_worker(self) -> None:
        pool = self.pool(1, 1)
        failures: List[BaseException] = [ZeroDivisionError("oops"), SystemExit(1), KeyboardInterrupt()]

        def fail() -> None:
            raise failures.pop(0)
        with self.assertLogs("Pyro5.server.workers", "ERROR") as logged:
            for _ in range(3):
                pool.submit(fail)
            pool.submit(self.gate.job)
            self.gate.wait_for(1)
        self.assertEqual(3, len(logged.records))
        self.assertIn("oops", logged.output[0])

    def test_shrinks_to_the_minimum_when_idle(self) -> None:
        with mock.patch.object(workers, "IDLE_SECONDS", 0.02):
            pool = self.pool(2, 6)
            for _ in range(6):
                pool.submit(self.gate.job)
            self.gate.wait_for(6)
            self.assertEqual(6, len(pool))
            self.gate.open.set()
            wait_until(lambda: len(pool) == 2)
            self.gate.open.clear()
            for _ in range(3):
                pool.submit(self.gate.job)
            self.gate.wait_for(3)  # and grows again

    def test_no_job_is_lost_while_workers_start_and_end(self) -> None:
        with mock.patch.object(workers, "IDLE_SECONDS", 0.0001):
            pool = self.pool(0, 8)
            done: List[Any] = []

            def produce() -> None:
                for _ in range(300):
                    pool.submit(lambda: done.append(1))
            producers = [threading.Thread(target=produce) for _ in range(4)]
            for producer in producers:
                producer.start()
            for producer in producers:
                producer.join(PATIENCE_SECONDS)
            wait_until(lambda: len(done) == 1200)
            wait_until(lambda: len(pool) == 0)
        self.assertEqual(0, pool.busy())

    def test_a_job_submitted_just_when_a_worker_times_out(self) -> None:
        pool = self.pool(0, 1)
        pool.submit(self.gate.job)
        self.gate.wait_for(1)
        worker = next(iter(pool._workers))
        real_wait = worker.wait

        def wait(timeout_seconds: float) -> bool:
            worker.wait = real_wait  # type: ignore[method-assign]
            pool.submit(self.gate.job)
            return False
        worker.wait = wait  # type: ignore[method-assign]
        self.gate.open.set()
        self.gate.wait_for(1)
        wait_until(lambda: pool.busy() == 0)
        self.assertEqual((1, {worker.ident}), (len(pool), self.gate.threads))

    def test_is_worker(self) -> None:
        pool, other = self.pool(1, 1), self.pool(1, 1)
        seen: List[Any] = []
        pool.submit(lambda: seen.append((pool.is_worker(), other.is_worker())))
        wait_until(lambda: bool(seen))
        self.assertEqual([(True, False)], seen)
        self.assertFalse(pool.is_worker())


class LargeJobs(PoolTestCase):
    def test_a_quarter_of_the_workers_is_left_for_others(self) -> None:
        pool = self.pool(1, 8)
        for _ in range(20):
            pool.submit_large(self.gate.job)
        self.gate.wait_for(6)
        other = threading.Event()
        pool.submit(other.set)
        self.assertTrue(other.wait(PATIENCE_SECONDS))
        self.assertEqual((6, 20), (self.gate.most, pool.busy()))
        self.gate.open.set()
        wait_until(lambda: self.gate.done == 20)
        self.assertEqual(6, self.gate.most)

    def test_a_single_worker_runs_them(self) -> None:
        pool = self.pool(1, 1)
        self.gate.open.set()
        for _ in range(3):
            pool.submit_large(self.gate.job)
        wait_until(lambda: self.gate.done == 3)

    def test_failed_ones_release_their_slot(self) -> None:
        pool = self.pool(1, 2)
        self.gate.open.set()
        with self.assertLogs("Pyro5.server.workers", "ERROR"):
            for _ in range(3):
                pool.submit_large(lambda: 1 / 0)
            pool.submit_large(self.gate.job)
            wait_until(lambda: self.gate.done == 1)

    def test_stopping(self) -> None:
        pool = self.pool(1, 2)
        for _ in range(4):
            pool.submit_large(self.gate.job)
        self.gate.wait_for(1)
        self.gate.open.set()
        pool.stop(PATIENCE_SECONDS)
        self.assertEqual(4, self.gate.done)


class Owner:
    """The attributes of a connection that the pool uses."""

    def __init__(self) -> None:
        self.worker: Any = None
        self.keeps_worker = True


class Owners(PoolTestCase):
    def run_in(self, pool: WorkerPool, owner: Any) -> Any:
        """Run a job of the owner, and return its thread when that is waiting again."""
        found: List[Any] = []
        pool.submit(lambda: found.append(threading.current_thread()), owner)
        wait_until(lambda: bool(found) and pool.busy() == 0)
        return found[0]

    def owners(self, pool: WorkerPool, count: int) -> List[Owner]:
        owners = [Owner() for _ in range(count)]
        for owner in owners:
            self.run_in(pool, owner)
        return owners

    def test_each_keeps_its_thread(self) -> None:
        pool = self.pool(1, 4)
        owners = self.owners(pool, 4)
        threads = [owner.worker for owner in owners]
        self.assertEqual(4, len(set(threads)))
        for owner in owners[::-1] * 5:
            self.assertIs(threads[owners.index(owner)], self.run_in(pool, owner))

    def test_another_owner_gets_the_thread_that_was_idle_longest(self) -> None:
        pool = self.pool(1, 3)
        owners = self.owners(pool, 3)
        threads = [owner.worker for owner in owners]
        self.run_in(pool, owners[0])
        self.assertIs(threads[1], self.run_in(pool, Owner()))
        self.assertIs(threads[0], self.run_in(pool, owners[0]))
        self.assertIs(threads[2], self.run_in(pool, owners[1]))

    def test_no_thread_is_taken_while_an_owner_is_ending(self) -> None:
        pool = self.pool(1, 3)
        owners = self.owners(pool, 3)
        threads = [owner.worker for owner in owners]
        owners[2].keeps_worker = False

        def end() -> None:
            self.gate.job()
            pool.release(owners[2])
        pool.submit(end, owners[2])
        self.gate.wait_for(1)
        new = Owner()
        pool.submit(lambda: None, new)
        self.assertTrue(pool.jobs_waiting)
        self.gate.open.set()
        wait_until(lambda: pool.busy() == 0)
        self.assertIs(threads[2], new.worker)
        self.assertEqual(threads[:2], [self.run_in(pool, owner) for owner in owners[:2]])

    def test_released_threads_run_all_jobs(self) -> None:
        pool = self.pool(1, 2)
        owners = self.owners(pool, 2)
        thread = owners[0].worker
        pool.release(owners[0])
        pool.release(owners[0])
        self.assertIs(thread, self.run_in(pool, Owner()))

    def test_half_can_be_reserved_and_are_taken_last(self) -> None:
        pool = self.pool(1, 4)
        owners = self.owners(pool, 4)
        threads = [owner.worker for owner in owners]
        self.assertEqual([True, True, False, False], [pool.reserve(owner) for owner in owners])
        self.assertEqual([True, True], [pool.reserve(owner) for owner in owners[:2]])
        self.assertEqual(threads[2:], [self.run_in(pool, Owner()) for _ in range(2)])
        for owner in owners[:2]:
            pool.release(owner)
        self.assertEqual(0, pool._reserved)

    def test_reserved_threads_of_idle_owners_are_taken_when_all_others_are_busy(self) -> None:
        pool = self.pool(1, 2)
        owners = self.owners(pool, 2)
        thread = owners[0].worker
        self.assertTrue(pool.reserve(owners[0]))
        pool.submit(self.gate.job, owners[1])
        self.gate.wait_for(1)
        done = threading.Event()
        pool.submit(done.set, Owner())
        pool.shrink(time.monotonic())
        self.assertTrue(pool.jobs_waiting)
        with mock.patch.object(workers, "RESERVED_SECONDS", 0.0):
            pool.shrink(time.monotonic())
            self.assertTrue(done.wait(PATIENCE_SECONDS))
        self.assertIsNot(thread.owner, owners[0])
        self.assertEqual(0, pool._reserved)

    def test_threads_of_idle_owners_end_when_there_are_more_owners_than_threads(self) -> None:
        crowded: List[bool] = []
        self.pools.append(WorkerPool(1, 4, "test-worker", lambda: bool(crowded)))
        pool = self.pools[0]
        owners = self.owners(pool, 4)
        later = time.monotonic() + 2 * workers.IDLE_SECONDS
        pool.shrink(later)
        self.assertEqual(4, len(pool))
        crowded.append(True)
        pool.shrink(time.monotonic())
        self.assertEqual(4, len(pool))
        pool.shrink(later)
        self.assertEqual(1, len(pool))
        self.assertIsNotNone(self.run_in(pool, owners[0]))

    def test_stopping_waits_for_threads_that_shrinking_has_ended(self) -> None:
        may_end = threading.Event()
        self.addCleanup(may_end.set)
        run = workers.Worker.run

        def end_late(worker: workers.Worker) -> None:
            run(worker)
            if worker is not last:
                may_end.wait(PATIENCE_SECONDS)

        crowded: List[bool] = []
        self.pools.append(WorkerPool(1, 4, "test-worker", lambda: bool(crowded)))
        pool = self.pools[0]
        with mock.patch.object(workers.Worker, "run", end_late):
            threads = [owner.worker for owner in self.owners(pool, 4)]
            last = threads[-1]  # it stays, as one is the minimum
            crowded.append(True)
            pool.shrink(time.monotonic() + 2 * workers.IDLE_SECONDS)
            self.assertEqual(1, len(pool))
            stopping = threading.Thread(target=pool.stop, args=(PATIENCE_SECONDS,))
            stopping.start()
            stopping.join(0.05)
            self.assertTrue(stopping.is_alive())
            may_end.set()
            stopping.join(PATIENCE_SECONDS)
        self.assertEqual([], [thread for thread in threads if thread.is_alive()])

    def test_threads_of_idle_owners_stay_otherwise(self) -> None:
        with mock.patch.object(workers, "IDLE_SECONDS", 0.001):
            pool = self.pool(0, 4)
            owner = self.owners(pool, 1)[0]
            for _ in range(3):
                pool.submit(self.gate.job)
            self.gate.wait_for(3)
            self.gate.open.set()
            wait_until(lambda: len(pool) == 1)
            self.assertEqual({owner.worker}, pool._workers)

    def test_a_thread_that_has_ended_is_replaced(self) -> None:
        pool, other = self.pool(0, 2), self.pool(0, 2)
        owner = self.owners(other, 1)[0]
        other.stop(PATIENCE_SECONDS)
        pool.submit(self.gate.job, owner)
        self.gate.wait_for(1)

    def test_stopping(self) -> None:
        pool = self.pool(1, 2)
        owner = self.owners(pool, 1)[0]
        pool.submit(self.gate.job, owner)
        pool.submit(self.gate.job, owner)
        self.gate.wait_for(1)
        self.gate.open.set()
        pool.stop(PATIENCE_SECONDS)
        self.assertEqual((0, 2), (len(pool), self.gate.done))


class Stopping(PoolTestCase):
    def test_waiting_jobs_are_still_done(self) -> None:
        pool = self.pool(1, 2)
        for _ in range(6):
            pool.submit(self.gate.job)
        self.gate.wait_for(2)
        stopper = threading.Thread(target=pool.stop, args=(PATIENCE_SECONDS,))
        stopper.start()
        self.gate.open.set()
        stopper.join(PATIENCE_SECONDS)
        self.assertEqual((6, 0), (self.gate.done, len(pool)))

    def test_waits_no_longer_than_the_timeout(self) -> None:
        pool = self.pool(1, 1)
        pool.submit(self.gate.job)
        self.gate.wait_for(1)
        pool.stop(0.01)
        self.assertEqual((1, 0), (len(pool), self.gate.done))

    def test_from_inside_a_job(self) -> None:
        pool = self.pool(2, 2)
        stopped = threading.Event()
        pool.start()

        def stop() -> None:
            pool.stop(PATIENCE_SECONDS)
            stopped.set()
        pool.submit(stop)
        self.assertTrue(stopped.wait(PATIENCE_SECONDS))

    def test_twice_and_before_anything(self) -> None:
        pool = self.pool(1, 1)
        pool.stop(PATIENCE_SECONDS)
        pool.start()
        self.assertEqual(0, len(pool))
        pool.stop(PATIENCE_SECONDS)


if __name__ == "__main__":
    unittest.main()
