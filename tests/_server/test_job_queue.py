"""The order of jobs that wait for a thread."""
from __future__ import annotations

import unittest
from typing import List

from Pyro5._server.job_queue import SHORT_IN_A_ROW, JobQueue


def _job() -> None:
    """Do nothing."""


class Order(unittest.TestCase):
    def setUp(self) -> None:
        self.queue = JobQueue()

    def add(self, *owners: str) -> None:
        """Add jobs; those whose owner has a name in upper case are long."""
        for owner in owners:
            self.queue.append(_job, owner, owner.isupper())

    def taken(self) -> List[str]:
        return [self.queue.take()[1] for _ in range(len(self.queue))]

    def test_jobs_of_one_kind_keep_their_order(self) -> None:
        self.add("a", "b", "c")
        self.assertEqual(["a", "b", "c"], self.taken())
        self.add("A", "B", "C")
        self.assertEqual(["A", "B", "C"], self.taken())

    def test_short_jobs_come_before_long_ones(self) -> None:
        self.add("A", "B", "c", "C", "d")
        self.assertEqual(["c", "d", "A", "B", "C"], self.taken())

    def test_many_short_jobs_do_not_stop_a_long_one(self) -> None:
        self.add("A", *"s" * 20)
        self.assertEqual(SHORT_IN_A_ROW, self.taken().index("A"))

    def test_short_jobs_count_only_while_a_long_one_waits(self) -> None:
        self.add(*"s" * 20)
        self.taken()
        self.add("A", "b")
        self.assertEqual(["b", "A"], self.taken())

    def test_an_empty_queue(self) -> None:
        self.assertFalse(self.queue)
        self.assertTrue(self.queue.is_empty)
        with self.assertRaises(IndexError):
            self.queue.take()

    def test_the_newest_job_can_be_removed(self) -> None:
        self.add("a", "B", "c")
        self.assertTrue(self.queue.remove_newest())
        self.assertEqual(["a", "B"], self.taken())
        self.add("a", "B")
        self.assertTrue(self.queue.remove_newest())
        self.assertFalse(self.queue.remove_newest())
        self.assertFalse(self.queue.is_empty)
        self.assertEqual(["a"], self.taken())
        self.assertTrue(self.queue.is_empty)
        self.add("a")
        self.assertTrue(self.queue.remove_newest())
        self.assertTrue(self.queue.is_empty)

    def test_a_job_that_was_taken_is_not_removed(self) -> None:
        self.add("A", "b")
        self.assertEqual("b", self.queue.take()[1])
        self.assertFalse(self.queue.remove_newest())
        self.assertEqual(["A"], self.taken())


if __name__ == "__main__":
    unittest.main()
