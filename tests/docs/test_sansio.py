"""The trio client of docs/sansio.md, where trio is installed."""
from __future__ import annotations

import contextlib
import importlib.util
import io
import unittest
from pathlib import Path
from typing import Any, Dict

from tests.docs.test_code import blocks, expected_output
from tests.support import PROJECT

HAS_TRIO = importlib.util.find_spec("trio") is not None


class TrioClient(unittest.TestCase):
    @unittest.skipUnless(HAS_TRIO, "trio is not installed")
    def test_it_does_what_its_comments_say(self) -> None:
        namespace: Dict[str, Any] = {"__name__": "sansio"}
        *before, last = blocks(Path(PROJECT, "docs", "sansio.md"))
        try:
            for block in before:
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(compile(block.code, "docs/sansio.md", "exec"), namespace)
                self.assertEqual(expected_output(block.code), out.getvalue().splitlines())
        finally:
            exec(compile(last.code, "docs/sansio.md", "exec"), namespace)

    def test_its_size(self) -> None:
        code = "".join([block.code for block in blocks(Path(PROJECT, "docs", "sansio.md")) if "class " in block.code][1:])
        self.assertLess(len([line for line in code.splitlines() if line.strip()]), 165)


if __name__ == "__main__":
    unittest.main()
