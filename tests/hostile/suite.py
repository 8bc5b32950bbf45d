"""The tests that make all attacks, for a server type. They stand in two modules, so that two processes share the work."""
from __future__ import annotations

from typing import Any

from . import attack, catalogue
from .target import Target


class Groups:
    """Base of the test cases. One server process for all tests: what one attack leaves behind meets the next one."""

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
                attack.run(one, self.target)
        self.target.probe()

    def test_9_nothing_is_left(self: Any) -> None:
        self.target.release()
        self.target.wait_for_files(self.before.files)
        self.target.release_memory()
        allowed = self.before.memory + attack.MORE_MEMORY_AFTER + attack.KEPT_BY_THREADS
        self.assertLess(self.target.state().memory, allowed)


class Attacks(Groups):
    """All groups that take little time."""

    def test_1_stalling(self) -> None:
        self.make("stalling")

    def test_2_encrypted(self) -> None:
        self.make("encrypted")

    def test_3_headers(self) -> None:
        self.make("headers")

    def test_4_payloads(self) -> None:
        self.make("payloads")

    def test_4_buffers(self) -> None:
        self.make("buffers")

    def test_6_crowds(self) -> None:
        self.make("crowds")

    def test_8_traps(self) -> None:
        self.make("traps")

    def test_8b_access(self) -> None:
        self.make("access")
