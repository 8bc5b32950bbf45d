"""What several tests need: command line tools as real processes, and daemons that run in a thread."""
from __future__ import annotations

import asyncio
import contextlib
import io
import math
import os
import queue
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import unittest
import uuid
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence
from unittest import mock

from Pyro5 import errors
from Pyro5._naming import regex_sandbox

from . import forked

# Whether this build of Python can run without its lock.
IS_FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Generous: it only passes when something is broken.
PATIENCE_SECONDS = 60.0


class ToolResult(NamedTuple):
    """How a tool ended."""

    exit_code: int
    out: str
    err: str


def clean_environment(changes: Optional[Dict[str, str]]) -> Dict[str, str]:
    """Return the environment of this process without settings of the library, so that only the test decides about them."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYRO_")}
    environment.update({"PYTHONPATH": PROJECT, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"})
    environment.update(changes or {})
    return environment


def _command(module: str, args: Any, prefix: Sequence[str] = ()) -> List[str]:
    # development mode: a socket or file that a tool leaves open shows on its standard error
    program = [module] if module.endswith(".py") else ["-m", module]
    return [*prefix, sys.executable, "-X", "dev", "-W", "error", *program] + [str(arg) for arg in args]


def run_tool(module: str, *args: Any, stdin: str = "", env: Optional[Dict[str, str]] = None, cwd: Optional[str] = None,
             fresh: bool = False) -> ToolResult:
    """Run ``python -m module args...`` to its end; or ``python path args...``, if it is a path that ends in .py."""
    with ToolProcess(module, *args, stdin=stdin, env=env, cwd=cwd, fresh=fresh) as process:
        return process.wait()


def run_main(main: Callable[[List[str]], int], *args: Any) -> ToolResult:
    """Run the ``main`` of a tool in this process; a tenth of the time that a process of its own takes."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            exit_code = main([str(arg) for arg in args])
        except SystemExit as x:  # of the parser
            exit_code = int(x.code or 0)
    return ToolResult(exit_code, out.getvalue(), err.getvalue())


