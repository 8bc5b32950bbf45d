"""Programs of examples/ as processes of their own: what they print, and how they end."""
from __future__ import annotations

import os
import signal
import tempfile
import unittest
from typing import Any, Dict, Optional

import Pyro5.api

from .support import PROJECT, ToolProcess, daemon_thread

EXAMPLES = os.path.join(PROJECT, "examples")


class Program(ToolProcess):
    """A program of an example while it runs."""

    def __init__(self, path: str, *arguments: Any, env: Optional[Dict[str, str]] = None) -> None:
        super().__init__(path, *arguments, env=env, cwd=os.path.dirname(path))
        self.checked = False  # whether a test has looked at how it ended
        self.name = os.path.relpath(path, EXAMPLES)


class ExampleTestCase(unittest.TestCase):
    """Runs the programs of the folder of examples/ that the test sets `folder` to.

    Programs that still run at the end of a test are stopped as Ctrl-C does; they must end well, with nothing on their
    standard error.
    """

    folder = ""
    environ: Dict[str, str] = {}

    def start(self, program: str, *arguments: Any) -> Program:
        """Start a program that goes on until it is stopped, or that is looked at while it runs."""
        running = Program(self.path_of(program), *arguments, env=self.environ)
        self.addCleanup(running.__exit__)
        self.addCleanup(self._end, running)
        return running

    def temporary_folder(self) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return os.path.realpath(folder.name)

    def path_of(self, program: str) -> str:
        return os.path.join(EXAMPLES, self.folder, program)

    def serve(self, program: str, *arguments: Any) -> str:
        """Start a server on a free port, wait until it is ready, and give the uri that it prints."""
        return self.uri_of(self.start(program, "--port", "0", *arguments))

    def uri_of(self, running: Program) -> str:
        return running.read_until("Ready: ")[-1].split()[1]

    def _end(self, running: Program) -> None:
        if not running.checked:
            self.stop(running)

    def kill(self, running: Program) -> None:
        """End a program as a crash does."""
        running.checked = True
        running.process.kill()
        running.wait()

    def stop(self, running: Program) -> str:
        """Stop a program if it runs, and give what it printed that has not been read yet."""
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
        return self.finish(running)

    def finish(self, running: Program) -> str:
        """Wait for the end of a program, and give what it printed that has not been read yet."""
        running.checked = True
        result = running.wait()
        # In development mode asyncio reports what took 0.1 seconds, as anything does on a busy machine.
        err = "".join([line for line in result.err.splitlines(True) if not line.startswith("Executing <")])
        if result.exit_code or err:
            self.fail("%s ended with %s; standard error:\n%s\noutput:\n%s" % (running.name, result.exit_code, err, result.out))
        return result.out

    def output_of(self, program: str, *arguments: Any) -> str:
        """Run a program to its end, and give what it prints."""
        return self.finish(self.start(program, *arguments))

    def assertPrinted(self, expected: str, printed: str) -> None:
        """Compare text without the spaces at the beginnings and ends of lines."""
        self.assertEqual(*([line.strip() for line in text.strip().splitlines()] for text in (expected, printed)))


class NameServerTestCase(ExampleTestCase):
    """The tests of a class share a name server, which programs find by their settings."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        daemon = Pyro5.api.start_ns("127.0.0.1", 0)[1]
        cls.names = daemon.nameserver
        cls._serving = daemon_thread(daemon)
        cls._serving.__enter__()
        cls.addClassCleanup(cls._serving.__exit__, None, None, None)
        cls.environ = {"PYRO_NS_HOST": "127.0.0.1", "PYRO_NS_PORT": daemon.locationStr.rpartition(":")[2]}
