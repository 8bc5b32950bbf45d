"""
Run the whole suite in several processes: ``python -m tests``.

Each process runs one module after the other and reports it when it is done, so progress shows from the first second.
The run ends with a list of what was skipped and why, and with unittest's own closing lines for all processes together.
The exit code is 0 if the last line begins with OK.
"""
from __future__ import annotations

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
from typing import Any, Deque, Dict, List, NamedTuple, Tuple

HERE = Path(__file__).parent
# Tests of processes and time-outs mostly wait: one process more than cores, but no more than this.
MAX_PROCESSES = 3
# The modules that take longest come first, so that no process has to wait long for another at the end.
LONGEST = ("tests.test_inert_values", "tests.test_hostile_thread", "tests.test_hostile_multiplex",
           "tests.test_conformance", "tests._server.test_quotas",
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
    with os.fdopen(os.dup(0)) as names, os.fdopen(os.dup(1), "w") as reports:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.argv[0] = "python -m unittest"
        for line in names:
            print(json.dumps(run_module(line.strip())), file=reports, flush=True)
    return 0


# ---------------------------------------------------------------- in the process that was started

class Suite:
    """Hands out modules to the processes, and collects and prints what they report."""

    def __init__(self) -> None:
        self.reports: List[Report] = []
        self._lock = threading.Lock()  # guards the modules left, the reports, and printing
        self._waiting: Deque[str] = deque(ordered_modules())
        self._total = len(self._waiting)
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

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


class Worker:
    """A process that runs modules: it reads names, and writes a report for each."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._output = tempfile.TemporaryFile()  # what the tests print
        self._process = subprocess.Popen([*interpreter(), "-m", "tests", "worker"], cwd=str(HERE.parent),
                                         universal_newlines=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=self._output)
        self._thread = threading.Thread(target=self._hand_out)
        self._thread.start()

    def _hand_out(self) -> None:
        with self._process:
            for module in iter(self._suite.next_module, ""):
                self._suite.add(self._run(module))

    def _run(self, module: str) -> Report:
        started = time.monotonic()
        try:
            print(module, file=self._process.stdin, flush=True)
            return Report(*json.loads(self._process.stdout.readline()))  # type: ignore[union-attr]
        except (OSError, ValueError):  # its process has ended, in the middle of the module or before it
            text = "the process that ran it ended with exit code %s" % self._process.wait()
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


def main() -> int:
    # A script that starts this with & lets it ignore SIGINT, and so would all processes that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    suite = Suite()
    print("%d modules" % len(ordered_modules()), flush=True)
    workers = [Worker(suite) for _ in range(min(MAX_PROCESSES, (os.cpu_count() or 1) + 1))]
    printed = "".join([worker.wait() for worker in workers])
    if printed.strip():
        print("The tests printed:\n%s" % printed)
    for report in suite.reports:
        if not report.ok:
            print("FAILED: %s" % report.module)
    print_skipped(suite.reports)
    return 0 if print_summary(suite.reports, suite.seconds) else 1


if __name__ == "__main__":
    args: Any = sys.argv[1:]
    sys.exit(work() if args == ["worker"] else main())
