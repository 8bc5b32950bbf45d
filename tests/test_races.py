"""Threads at all shared tables at the same time; ``python -m tests.races`` takes many more steps."""
from __future__ import annotations

import re
import unittest
from pathlib import Path

from . import races
from .support import PROJECT

STEPS = 40
NOT_IN_THE_TABLE = {"names in an sql database", "names in a dbm database", "copies of a proxy"}


class Races(unittest.TestCase):
    def test_all(self) -> None:
        for title, race in races.RACES.items():
            with self.subTest(title):
                race(STEPS)

    def test_every_documented_table_has_a_race(self) -> None:
        text = (Path(PROJECT) / "docs" / "architecture.md").read_text(encoding="utf-8")
        table = text.split("| shared state | home | guarded by |")[1].split("\n\n")[0]
        documented = set(re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)) - {"---"}
        self.assertEqual(documented, set(races.RACES) - NOT_IN_THE_TABLE)

    def test_a_lost_race_is_noticed(self) -> None:
        counts = [0]

        def step(thread: int, number: int) -> None:
            counts[0] += 1
            races.check(counts[0] < 20, "too many")
        with self.assertRaisesRegex(AssertionError, "too many"):
            races.in_threads(10, step)


if __name__ == "__main__":
    unittest.main()
