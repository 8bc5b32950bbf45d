"""docs/moving-over.md: each name in its table of old and new names is there, and the old one leads to the new one."""
from __future__ import annotations

import importlib
import re
import unittest
from pathlib import Path
from typing import Any, List, Tuple

from Pyro5 import protocol
from tests.compatibility.test_pyro4 import forget_stand_ins
from tests.support import PROJECT

PAGE = Path(PROJECT, "docs", "moving-over.md")
ROW = re.compile(r"^\| `(Pyro4[\w.]*)` \| `(Pyro5[\w.]+)` \|$", re.MULTILINE)
# These have another form than what they are replaced by, or are a module that stands for several.
NOT_THE_SAME = {"Pyro4.core.Proxy", "Pyro4.core.Daemon", "Pyro4.socketutil.getIpAddress", "Pyro4",
                "Pyro4.locateNS", "Pyro4.resolve", "Pyro4.batch", "Pyro4.Daemon.serveSimple", "Pyro4.config",
                "Pyro4.naming.startNS", "Pyro4.naming.startNSloop", "Pyro4.message", "Pyro4.test.echoserver"}


def rows() -> List[Tuple[str, str]]:
    return ROW.findall(PAGE.read_text(encoding="utf-8"))


def named(path: str) -> Any:
    """Return the object of a dotted name: the parts after the last submodule are attributes."""
    parts = path.split(".")
    found = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:number]))
        found = getattr(found, part)
    return found


class Names(unittest.TestCase):
    def setUp(self) -> None:
        forget_stand_ins()
        self.addCleanup(forget_stand_ins)
        importlib.import_module("Pyro5.compatibility.Pyro4")

    def test_old_and_new(self) -> None:
        self.assertGreater(len(rows()), 15)
        for old, new in rows():
            with self.subTest(old):
                if old in NOT_THE_SAME:
                    self.assertTrue(named(old))
                    self.assertTrue(named(new))
                else:
                    self.assertIs(named(new), named(old))

    def test_modules(self) -> None:
        self.assertIs(protocol.SendingMessage, named("Pyro4.message.SendingMessage"))
        self.assertTrue(issubclass(named("Pyro4").Proxy, named("Pyro5.api").Proxy))

    def test_tools(self) -> None:
        setup = Path(PROJECT, "setup.py").read_text(encoding="utf-8")
        for tool in re.findall(r"`(pyro5-[\w-]+)`", PAGE.read_text(encoding="utf-8")):
            self.assertIn('"%s = ' % tool, setup)


if __name__ == "__main__":
    unittest.main()
