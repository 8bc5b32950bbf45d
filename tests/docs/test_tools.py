"""docs/tools.md: its console sessions run as they stand there, and every option of every tool is in the documentation."""
from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import tempfile
import unittest
from pathlib import Path
from typing import Dict, List, Tuple

from Pyro5 import __main__ as tools
from Pyro5 import config
from tests.support import PROJECT, ToolProcess, run_main
from tests.test_main import INSTALLED

DOCS = Path(PROJECT, "docs")
PAGE = (DOCS / "tools.md").read_text(encoding="utf-8")
WRITTEN_URI = "PYRO:till@localhost:4400"
# Where the options of these are explained; those of all others are in tools.md.
OTHER_PAGES = {"ns": "nameserver.md", "nsc": "nameserver.md", "http": "http.md"}


def sessions() -> List[Tuple[str, str]]:
    """Return all commands of the page, each with the output that the page shows."""
    found: List[Tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        for command, output in re.findall(r"^\$ pyro5 ([^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", block, re.MULTILINE):
            found.append((command, output))
    return found


class Sessions(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.BROADCAST_ADDRS = []
        self.addCleanup(os.chdir, os.getcwd())
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        code = re.search(r"named `till\.py`:\n\n```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
        assert code is not None
        Path(folder.name, "till.py").write_text(code[1], encoding="utf-8")
        self.server = ToolProcess("Pyro5", "serve", "till:Till", "--name", "till", "-H", "127.0.0.1", cwd=folder.name)
        self.addCleanup(self.server.__exit__)

    def test_commands_print_what_the_page_says(self) -> None:
        uri = self.server.read_until("Serving till:Till; Ctrl-C stops it.")[0].partition("URI = ")[2]
        commands = sessions()
        self.assertEqual(len(commands), 8)
        for command, expected in commands:
            result = run_main(tools.main, *(uri if word == WRITTEN_URI else word for word in shlex.split(command)))
            printed = (result.out + result.err).replace(uri, WRITTEN_URI).replace("127.0.0.1 is", "localhost is")
            with self.subTest(command):
                self.assertTrue(doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS), printed)
        self.assertEqual(self.server.stop().exit_code, 0)


class Options(unittest.TestCase):
    def test_all_are_explained(self) -> None:
        for tool in INSTALLED:
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
                tools.main([tool.name, "-h"])
            page = DOCS / OTHER_PAGES.get(tool.name, "tools.md")
            if page.exists() or tool.name != "http":
                text = page.read_text(encoding="utf-8")
                for short, option in re.findall(r"(?m)^  (?:(-\w)\b.*?, )?(--[a-z][\w-]*)", out.getvalue()):
                    is_explained = "`%s`" % option in text or bool(short) and "`%s`" % short in text
                    self.assertTrue(is_explained or option in ("--help", "--version"), (tool.name, option))

    def test_the_table_lists_every_tool(self) -> None:
        rows: Dict[str, str] = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", PAGE, re.MULTILINE))
        self.assertEqual(list(rows), [tool.name for tool in tools.TOOLS])
        for tool in tools.TOOLS:
            self.assertIn("`python -m Pyro5.%s`" % tool.module, rows[tool.name])

    def test_the_table_of_the_readme_too(self) -> None:
        readme = Path(PROJECT, "README.md").read_text(encoding="utf-8")
        for tool in tools.TOOLS:
            self.assertRegex(readme, r"(?m)^\| `pyro5 %s` \|" % tool.name)


if __name__ == "__main__":
    unittest.main()
