"""Deadlines of connections: order, restart and removal, with times as arguments."""
from __future__ import annotations

import unittest
from typing import Any

from Pyro5._server.quotas import Deadlines


class DeadlineTests(unittest.TestCase):
    earliest_deadline = 1e9

    def setUp(self) -> None:
        self.deadlines: Any = Deadlines(10, self)

    def test_empty(self) -> None:
        self.assertIsNone(self.deadlines.next_deadline())
        self.assertEqual([], self.deadlines.pop_expired(1e9))

    def test_expired_ones_are_removed_once_and_in_order(self) -> None:
        for name, now in (("a", 100), ("b", 101), ("c", 105)):
            self.deadlines.start(name, now)
        self.assertEqual(110, self.deadlines.next_deadline())
        self.assertEqual([], self.deadlines.pop_expired(109.9))
        self.assertEqual(["a", "b"], self.deadlines.pop_expired(111))
        self.assertEqual([], self.deadlines.pop_expired(111))
        self.assertEqual(115, self.deadlines.next_deadline())
        self.assertEqual([False, False, True], [name in self.deadlines for name in "abc"])

    def test_a_restart_moves_to_the_end(self) -> None:
        self.deadlines.start("a", 100)
        self.deadlines.start("b", 101)
        self.deadlines.start("a", 105)
        self.assertEqual(111, self.deadlines.next_deadline())
        self.assertEqual(110, self.earliest_deadline)  # a lower bound
        self.assertEqual(["b"], self.deadlines.pop_expired(114))
        self.assertEqual(["a"], self.deadlines.pop_expired(115))

    def test_stopping(self) -> None:
        self.deadlines.start("a", 100)
        self.deadlines.stop("a")
        self.deadlines.stop("a")
        self.assertFalse("a" in self.deadlines)
        self.assertIsNone(self.deadlines.next_deadline())

    def test_zero_seconds_never_expire(self) -> None:
        self.deadlines = Deadlines(0, self)
        self.deadlines.start("a", 100)
        self.assertIsNone(self.deadlines.next_deadline())
        self.assertEqual([], self.deadlines.pop_expired(1e9))


if __name__ == "__main__":
    unittest.main()
