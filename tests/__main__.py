"""Run the whole suite in several processes: ``python -m tests``, or some modules: ``python -m tests tests.test_client ...``.

Each process runs one module after the other and reports it when it is done, so progress shows from the first second.
With --again, modules that fail run once more at the end, alone; those that pass then are reported as unreliable, not as
failed.
The run ends with a list of what was skipped and why, and with unittest's own closing lines for all processes together.
The exit code is 0 if the last line begins with OK. If this process is interrupted or killed, all processes that it has started
end too.
"""
from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections import Counter, deque
from pathlib import Path
from typing import Deque, Dict, List, NamedTuple, Tuple

HERE = Path(__file__).parent
# Only a module that hangs takes this long, also on a busy machine and a slow build of Python: the stacks of its threads are
# printed, and its process ends.
MODULE_SECONDS = 600.0
# Tests of processes and time-outs mostly wait: twice as many processes as cores, but no more than this.
MAX_PROCESSES = 6
# The modules that take longest come first, so that no process has to wait long for another at the end.
LONGEST = ("tests.test_inert_values", "tests.test_hostile_thread", "tests.test_hostile_multiplex",
           "tests.test_conformance", "tests.test_layers", "tests._server.test_quotas",
           "tests.examples.test_features", "tests.test_wire_server", "tests._gateway.test_page", "tests._server.test_loop",
           "tests.test_faults", "tests._naming.storage.test_processes", "tests.test_bench", "tests.test_network",
           "tests.test_failures", "tests.test_processes", "tests.examples.test_applications",
           "tests._values.marshal.test_check", "tests._naming.test_liveness", "tests.utils.test_echoserver",
           "tests.test_endings", "tests.test_nameserver", "tests.test_fuzz", "tests.test_patterns", "tests.test_wire_client",
           "tests.usage.test_own_serializers", "tests._text.test_log_filter")


class Report(NamedTuple):
    """What became of one module."""

    module: str
    seconds: float
    run: int
    failures: int
    errors: int
    unexpected: int          # successes of tests that are expected to fail
    expected: int            # failures of such tests
    skipped: List[Tuple[str, str]]   # test, reason
    text: str                # what unittest printed, if something failed

    @property
    def ok(self) -> bool:
        return not (self.failures or self.errors or self.unexpected)


def interpreter() -> List[str]:
    """Return this interpreter, with the -X and -W options that it was started with."""
    options = ["-X" + name for name in sys._xoptions] + ["-W" + option for option in sys.warnoptions]
    return [sys.executable, *dict.fromkeys(options)]


def ordered_modules() -> List[str]:
    """Return the names of all test modules, in the order in which to start them."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    names = [".".join(("tests", *path.relative_to(HERE).with_suffix("").parts)) for path in HERE.rglob("test_*.py")]
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


# ---------------------------------------------------------------- in the processes that run tests

def run_module(name: str) -> Report:
    """Run the tests of one module in this process."""
    stream = io.StringIO()
    started = time.monotonic()
    result = unittest.TextTestRunner(stream=stream).run(unittest.defaultTestLoader.loadTestsFromName(name))
    return Report(name, time.monotonic() - started, result.testsRun, len(result.failures), len(result.errors),
                  len(result.unexpectedSuccesses), len(result.expectedFailures),
                  [(str(test), reason) for test, reason in result.skipped],
                  "" if result.wasSuccessful() else stream.getvalue())


def work() -> int:
    """Run the modules whose names come in; standard input of the tests is empty, their output goes to standard error."""
    own_process_group()
    with os.fdopen(os.dup(0)) as names, os.fdopen(os.dup(1), "w") as reports:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.argv[0] = "python -m unittest"
        for line in names:
            faulthandler.dump_traceback_later(MODULE_SECONDS, exit=True)
            report = run_module(line.strip())
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps(report), file=reports, flush=True)
    return 0


# ---------------------------------------------------------------- in a process that outlives the one that was started

def guard() -> int:
    """Read process ids from standard input until its end, then kill the process groups of those that have not been removed.

    A line is a sign, + to add and - to remove, and a process id. The end of the input means that the process that writes it
    has ended, in whatever way.
    """
    own_process_group()
    groups = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(OSError):  # it has ended by itself
            os.killpg(group, signal.SIGKILL)
    return 0


def own_process_group() -> None:
    """Become the leader of a process group, so that signals for the one of the parent process do not arrive here."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


# ---------------------------------------------------------------- in the process that was started

