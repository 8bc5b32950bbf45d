"""
Run the whole suite in several processes: ``python -m tests``; ends with unittest's own summary of all of them.

A process that is done with a module gets the next one.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections import Counter, deque
from pathlib import Path
from typing import Any, Deque, Iterator, List

HERE = Path(__file__).parent
# Tests of processes and time-outs mostly wait: one process more than cores, but no more than so many.
MAX_PROCESSES = 3
# The modules that take longest come first, so that no process has to wait long for another at the end.
LONGEST = ("tests.test_hostile_thread", "tests.test_hostile_multiplex", "tests.test_conformance", "tests._server.test_quotas",
           "tests.examples.test_features", "tests.test_wire_server", "tests._gateway.test_page", "tests._server.test_loop",
           "tests.test_faults", "tests._naming.storage.test_processes", "tests.test_bench", "tests.test_network",
           "tests.test_failures", "tests.test_processes", "tests.examples.test_applications",
           "tests._values.marshal.test_check", "tests._naming.test_liveness", "tests.utils.test_echoserver",
           "tests.test_endings", "tests.test_nameserver")


def interpreter() -> List[str]:
    """This interpreter, with the -X and -W options that it was started with."""
    options = ["-X" + name for name in sys._xoptions] + ["-W" + option for option in sys.warnoptions]
    return [sys.executable, *dict.fromkeys(options)]


def ordered_modules() -> List[str]:
    """Give the names of all test modules, in the order in which to begin with them."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    names = [".".join(("tests", *path.relative_to(HERE).with_suffix("").parts)) for path in HERE.rglob("test_*.py")]
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


class Worker:
    """A process that runs modules. It writes a line to its standard output when it wants the name of the next one."""

    def __init__(self, modules: Deque[str]) -> None:
        self._modules = modules
        self._output = tempfile.TemporaryFile()
        command = [*interpreter(), "-m", "tests", "worker"]
        self._process = subprocess.Popen(command, cwd=str(HERE.parent), universal_newlines=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._output)
        self._thread = threading.Thread(target=self._hand_out)
        self._thread.start()

    def _hand_out(self) -> None:
        with self._process:
            requests, names = self._process.stdout or (), self._process.stdin
            for _ in requests:
                try:
                    print(self._modules.popleft(), file=names, flush=True)
                except IndexError:  # there are no more
                    print(file=names, flush=True)

    def wait(self) -> str:
        """Wait for the end, and give all that was printed."""
        self._thread.join()
        with self._output:
            self._output.seek(0)
            return self._output.read().decode("utf-8", "replace")

    @property
    def failed(self) -> bool:
        return self._process.returncode != 0


class ModulesAsked(unittest.TestSuite):
    """The tests of one module after the other, as a worker gets their names."""

    _cleanup = False  # there is nothing to forget

    def __init__(self, names: Any, requests: Any) -> None:
        super().__init__()
        self._names = names
        self._requests = requests

    def __iter__(self) -> Iterator[Any]:
        while True:
            print("next", file=self._requests, flush=True)
            name = self._names.readline().strip()
            if not name:
                return
            yield unittest.defaultTestLoader.loadTestsFromName(name)


def work() -> int:
    """Run the modules whose names are given; what tests read is empty, what they print goes where errors go."""
    with os.fdopen(os.dup(0)) as names, os.fdopen(os.dup(1), "w") as requests:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.argv[0] = "python -m unittest"
        return int(not unittest.TextTestRunner().run(ModulesAsked(names, requests)).wasSuccessful())


def main() -> int:
    started = time.monotonic()
    modules = deque(ordered_modules())
    workers = [Worker(modules) for _ in range(min(MAX_PROCESSES, (os.cpu_count() or 1) + 1))]
    outputs = [worker.wait() for worker in workers]
    failed = any(worker.failed for worker in workers) or bool(modules)
    print("".join(outputs) if failed else "".join(output.splitlines(keepends=True)[0] for output in outputs))
    print_summary(outputs, failed, time.monotonic() - started)
    return int(failed)


def print_summary(outputs: List[str], failed: bool, seconds: float) -> None:
    """Print what unittest prints at the end, for all processes together."""
    counts: Counter[str] = Counter()
    for output in outputs:
        end = output[output.rfind("\nRan "):]
        counts["run"] += int((re.findall(r"\nRan (\d+) test", end) or ["0"])[0])
        for what, number in re.findall(r"([a-z ]+)=(\d+)", end):
            counts[what.strip()] += int(number)
    details = ", ".join("%s=%d" % item for item in counts.items() if item[0] != "run")
    print("-" * 70)
    print("Ran %d tests in %.3fs\n" % (counts["run"], seconds))
    print(("FAILED" if failed else "OK") + (" (%s)" % details if details else ""))


if __name__ == "__main__":
    sys.exit(work() if sys.argv[1:] == ["worker"] else main())
