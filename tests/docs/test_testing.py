"""docs/testing.md and docs/notebooks.md: the fixtures and tests of the one, and the cells of the other, run as they stand."""
from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import io
import re
import subprocess
import sys
import tempfile
import threading
import types
import unittest
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List
from unittest import mock

from Pyro5 import config
from tests.docs.test_code import blocks, expected_output, fits
from tests.support import PATIENCE_SECONDS, PROJECT, clean_environment

PAGE = Path(PROJECT, "docs", "testing.md")
NOTEBOOKS = Path(PROJECT, "docs", "notebooks.md")
FILES = ("conftest.py", "shop.py", "test_shop.py", "test_unittest.py")


def fake_pytest() -> Any:
    """Return a stand-in for the parts of pytest that the page uses: fixtures are marked, and `Fixtures` runs them."""
    @contextlib.contextmanager
    def raises(expected: Any, match: str = "") -> Iterator[None]:
        try:
            yield
        except expected as x:
            assert re.search(match, str(x)), x
        else:
            raise AssertionError("%s was not raised" % expected)

    def fixture(function: Any = None, *, autouse: bool = False) -> Any:
        def mark(function: Any) -> Any:
            function.is_fixture, function.is_automatic = True, autouse
            return function
        return mark if function is None else mark(function)

    module: Any = types.ModuleType("pytest")
    module.raises, module.fixture = raises, fixture
    return module


class Fixtures:
    """The fixtures of one test: each is created once, and ends when the stack is closed, in the reverse order."""

    def __init__(self, functions: Dict[str, Any], stack: contextlib.ExitStack) -> None:
        self._functions = functions
        self._stack = stack
        self._values: Dict[str, Any] = {}

    def call(self, function: Callable[..., Any]) -> Any:
        return function(**{name: self.get(name) for name in inspect.signature(function).parameters})

    def get(self, name: str) -> Any:
        if name not in self._values:
            generator = self.call(self._functions[name])
            self._values[name] = next(generator)
            self._stack.callback(next, generator, None)
        return self._values[name]


class TestingPage(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        found = blocks(PAGE)
        self.assertEqual(len(FILES), len(found))
        for name, block in zip(FILES, found):
            Path(self.folder, name).write_text(block.code, encoding="utf-8")
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.BROADCAST_ADDRS = []

    def load(self) -> Dict[str, Any]:
        """Import the files as pytest does; return all that is in the two files with fixtures."""
        names: Dict[str, Any] = {}
        for name in ("conftest", "shop", "test_shop", "test_unittest"):
            self.addCleanup(sys.modules.pop, name, None)
        for name in ("conftest", "test_shop"):
            names.update(vars(importlib.import_module(name)))
        return names

    def test_fixtures_and_tests(self) -> None:
        before, threads = config.as_dict(), set(threading.enumerate())
        with mock.patch.dict(sys.modules, pytest=fake_pytest()), mock.patch.object(sys, "path", [self.folder, *sys.path]):
            names = self.load()
            fixtures = {name: value for name, value in names.items() if getattr(value, "is_fixture", False)}
            tests = [value for name, value in names.items() if name.startswith("test_")]
            self.assertEqual((4, 4), (len(fixtures), len(tests)))
            for test in tests:
                with contextlib.ExitStack() as stack:
                    used = Fixtures(fixtures, stack)
                    for name, fixture in fixtures.items():
                        if fixture.is_automatic:
                            used.get(name)
                    used.call(test)
                self.assertEqual(before, config.as_dict())
                self.assertEqual(threads, set(threading.enumerate()))

    def test_unittest(self) -> None:
        with mock.patch.object(sys, "path", [self.folder, *sys.path]):
            for name in ("shop", "test_unittest"):
                self.addCleanup(sys.modules.pop, name, None)
            suite = unittest.defaultTestLoader.loadTestsFromName("test_unittest")
            result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
        self.assertEqual((1, True), (result.testsRun, result.wasSuccessful()))

    @unittest.skipUnless(importlib.util.find_spec("pytest"), "pytest is not installed (pip install pytest)")
    def test_with_pytest(self) -> None:
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", self.folder], cwd=self.folder,
                              env=clean_environment({}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              universal_newlines=True, timeout=PATIENCE_SECONDS, check=False)
        self.assertIn("5 passed", done.stdout)


class Notebook(unittest.TestCase):
    def test_cells(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        threads = set(threading.enumerate())
        asyncio.run(self.run_cells(blocks(NOTEBOOKS)))
        for thread in set(threading.enumerate()) - threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual(threads, set(threading.enumerate()))

    async def run_cells(self, cells: List[Any]) -> None:
        """Run the cells as the kernel of a notebook does: in a running event loop, with await."""
        asyncio.get_running_loop().slow_callback_duration = PATIENCE_SECONDS    # cells block the loop
        names: Dict[str, Any] = {"__name__": "__main__"}
        for number, cell in enumerate(cells):
            code: Any = compile(cell.code, "cell %d" % number, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            for repetition in range(2 if "force=True" in cell.code else 1):
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    value = eval(code, names)
                    if value is not None:
                        await value
                wanted, got = expected_output(cell.code), printed.getvalue().splitlines()
                self.assertEqual(len(wanted), len(got), (wanted, got))
                for one, other in zip(wanted, got):
                    self.assertTrue(fits(one, other), (repetition, one, other))


if __name__ == "__main__":
    unittest.main()
