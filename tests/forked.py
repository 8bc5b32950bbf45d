"""Programs as processes of their own, made by forking a process that has the library loaded already: a tenth of the time that
a new Python takes to get there.
"""
from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import warnings
from multiprocessing.reduction import DupFd
from typing import Any, Dict, List, NamedTuple, Optional

import Pyro5.api

IS_POSSIBLE = "forkserver" in multiprocessing.get_all_start_methods()
_context: Any = multiprocessing.get_context("forkserver" if IS_POSSIBLE else None)
if IS_POSSIBLE:
    _context.set_forkserver_preload([
        __name__, "argparse", "msgpack", "selectors", "sqlite3", "ssl", "Pyro5.__main__", "Pyro5.nameserver", "Pyro5.nsc",
        "Pyro5.utils.echoserver", "Pyro5.utils.httpgateway"])


class Task(NamedTuple):
    """What a new process does: what ``python -X dev -W error target arguments...`` does, or with ``-m`` before the target.

    Attributes:
        target: the name of a module, or the path of a program.
        environ: all of its environment. What the library reads while it is imported has no effect any more.
        cwd: where it runs.
    """

    target: str
    arguments: List[str]
    environ: Dict[str, str]
    cwd: str


class Forked:
    """A running process, with the methods of a Popen that are needed here; all of its input is given at the beginning."""

    def __init__(self, task: Task, stdin: str = "") -> None:
        (in_end, in_), (out, out_end), (err, err_end) = os.pipe(), os.pipe(), os.pipe()
        self.stdout, self.stderr = (os.fdopen(fd, encoding="utf-8") for fd in (out, err))
        try:
            with os.fdopen(in_, "w", encoding="utf-8") as file:
                file.write(stdin)  # a pipe has room for it, as long as no test sends a long text
            # the ends are handed over while start() runs, which is when DupFd has to be made
            self._process = _context.Process(target=_Start(task, (in_end, out_end, err_end)))
            self._process.start()
        finally:
            for fd in (in_end, out_end, err_end):
                os.close(fd)
        self.pid: int = self._process.pid

    def poll(self) -> Optional[int]:
        exit_code: Optional[int] = self._process.exitcode
        return exit_code

    def kill(self) -> None:
        self._process.kill()

    def wait(self, seconds: float = 60.0) -> int:
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

    def __init__(self, task: Task, pipes: Any) -> None:
        self._task = task
        self._pipes = pipes

    def __reduce__(self) -> Any:
        return _Started, (self._task, [DupFd(fd) for fd in self._pipes])

    def __call__(self) -> None:
        raise AssertionError("this runs in the new process only")


class _Started:
    """The same in the new process."""

    def __init__(self, task: Task, pipes: List[Any]) -> None:
        self._task = task
        self._pipes = pipes

    def __call__(self) -> None:
        _take_over(self._pipes, bool(self._task.environ.get("PYTHONUNBUFFERED")))
        _settle(self._task)
        gc.freeze()
        exit_code = _run(self._task)
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        gc.collect()  # here at the latest a file that was left open is noticed
        raise SystemExit(exit_code)


def _take_over(pipes: List[Any], is_unbuffered: bool) -> None:
    """Make the pipes standard input, output and error."""
    for number, pipe in enumerate(pipes):
        fd = pipe.detach()
        os.dup2(fd, number)
        os.close(fd)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]
    out = io.TextIOWrapper(open(1, "wb", 0 if is_unbuffered else -1, closefd=False), "utf-8", write_through=is_unbuffered)
    sys.stdout = sys.__stdout__ = out  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # type: ignore[misc]


def _settle(task: Task) -> None:
    """Become as a new Python in development mode is before it runs a program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("error")
    faulthandler.enable(sys.__stderr__)  # type: ignore[arg-type]
    os.environ.clear()
    os.environ.update(task.environ)
    Pyro5.config.reset()
    os.chdir(task.cwd)


def _run(task: Task) -> int:
    """Run the program to its end, and give its exit code."""
    sys.argv = [task.target, *task.arguments]
    try:
        if task.target.endswith(".py"):
            sys.path.insert(0, os.path.dirname(task.target))
            runpy.run_path(task.target, run_name="__main__")
        else:
            sys.path.insert(0, task.cwd)
            is_package = hasattr(sys.modules.get(task.target), "__path__")
            # it was loaded before the fork, it runs now
            sys.modules.pop(task.target + ".__main__" if is_package else task.target, None)
            runpy.run_module(task.target, run_name="__main__", alter_sys=True)
    except SystemExit as x:
        if x.code is None or isinstance(x.code, int):
            return x.code or 0
        print(x.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # as Python does
        sys.excepthook(*sys.exc_info())
        return 1
    return 0
