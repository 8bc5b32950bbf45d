"""Run the Python code in README.md and docs/*.md, and check that it does what its comments say.

The fenced ``python`` blocks of a page run in their order, in one namespace, as if they were one program. What they print must
be what the comments at the ends of lines say: ``print(x)   # text``, or ``f()   # prints: text``; ``...`` matches any
text. A last line with ``# raises SomeError: text`` must raise that. A block that ends with ``daemon.requestLoop()``, and
maybe a last line that is printed at the end, runs in a separate thread. A block after the line ``<!-- not run: reason -->`` is
only compiled.
"""
from __future__ import annotations

import ast
import contextlib
import contextvars
import doctest
import gc
import importlib
import io
import os
import re
import shutil
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from Pyro5 import config
from Pyro5._auth import files
from Pyro5._naming.storage.specs import open_storage
from Pyro5.nameserver import NameServerDaemon
from Pyro5.server import Daemon
from tests.compatibility.test_pyro4 import forget_stand_ins
from tests.rawclient import wait_until
from tests.support import PATIENCE_SECONDS, PROJECT, daemon_thread

# Each has a test of its own: separate files, tests for pytest, cells of a notebook.
HAVE_THEIR_OWN_TESTS = ("first-steps", "testing", "notebooks")
PAGES = [Path(PROJECT, "README.md"),
         *(page for page in sorted(Path(PROJECT, "docs").glob("*.md")) if page.stem not in HAVE_THEIR_OWN_TESTS)]