class ToolProcess:
    """``python -m module args...`` while it runs, or ``python path args...``. As a context manager it leaves no process
    behind.

    Use `read_until` to wait for the line that says it is ready, and `stop` to end it with a signal.

    Args:
        stdin: all of its input; a text that fits into a pipe.
        prefix: a command that runs the rest, such as ``nice``.
        fresh: make it a new Python, for tests of what is loaded or read when it starts; others are forked, see `forked`.
    """

    def __init__(self, module: str, *args: Any, stdin: str = "", env: Optional[Dict[str, str]] = None,
                 cwd: Optional[str] = None, prefix: Sequence[str] = (), fresh: bool = False) -> None:
        self.process: Any
        environ = clean_environment(env)
        if forked.IS_POSSIBLE and not (fresh or prefix or "PYRO_LOGLEVEL" in environ):
            self.process = forked.Forked(forked.Task(module, [str(arg) for arg in args], environ, cwd or os.getcwd()), stdin)
        else:
            self.process = subprocess.Popen(_command(module, args, prefix), env=environ, cwd=cwd, encoding="utf-8",
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with contextlib.suppress(BrokenPipeError), self.process.stdin:
                self.process.stdin.write(stdin)
        self._lines: queue.Queue[Optional[str]] = queue.Queue()
        self._errors: List[str] = []
        self._readers = [threading.Thread(target=self._read_out), threading.Thread(target=self._read_err)]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def _read_err(self) -> None:
        self._errors.extend(self.process.stderr or ())

    def __enter__(self) -> ToolProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def readline(self) -> str:
        """Return the next line of standard output, with its line end; an empty text when there will be no more."""
        line = self._lines.get(timeout=PATIENCE_SECONDS)
        if line is None:
            self._lines.put(None)
            return ""
        return line

    def read_until(self, beginning: str) -> List[str]:
        """Return the lines of standard output (without line ends) up to the first one that begins so, included."""
        lines: List[str] = []
        while not lines or not lines[-1].startswith(beginning):
            line = self.readline()
            if not line:
                raise AssertionError("the tool ended, no line began with %r; it printed %r, and on standard error: %s"
                                     % (beginning, lines, self.wait().err))
            lines.append(line.rstrip("\n"))
        return lines

    def wait(self) -> ToolResult:
        """Wait for the end; ``out`` is what has not been read yet."""
        exit_code = self.process.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        return ToolResult(exit_code, "".join(iter(self.readline, "")), "".join(self._errors))

    def stop(self, signum: int = signal.SIGTERM) -> ToolResult:
        """Send the signal, then `wait`."""
        self.process.send_signal(signum)
        return self.wait()


def with_longer_times(check: Callable[[float], None], factors: Sequence[float] = (1.0, 5.0, 25.0)) -> None:
    """Run a check whose time-outs may pass too early where many processes share the processors, with longer ones if it fails.

    Args:
        check: it multiplies its times by its argument, and does not depend on an earlier run.
    """
    for factor in factors[:-1]:
        with contextlib.suppress(AssertionError, errors.PyroError, OSError, EOFError):
            check(factor)
            return
    check(factors[-1])


def assert_linear(test: unittest.TestCase, work: Callable[[int], object], count: int, what: object = None) -> None:
    """Fail if the time of ``work(count)`` grows clearly faster than ``count``.

    Compares with a run of an eighth of the size, at the same time and in processor time of this thread, so that neither the
    speed nor the load of the machine matters.  Quadratic work takes 64 times as long for 8 times as much; this allows 24.
    """
    ratio, large, small = 0.0, math.inf, math.inf
    for _ in range(10):  # caches, other processes and garbage collections may add to a run, but hardly to each of them
        large, small = min(large, _thread_seconds(work, count)), min(small, _thread_seconds(work, count // 8))
        ratio = large / max(0.001, small)  # runs of less than a millisecond measure the clock
        if ratio < 24:
            return
    test.fail("8 times as much took %.0f times as long: %r" % (ratio, what))


def _thread_seconds(work: Callable[[int], object], count: int) -> float:
    began = time.thread_time()
    work(count)
    return time.thread_time() - began


def search_patiently(test: Any) -> None:
    """Make searches of this process wait as long as needed for processes that run regular expressions, until the test ends."""
    patch = mock.patch.multiple(regex_sandbox, SEARCH_SECONDS=PATIENCE_SECONDS, START_SECONDS=PATIENCE_SECONDS)
    patch.start()
    test.addCleanup(patch.stop)


def correlation_of(message: Any) -> Optional[uuid.UUID]:
    """Return the correlation id of a message, None if it carries none."""
    return None if message.corr_bytes is None else uuid.UUID(bytes=message.corr_bytes)


@contextlib.contextmanager
def daemon_thread(daemon: Any) -> Iterator[Any]:
    """Run a daemon's request loop in a thread for the block; then shut it down, join the thread and close the daemon."""
    with contextlib.closing(daemon), _thread_until_shutdown(daemon, daemon.requestLoop):
        yield daemon


@contextlib.contextmanager
def _thread_until_shutdown(daemon: Any, run: Callable[[], object], name: str = "daemon of the test") -> Iterator[None]:
    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield
    finally:
        daemon.shutdown()
        thread.join(PATIENCE_SECONDS)
        if thread.is_alive():
            raise AssertionError("the daemon did not end after shutdown")


def run_aio_daemon(daemon: Any) -> None:
    """Run a daemon of ``Pyro5.aio`` in an event loop of its own, until it is shut down."""
    with contextlib.suppress(RuntimeError):  # it was closed before
        asyncio.run(daemon.serve_forever())


@contextlib.contextmanager
def aio_daemon_thread(daemon: Any) -> Iterator[Any]:
    """Run a daemon of ``Pyro5.aio`` in an event loop in a thread, and close it at the end."""
    with _thread_until_shutdown(daemon, lambda: run_aio_daemon(daemon), "event loop"):
        yield daemon
