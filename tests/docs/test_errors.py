"""docs/errors.md has every exception class of Pyro5.errors, each with code that raises it (which `test_code` runs)."""
from __future__ import annotations

import re
import unittest
from pathlib import Path
from typing import Dict, List

from Pyro5 import errors
from tests.docs.test_code import RAISED, blocks
from tests.support import PROJECT

PAGE = Path(PROJECT, "docs", "errors.md")
CLASSES = [name for name in errors.__all__ if isinstance(getattr(errors, name), type)]


def tree_of_the_page() -> Dict[str, str]:
    """Return the base class of each class in the tree of the page."""
    drawn = re.findall(r"^ {4}( *)(?:\+-- )?(\w+)$", PAGE.read_text(encoding="utf-8").partition("## ")[0], re.MULTILINE)
    above: List[str] = []
    bases = {}
    for indentation, name in drawn:
        depth = (len(indentation) + 4) // 5
        above[depth:] = [name]
        if depth:
            bases[name] = above[depth - 1]
    return bases


class ErrorsPage(unittest.TestCase):
    def test_tree(self) -> None:
        self.assertEqual({name: getattr(errors, name).__base__.__name__ for name in CLASSES}, tree_of_the_page())

    def test_every_class_has_its_part_and_is_raised_there(self) -> None:
        text = PAGE.read_text(encoding="utf-8")
        self.assertEqual(CLASSES, re.findall(r"^### (\w+)$", text, re.MULTILINE))
        parts = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
        for name, part in zip(CLASSES, parts):
            raised = {match["error"] for match in map(RAISED.search, part.splitlines()) if match}
            self.assertEqual({name}, raised)
        self.assertFalse([block for block in blocks(PAGE) if block.excuse])


if __name__ == "__main__":
    unittest.main()
