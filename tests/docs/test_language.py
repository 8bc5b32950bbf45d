"""The documentation is plain technical English: the words that docstrings avoid are not in the pages either.

Code in the pages is not checked here. The docstrings and comments of the examples are checked like those of the package.
"""
from __future__ import annotations

import ast
import unittest
from pathlib import Path
from typing import List

from tests.docs.test_links import CODE
from tests.support import PROJECT
from tests.test_layers import VAGUE_WORDS, Module, vague_language

# Relative to the project's folder; folders mean all pages in them.
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "README.md", "docs", "examples")


def pages() -> List[Path]:
    """Return the paths of all pages."""
    paths = [Path(PROJECT, name) for name in PAGES]
    return [page for path in paths for page in (sorted(path.glob("**/*.md")) if path.is_dir() else [path])]


def vague_words(text: str) -> List[str]:
    """Return the vague words in the text outside of code, with their line numbers."""
    prose = CODE.sub(lambda code: "\n" * code[0].count("\n"), text)
    return ["line %d: %s" % (prose.count("\n", 0, found.start()) + 1, found[0]) for found in VAGUE_WORDS.finditer(prose)]


class Language(unittest.TestCase):
    def test_pages_are_plain_technical_english(self) -> None:
        for page in pages():
            with self.subTest(page.relative_to(PROJECT)):
                self.assertEqual([], vague_words(page.read_text(encoding="utf-8")))

    def test_examples_are_plain_technical_english(self) -> None:
        for path in sorted(Path(PROJECT, "examples").glob("*/*.py")):
            name, source = "%s.%s" % (path.parent.name, path.stem), path.read_text(encoding="utf-8")
            with self.subTest(name):
                self.assertEqual([], list(vague_language(Module(name, False, 0, ast.parse(source), source))))

    def test_vague_words_are_found(self) -> None:
        self.assertEqual(["line 2: nobody", "line 7: so\nmany"],
                         vague_words("Text\nthat nobody reads\n```\nnobody()\n```\n`somebody`\nso\nmany"))


if __name__ == "__main__":
    unittest.main()
