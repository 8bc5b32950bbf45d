"""Runs the worker process, and notices when it crashes, hangs or grows."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, List, NamedTuple

from ..support import PROJECT
from .worker import STATE

HANG_SECONDS = 30.0
LOOK_SECONDS = 1.0
GROWTH_KIB = 32 * 1024
WORKER = ("-m", "tests.fuzz.worker")


class Result(NamedTuple):
    """What came of a run."""

    cases: int
    seconds: float
    findings: List[Dict[str, Any]]
    growth_kib: int  # between the end of the warming up and the end


class Watched:
    """Works through cases from `first` on, in as many processes as it takes, one after the other."""

    def __init__(self, seed: int, first: int, count: int, verbose: bool = False) -> None:
        self._seed = seed
        self._next = first
        self._end = first + count
        self._count = count
        self._verbose = verbose
        self._findings: List[Dict[str, Any]] = []
        self._growth = 0

    def run(self) -> Result:
        """Run to the end."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            state_file = os.path.join(folder, "state")
            while self._next < self._end:
                with open(state_file, "wb") as file:
                    file.write(STATE.pack(self._next, 0, 0))
                self._run_worker(state_file)
        return Result(self._count, time.monotonic() - started, self._findings, self._growth)

    def _run_worker(self, state_file: str) -> None:
        command = [sys.executable, *WORKER, str(self._seed), str(self._next), str(self._end - self._next),
                   state_file]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=PROJECT,
                              encoding="utf-8") as process:
            readers = [threading.Thread(target=self._read_findings, args=(process.stdout,))]
            errors: List[str] = []
            readers.append(threading.Thread(target=lambda: errors.extend(process.stderr or ())))
            for reader in readers:
                reader.start()
            hung = self._wait(process, state_file)
            for reader in readers:
                reader.join()
        at, before, after = _state(state_file)
        self._growth = max(self._growth, after - before)
        if process.returncode == 0:
            self._next = self._end
            return
        what = "hang: no progress for %g s" % HANG_SECONDS if hung else "crash: exit code %d" % process.returncode
        self._note({"case": at, "kind": "?", "what": what, "traceback": "".join(errors)})
        self._next = at + 1

    def _wait(self, process: Any, state_file: str) -> bool:
        """Wait for the end; True if it had to be enforced."""
        at, since = -1, time.monotonic()
        while True:
            try:
                process.wait(LOOK_SECONDS)
                return False
            except subprocess.TimeoutExpired:
                now_at, before, now = _state(state_file)
            if now_at != at:
                at, since = now_at, time.monotonic()
                self._report("%d of %d cases, %d findings, %d MiB\n"
                             % (at - self._end + self._count, self._count, len(self._findings), now // 1024))
            elif time.monotonic() - since > HANG_SECONDS:
                process.kill()
                return True

    def _read_findings(self, lines: Any) -> None:
        for line in lines:
            self._note(json.loads(line))

    def _note(self, finding: Dict[str, Any]) -> None:
        self._findings.append(finding)
        self._report("case %(case)d (%(kind)s): %(what)s\n%(traceback)s\n" % finding)

    def _report(self, text: str) -> None:
        if self._verbose:
            sys.stderr.write(text)


def _state(state_file: str) -> Any:
    with open(state_file, "rb") as file:
        return STATE.unpack(file.read(STATE.size))
