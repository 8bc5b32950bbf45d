"""``python -m tests``: what it reports, and that all its processes end with it."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest
from typing import Any

from .support import PATIENCE_SECONDS, PROJECT, clean_environment

MODULES = {
    "passing": """
        class Passing(unittest.TestCase):
            def test(self):
                pass
        """,
    "failing": """
        class Failing(unittest.TestCase):
            def test(self):
                self.fail("on purpose")
        """,
    "ending": """
        class Ending(unittest.TestCase):
            def test(self):
                os._exit(3)
        """,
    "unreliable": """
        class Unreliable(unittest.TestCase):
            def test(self):
                if not os.path.exists(os.environ["ALIVE"]):
                    open(os.environ["ALIVE"], "w").close()
                    self.fail("the first time")
        """,
    "waiting": """
        class Waiting(unittest.TestCase):
            def test(self):
                alive = os.open(os.environ["ALIVE"], os.O_WRONLY)
                child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[alive])
                os.write(alive, b"x")
                child.wait()
        """}


@unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes and process groups")
class RunnerTests(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.fifo = os.path.join(folder.name, "alive")
        self.environment = clean_environment({"PYTHONPATH": os.pathsep.join((PROJECT, folder.name)), "ALIVE": self.fifo})
        for name, source in MODULES.items():
            with open(os.path.join(folder.name, name + ".py"), "w", encoding="utf-8") as file:
                file.write("import os, subprocess, sys, unittest\n" + textwrap.dedent(source))

    def start(self, *modules: str) -> Any:
        process = subprocess.Popen([sys.executable, "-m", "tests", *modules], cwd=PROJECT, env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_failures_and_processes_that_end_are_reported(self) -> None:
        process = self.start("failing", "ending", "passing", "passing", "passing", "passing")
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(1, process.returncode)
        for line in ("AssertionError: on purpose", "the process that ran it ended with exit code 3", "FAILED: failing",
                     "FAILED: ending", "FAILED (failures=1, errors=1)"):
            self.assertIn(line + "\n", out)
        self.assertIn("\nRan 5 tests in ", out)

    def test_what_fails_is_run_again_alone_if_wanted(self) -> None:
        process = self.start("--again", "unreliable", "passing")
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(0, process.returncode, out)
        for text in ("AssertionError: the first time\n", "UNRELIABLE: unreliable failed", "\nRan 2 tests in ", "\nOK\n"):
            self.assertIn(text, out)
        process = self.start("--again", "failing", "passing")
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((1, 2), (process.returncode, out.count("AssertionError: on purpose")), out)
        self.assertNotIn("UNRELIABLE", out)

    def test_all_processes_end_with_it(self) -> None:
        os.mkfifo(self.fifo)
        for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            process = self.start("waiting")
            with open(self.fifo, "rb", buffering=0) as alive:
                self.assertEqual(b"x", alive.read(1))
                process.send_signal(signum)
                self.assertEqual(b"", alive.read(1))  # only when all processes that can write to it have ended
            self.assertNotEqual(0, process.wait(PATIENCE_SECONDS))


if __name__ == "__main__":
    unittest.main()