class Suite:
    """Hands out modules to the processes, and collects and prints what they report."""

    def __init__(self, modules: List[str]) -> None:
        self.reports: List[Report] = []
        self._lock = threading.Lock()  # guards the modules left, the reports, and printing
        self._waiting: Deque[str] = deque(modules)
        self._total = len(self._waiting)
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def stop(self) -> None:
        """Start no further module."""
        with self._lock:
            self._waiting.clear()

    def next_module(self) -> str:
        """Return the name of the next module; an empty string if none is left."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else ""

    def add(self, report: Report) -> None:
        """Count what became of a module, and print it."""
        with self._lock:
            self.reports.append(report)
            print("%4.0f s  %3d of %d  %s: %d tests, %.1f s%s" % (
                self.seconds, len(self.reports), self._total, report.module, report.run, report.seconds,
                "" if report.ok else "  FAILED\n" + report.text), flush=True)


class Guard:
    """The process that kills the workers' process groups when this process has ended, see `guard`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one line is written at a time
        self._process = subprocess.Popen([*interpreter(), "-m", "tests", "guard"], cwd=str(HERE.parent),
                                         stdin=subprocess.PIPE, universal_newlines=True)

    def add(self, pid: int) -> None:
        self._write("+%d" % pid)

    def remove(self, pid: int) -> None:
        self._write("-%d" % pid)

    def _write(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            print(line, file=self._process.stdin, flush=True)

    def end(self) -> None:
        """Kill the process groups that have been added and not removed."""
        self._process.communicate()


class Worker:
    """Runs modules in a process of their own: it reads names, and writes a report for each. If it ends, another one starts."""

    def __init__(self, suite: Suite, guard: Guard) -> None:
        self._suite = suite
        self._guard = guard
        self._output = tempfile.TemporaryFile()  # what the tests print
        self._process = self._start()
        self._thread = threading.Thread(target=self._hand_out)
        self._thread.start()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen([*interpreter(), "-m", "tests", "worker"], cwd=str(HERE.parent), universal_newlines=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._output)
        self._guard.add(process.pid)
        return process

    def _end(self) -> int:
        with self._process:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            exit_code = self._process.wait()
        self._guard.remove(self._process.pid)
        return exit_code

    def _hand_out(self) -> None:
        for module in iter(self._suite.next_module, ""):
            self._suite.add(self._run(module))
        self._end()

    def _run(self, module: str) -> Report:
        started = time.monotonic()
        try:
            print(module, file=self._process.stdin, flush=True)
            return Report(*json.loads(self._process.stdout.readline()))  # type: ignore[union-attr]
        except (OSError, ValueError):  # its process has ended, in the middle of the module or before it
            text = "the process that ran it ended with exit code %s" % self._end()
            self._process = self._start()
            return Report(module, time.monotonic() - started, 0, 0, 1, 0, 0, [], text)

    def wait(self) -> str:
        """Wait for the end, and return what the tests printed."""
        self._thread.join()
        with self._output:
            self._output.seek(0)
            return self._output.read().decode("utf-8", "replace")


def print_skipped(reports: List[Report]) -> None:
    """Print why tests were skipped, each reason once."""
    reasons: Dict[str, List[str]] = {}
    for report in reports:
        for test, reason in report.skipped:
            reasons.setdefault(reason, []).append("%s %s" % (report.module, test))
    for reason, tests in sorted(reasons.items(), key=lambda item: -len(item[1])):
        print("skipped %d: %s (%s%s)" % (len(tests), reason, tests[0], ", ..." if tests[1:] else ""))


def print_summary(reports: List[Report], seconds: float) -> bool:
    """Print what unittest prints at the end, for all modules together; return whether all is well."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update({"failures": report.failures, "errors": report.errors, "skipped": len(report.skipped),
                       "expected failures": report.expected, "unexpected successes": report.unexpected})
    ok = all(report.ok for report in reports)
    details = ", ".join("%s=%d" % item for item in counts.items() if item[1])
    print("-" * 70)
    print("Ran %d tests in %.3fs\n" % (sum(report.run for report in reports), seconds))
    print(("OK" if ok else "FAILED") + (" (%s)" % details if details else ""))
    return ok


def run(suite: Suite, processes: int = MAX_PROCESSES) -> str:
    """Run all modules of a suite in at most so many processes, and return what the tests printed."""
    guard = Guard()
    try:
        workers = [Worker(suite, guard) for _ in range(min(processes, 2 * (os.cpu_count() or 1)))]
        return "".join([worker.wait() for worker in workers])
    finally:
        suite.stop()
        guard.end()


def run_again(suite: Suite) -> str:
    """Run the modules that failed once more, one after the other; what fails only beside others depends on timing."""
    failed = [report.module for report in suite.reports if not report.ok]
    again = Suite(failed)
    printed = run(again, 1)
    passed = {report.module for report in again.reports if report.ok}
    for module in sorted(passed):
        print("UNRELIABLE: %s failed beside others, and passed alone" % module)
    suite.reports = [report for report in suite.reports if report.module not in failed] + again.reports
    return printed


def main(modules: List[str], is_again: bool = False) -> int:
    # A script that starts this with & lets it ignore SIGINT, and so would all processes that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("%d modules" % len(modules), flush=True)
    suite = Suite(modules)
    printed = run(suite)
    if is_again and not all(report.ok for report in suite.reports):
        printed += run_again(suite)
    if printed.strip():
        print("The tests printed:\n%s" % printed)
    for report in suite.reports:
        if not report.ok:
            print("FAILED: %s" % report.module)
    print_skipped(suite.reports)
    return 0 if print_summary(suite.reports, suite.seconds) else 1


if __name__ == "__main__":
    args = sys.argv[1:]
    if args in (["worker"], ["guard"]):
        sys.exit(work() if args == ["worker"] else guard())
    names = [arg for arg in args if arg != "--again"]
    sys.exit(main(names or ordered_modules(), names != args))
