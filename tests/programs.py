"""Programs of examples/ as processes of their own: what they print, and how they end."""
from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import unittest
from multiprocessing.reduction import DupFd
from typing import Any, Dict, List, Optional

import Pyro5.api

from .support import PATIENCE_SECONDS, PROJECT, ToolProcess, clean_environment, daemon_thread

EXAMPLES = os.path.join(PROJECT, "examples")

# A process that has the library loaded already makes the others by forking: a tenth of the time that a new Python takes.
_forkserver: Any = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload([__name__, "argparse", "selectors", "sqlite3"])


def _become(path: str, arguments: List[str], environ: Dict[str, str], out: Any, err: Any) -> None:
    """Do what ``python path arguments...`` does; runs in the new process."""
    for number, pipe in ((1, out), (2, err)):
        fd = pipe.detach()
        os.dup2(fd, number)
        os.close(fd)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environ)
    Pyro5.config.reset()
    os.chdir(os.path.dirname(path))
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(path))
    runpy.run_path(path, run_name="__main__")


class _Forked:
    """A process as `ToolProcess` wants it."""

    def __init__(self, path: str, arguments: List[str], environ: Dict[str, str]) -> None:
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        self.stdout, self.stderr = (os.fdopen(fd, encoding="utf-8") for fd in (out, err))
        try:
            # the ends are handed over while start() runs, which is when DupFd has to be made
            self._process = _forkserver.Process(target=_Start(path, arguments, environ, out_end, err_end))
            self._process.start()
        finally:
            os.close(out_end)
            os.close(err_end)
        self.pid: int = self._process.pid

    def poll(self) -> Optional[int]:
        exit_code: Optional[int] = self._process.exitcode
        return exit_code

    def kill(self) -> None:
        self._process.kill()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        self._process.join(seconds)
        exit_code: Optional[int] = self._process.exitcode
        if exit_code is None:
            raise AssertionError("process %d does not end" % self.pid)
        return exit_code

    def send_signal(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, signum)


class _Start:
    """What a new process has to do; its pipes travel with it."""

    def __init__(self, path: str, arguments: List[str], environ: Dict[str, str], out: int, err: int) -> None:
        self._state = (path, arguments, environ)
        self._pipes = (out, err)

    def __reduce__(self) -> Any:
        return _started, (*self._state, *map(DupFd, self._pipes))

    def __call__(self) -> None:
        raise AssertionError("this runs in the new process only")


class _Started:
    def __init__(self, *state: Any) -> None:
        self._state = state

    def __call__(self) -> None:
        _become(*self._state)


def _started(*state: Any) -> _Started:
    return _Started(*state)


class Program(ToolProcess):
    """A program of an example while it runs."""

    def __init__(self, path: str, *arguments: Any, env: Optional[Dict[str, str]] = None) -> None:
        self._follow(_Forked(path, [str(argument) for argument in arguments], clean_environment(env)))
        self.checked = False  # whether a test has looked at how it ended
        self.name = os.path.relpath(path, EXAMPLES)


class ExampleTestCase(unittest.TestCase):
    """
    Runs the programs of the folder of examples/ that the test sets `folder` to.

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
        if result.exit_code or result.err:
            self.fail("%s ended with %s; standard error:\n%s\noutput:\n%s"
                      % (running.name, result.exit_code, result.err, result.out))
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
