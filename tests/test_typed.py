"""Tests for what type checkers and editors see: mypy reads programs, and they run."""
from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Dict, List, Tuple

import Pyro5
from Pyro5.client import Proxy
from Pyro5.typed import ProxyMembers
from tests import typed_program
from tests.docs.test_code import blocks
from tests.rawclient import ServerTestCase
from tests.support import PROJECT, clean_environment

EXAMPLE = Path(PROJECT, "examples", "typed_interface")
PROGRAM = Path(PROJECT, "tests", "typed_program.py")
PAGE = Path(PROJECT, "docs", "typing.md")
REFUSED = re.compile(r"# refused: (?P<codes>[\w, -]+)$")
ERROR = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$")
MYPY_SECONDS = 240

Errors = Dict[Tuple[str, int], List[str]]


def errors_that_mypy_finds(folder: str, *paths: Path) -> Errors:
    """Check programs with mypy in strict mode; return the codes of the errors by file name and line number."""
    environment = clean_environment({"MYPYPATH": os.pathsep.join([PROJECT, str(EXAMPLE), folder])})
    command = [sys.executable, "-m", "mypy", "--config-file", os.path.join(".ci", "mypy.ini"), "--hide-error-context",
               "--no-error-summary", *map(str, paths)]
    done = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          encoding="utf-8", timeout=MYPY_SECONDS)
    found: Errors = {}
    for line in done.stdout.splitlines():
        match = ERROR.match(line)
        if match and "Pyro5" in Path(match["file"]).parts:
            continue  # the library itself is checked by `make types`, with a mypy that is new enough
        if match:
            found.setdefault((Path(match["file"]).name, int(match["line"])), []).append(match["code"])
        elif ": note: " not in line:
            raise AssertionError("mypy says: " + done.stdout)
    return found


def expected_errors(*paths: Path) -> Errors:
    """Return what the comments of programs say."""
    expected = {}
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            match = REFUSED.search(line)
            if match:
                expected[path.name, number] = match["codes"].split(", ")
    return expected


@unittest.skipUnless(importlib.util.find_spec("mypy"), "mypy is not installed; `make types` installs it and runs this test")
class Checked(unittest.TestCase):
    maxDiff = None

    def test_programs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "page_on_typing.py")
            page.write_text("\n".join(block.code for block in blocks(PAGE)), encoding="utf-8")
            paths = (PROGRAM, page, EXAMPLE / "client.py", EXAMPLE / "server.py")
            expected = expected_errors(*paths)
            self.assertGreater(len(expected), 20)
            self.assertEqual(expected, errors_that_mypy_finds(folder, *paths))


class Running(ServerTestCase):
    def test_what_is_accepted_works(self) -> None:
        daemon = self.daemon()
        self.run_loop(daemon)
        self.assertEqual([2, "SLOW AND GREEN", ["monday", "tuesday"], {"sow"}, 1, 7, "Proxy", 5],
                         typed_program.accepted(daemon))

    def test_interfaces_leave_nothing_behind(self) -> None:
        self.assertIs(Proxy, Proxy[typed_program.Garden])
        self.assertIs(typed_program.Tool, typed_program.Tool[typed_program.Garden])
        self.assertIs(type, type(Proxy))

    def test_proxies_have_all_that_the_protocol_says(self) -> None:
        members = {name for name in (*vars(ProxyMembers), *ProxyMembers.__annotations__)
                   if name.startswith("_pyro") or name in ("__enter__", "__exit__", "__copy__")}
        self.assertEqual([], sorted(name for name in members if not hasattr(Proxy, name)))
        public = {name for base in Proxy.__mro__ for name in vars(base) if re.match("_pyro[A-Z]", name)}
        internal = {"_pyroMakeMethod", "_pyroEnsureMetadata", "_pyroInvoke", "_pyroInvokeBatch", "_pyroGetMetadata",
                    "_pyroAnnotations", "_pyroConnect", "_pyroValidateHandshake", "_pyroClearMethods", "_pyroExposes",
                    "_pyroMethod", "_pyroSend",
                    "_pyroOperator"}
        self.assertEqual(members - {"__enter__", "__exit__", "__copy__"}, public - internal)


class Packaged(unittest.TestCase):
    def test_the_marker_for_type_checkers(self) -> None:
        self.assertTrue(Path(str(Pyro5.__file__)).with_name("py.typed").is_file())
        self.assertIn('package_data={"Pyro5": ["py.typed"]', Path(PROJECT, "setup.py").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
