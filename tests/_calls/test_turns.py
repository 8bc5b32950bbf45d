"""Turns: one thread at a time, with a bounded wait."""
from __future__ import annotations

import threading
import unittest
from Pyro5._calls.decoding import Turns
from typing import List


from ..support import PATIENCE_SECONDS


class TurnsTests(unittest.TestCase):
    def test_one_at_a_time(self) -> None:
        turns = Turns(PATIENCE_SECONDS)
        inside: List[int] = []
        most: List[int] = []

        def work(number: int) -> None:
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)
        threads = [threading.Thread(target=turns.run, args=(work, number)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual([1] * 20, most)

    def test_a_thread_that_has_waited_long_enough_continues(self) -> None:
        turns = Turns(0.01)
        self.assertEqual(1, turns.run(turns.run, int, "1"))
        self.assertEqual(2, turns.run(int, "2"))

    def test_an_exception_ends_the_turn(self) -> None:
        turns = Turns(PATIENCE_SECONDS)
        with self.assertRaises(KeyError):
            turns.run({}.pop, "missing")
        self.assertEqual(1, turns.run(int, "1"))


if __name__ == "__main__":
    unittest.main()
