"""The catalogue of attacks, against servers of both types; nobody else notices any of them."""
from __future__ import annotations

import unittest
from typing import Any

from .hostile import attack, catalogue
from .hostile.target import Target
from .support import PATIENCE_SECONDS


class Attacks:
    """One process for all tests: what one attack leaves behind meets the next one."""

    servertype = ""
    target: Target

    @classmethod
    def setUpClass(cls: Any) -> None:
        cls.target = Target(cls.servertype)
        cls.target.__enter__()
        cls.addClassCleanup(cls.target.__exit__, None)
        cls.before = cls.target.state()

    def make(self: Any, group: str) -> None:
        for one in catalogue.GROUPS[group]:
            with self.subTest(one.name):
                outcome = attack.run(one, self.target)
                self.assertLess(outcome.seconds, PATIENCE_SECONDS)

    def test_1_stalling(self) -> None:
        self.make("stalling")

    def test_2_encrypted(self) -> None:
        self.make("encrypted")

    def test_3_headers(self) -> None:
        self.make("headers")

    def test_4_payloads(self) -> None:
        self.make("payloads")

    def test_5_bombs(self) -> None:
        self.make("bombs")

    def test_6_crowds(self) -> None:
        self.make("crowds")

    def test_7_nothing_is_left(self: Any) -> None:
        self.target.release()
        self.target.wait_for_files(self.before.files)
        self.assertLess(self.target.state().memory, self.before.memory + attack.MORE_MEMORY_AFTER)


class AttacksOnThread(Attacks, unittest.TestCase):
    servertype = "thread"


class AttacksOnMultiplex(Attacks, unittest.TestCase):
    servertype = "multiplex"


if __name__ == "__main__":
    unittest.main()