FENCE = re.compile(r"(?:<!-- not run: (?P<excuse>[^\n]+) -->\n+)?^```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
PRINTED = re.compile(r"^\s*print\(.*\)\s+# (?P<text>.*)$|# prints: (?P<also>.*)$")
RAISED = re.compile(r"# raises (?P<error>\w+)(?:: (?P<text>.*)|,.*)?$")
LOOP = re.compile(r"^\s*daemon\.requestLoop\(\)[^\n]*(?:\nprint\([^\n]*\))?\Z", re.MULTILINE)
SHORTENED_URI = re.compile(r"PYRO:obj_\w+\.\.\.@[\w.]+:\d+")


class Block(NamedTuple):
    """A block of code, and the number of the line before its first line."""

    code: str
    line: int
    excuse: Optional[str]


def blocks(page: Path) -> List[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(found["code"], text.count("\n", 0, found.start("code")), found["excuse"]) for found in FENCE.finditer(text)]


def expected_output(code: str) -> List[str]:
    found = [PRINTED.search(line) for line in code.splitlines()]
    return [(match["text"] or match["also"]).rstrip() for match in found if match]


def fits(wanted: str, got: str) -> bool:
    wanted = SHORTENED_URI.sub("PYRO:obj_...@localhost:...", wanted)
    return doctest.OutputChecker().check_output(wanted + "\n", got + "\n", doctest.ELLIPSIS)


# ---------------------------------------------------------------- what the pages need

Names = Dict[str, Any]


@contextlib.contextmanager
def nothing(namespace: Names) -> Iterator[None]:
    yield


@contextlib.contextmanager
def name_server(namespace: Names) -> Iterator[None]:
    with NameServerDaemon("localhost", 0) as names:
        config.NS_PORT = names.sock.getsockname()[1]
        with daemon_thread(names):
            yield


@contextlib.contextmanager
def a_dbm_file(namespace: Names) -> Iterator[None]:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            names = open_storage("dbm:names")
            names["house.thermometer"] = ("PYRO:thermometer@localhost:9999", ())
            names.close()
            yield
        finally:
            os.chdir(before)


@contextlib.contextmanager
def certificates_and_a_token(namespace: Names) -> Iterator[None]:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as directory:
        for file in Path(PROJECT, "tests", "certs").glob("*.[kp]e[my]"):
            shutil.copy(file, directory)
        files.create(str(Path(directory, "lab.key")), files.new_key())
        files.create(str(Path(directory, "users.json")), b"{}")
        Path(directory, "greenhouse.token").write_text("t0ken-of-the-greenhouse\n")
        os.chdir(directory)
        try:
            yield
        finally:
            os.chdir(before)


@contextlib.contextmanager
def the_old_name(namespace: Names) -> Iterator[None]:
    """Remove stand-ins for the name Pyro4 before and after the page."""
    forget_stand_ins()
    try:
        yield
    finally:
        forget_stand_ins()


SURROUNDINGS = {"README": name_server, "nameserver": name_server, "storage": a_dbm_file,
                "servers": name_server, "security": certificates_and_a_token, "errors": name_server,
                "typing": name_server, "moving-over": the_old_name, "http": name_server, "high-availability": name_server}


# ---------------------------------------------------------------- running

class DocsCode(unittest.TestCase):
    maxDiff = None

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        self.namespace: Dict[str, Any] = {"__name__": "__main__"}
        self.loops: List[threading.Thread] = []

    def run_page(self, page: Path) -> None:
        threads_before = set(threading.enumerate())
        surroundings: Any = SURROUNDINGS.get(page.stem, nothing)
        with surroundings(self.namespace):
            try:
                for block in blocks(page):
                    with self.subTest("%s, line %d" % (page.name, block.line + 1)):
                        self.run_block(page, block)
            finally:
                self.clean_up()
        left = set(threading.enumerate()) - threads_before
        for thread in left:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual([], [thread for thread in left if thread.is_alive()])

    def run_block(self, page: Path, block: Block) -> None:
        code = "\n" * block.line + block.code.rstrip("\n")
        if "uri" in self.namespace:
            code = SHORTENED_URI.sub(str(self.namespace["uri"]), code)
        program = compile(code, str(page), "exec")
        if block.excuse:
            return
        printed = io.StringIO()
        wanted = expected_output(block.code)
        with contextlib.redirect_stdout(printed):
            if LOOP.search(code):
                self.run_in_thread(program, printed, len(wanted))
            else:
                self.run_here(program, code)
        got = printed.getvalue().splitlines()
        self.assertEqual(len(wanted), len(got), (wanted, got))
        for one, other in zip(wanted, got):
            self.assertTrue(fits(one, other), "printed %r instead of %r" % (other, one))

    def run_here(self, program: Any, code: str) -> None:
        raised = RAISED.search(code)
        if raised is None:
            exec(program, self.namespace)
            return
        with self.assertRaises(Exception) as caught:
            exec(program, self.namespace)
        self.assertEqual(raised["error"], type(caught.exception).__name__)
        if raised["text"]:
            self.assertTrue(fits(raised["text"], str(caught.exception)), str(caught.exception))

    def run_in_thread(self, program: Any, printed: io.StringIO, lines: int) -> None:
        """Run a block in a thread; wait until its loop runs, and everything before it is printed."""
        running = threading.Event()
        own = dict(self.namespace)

        class Announced(Daemon):
            def requestLoop(self, *args: Any, **kwargs: Any) -> None:
                running.set()
                super().requestLoop(*args, **kwargs)

        original, api = Daemon, importlib.import_module("Pyro5.api")
        api.Daemon = Announced  # type: ignore[attr-defined]
        try:
            self.loops.append(threading.Thread(target=exec, args=(program, self.namespace), name="block"))
            self.loops[-1].start()
            self.assertTrue(running.wait(PATIENCE_SECONDS), "the request loop was not reached")
        finally:
            api.Daemon = original  # type: ignore[attr-defined]
        self.assertLess(set(own), set(self.namespace))
        wait_until(lambda: printed.getvalue().count("\n") == lines)

    def clean_up(self) -> None:
        """Stop the daemons that the page has started and not stopped."""
        with contextlib.redirect_stdout(io.StringIO()):
            for value in list(self.namespace.values()):
                if isinstance(value, Daemon):
                    value.shutdown()
                    value.close()
            for thread in self.loops:
                thread.join(PATIENCE_SECONDS)
        self.namespace.clear()
        gc.collect()


class Rules(unittest.TestCase):
    def test_comments(self) -> None:
        code = "print(1)  # one\nprint(2)\nf()  # prints: two\nif x:\n    print(f(3))   # three\n"
        self.assertEqual(["one", "two", "three"], expected_output(code))
        self.assertTrue(fits("a ... c", "a b c"))
        self.assertFalse(fits("a ... c", "a b d"))

    def test_every_page_with_code_runs_some(self) -> None:
        for page in PAGES:
            found = blocks(page)
            self.assertEqual(page.read_text(encoding="utf-8").count("```python\n"), len(found), page.name)
            if found:
                self.assertTrue([block for block in found if not block.excuse], page.name)

    def test_only_what_must_is_exempt(self) -> None:
        for page in PAGES:
            for block in blocks(page):
                ast.parse(block.code)
                if block.excuse is not None:
                    self.assertRegex(block.excuse, r"\w+ \w+", page.name)


def _test_of(page: Path) -> Any:
    def test(self: DocsCode) -> None:
        contextvars.copy_context().run(self.run_page, page)
    return test


for each in PAGES:
    if blocks(each):
        setattr(DocsCode, "test_" + each.stem.replace("-", "_"), _test_of(each))
del each


if __name__ == "__main__":
    unittest.main()
