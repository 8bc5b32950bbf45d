"""docs/features.md: what it names exists, and no row is without a test."""
from __future__ import annotations

import importlib
import re
import unittest
from pathlib import Path
from typing import Any, List, NamedTuple

from tests.docs.test_links import problem_of_link
from tests.support import PROJECT

DOCS = Path(PROJECT, "docs")
COLUMNS = ("feature", "explained", "test", "example")
VARIANTS = "Thread", "Multiplex", "Fork", "Spawn"  # what a class may be made for several times


class Row(NamedTuple):
    feature: str
    explained: str
    test: str
    example: str


def rows() -> List[Row]:
    """Return all rows of all tables, without the headings."""
    cells = [tuple(cell.strip() for cell in line.strip("|\n").split("|"))
             for line in (DOCS / "features.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [Row(*each) for each in cells if each != COLUMNS and set("".join(each)) != {"-"}]


def members_named(path: str) -> List[Any]:
    """Find a test module, class or method below ``tests``; all of them, where a class is made for each server type.

    Raises:
        LookupError: it is not there.
    """
    parts = path.split(".")
    depth = next((number for number in range(len(parts), 0, -1)
                  if Path(PROJECT, "tests", *parts[:number]).with_suffix(".py").is_file()), 0)
    if not depth:
        raise LookupError(path)
    module = importlib.import_module("tests." + ".".join(parts[:depth]))
    if len(parts) == depth:
        return [module]
    class_name = parts[depth]
    names = [class_name + each for each in VARIANTS if hasattr(module, class_name + each)] or [class_name]
    try:
        classes = [getattr(module, name) for name in names]
        return [getattr(clazz, method) for clazz in classes for method in parts[depth + 1:]] or classes
    except AttributeError as x:
        raise LookupError(path) from x


def is_test(member: Any) -> bool:
    """Return whether the member is a test, or a class that contains tests."""
    if callable(member) and not isinstance(member, type):
        return bool(member.__name__.startswith("test"))
    if isinstance(member, type):
        return any(name.startswith("test") for name in dir(member))
    return unittest.defaultTestLoader.loadTestsFromModule(member).countTestCases() > 0


class FeaturesTests(unittest.TestCase):
    def test_rows(self) -> None:
        self.assertGreater(len(rows()), 100)
        features = [(row.feature, row.test) for row in rows()]
        self.assertEqual(len(features), len(set(features)))

    def test_every_row_has_tests_that_exist(self) -> None:
        for row in rows():
            with self.subTest(row.feature):
                names = re.findall(r"`([\w.]+)`", row.test)
                self.assertEqual(row.test, ", ".join("`%s`" % name for name in names))
                self.assertTrue(names)
                for name in names:
                    self.assertTrue(all(map(is_test, members_named(name))), name)

    def test_every_explanation_is_there(self) -> None:
        for row in rows():
            with self.subTest(row.feature):
                link = re.match(r"\[[\w.]+\]\(([\w.-]+(?:#[\w-]+)?)\)$", row.explained)
                if link:
                    self.assertIsNone(problem_of_link(DOCS, link[1]))
                    continue
                module = re.match(r"`pydoc (Pyro5[\w.]+)`$", row.explained)
                self.assertTrue(module, row.explained)
                self.assertTrue(importlib.import_module(module[1] if module else "").__doc__)

    def test_every_example_is_there(self) -> None:
        for row in rows():
            self.assertTrue(row.example == "-" or Path(PROJECT, "examples", row.example, "README.md").is_file(), row)

    def test_what_is_missing_is_found(self) -> None:
        for name in ("test_nothing", "test_uri.Nothing", "test_uri.Forms.test_nothing", "test_loop.SlowClients.test_no"):
            with self.assertRaises(LookupError):
                members_named(name)
        self.assertEqual(2, len(members_named("_server.test_loop.SlowClients.test_silent_clients")))
        self.assertFalse(is_test(members_named("support")[0]))


if __name__ == "__main__":
    unittest.main()
