"""Starts servers and clients, each in its own process, and takes samples of them."""
from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, Iterable, List, TextIO

from Pyro5 import __version__

from ..bench.progress import Progress
from ..support import PATIENCE_SECONDS, PROJECT, clean_environment
from .clients import KINDS
from .figures import SERVERS
from .machine import usage
from .meter import merge

MOST_SAMPLES = 300
# Without this, the C library's malloc keeps for each thread what large values once took, and the lines would show that
# instead of what is in use.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
SHORTEST_SECONDS = 0.1


class SoakError(Exception):
    """A process has ended by itself, or does not answer."""


class Process:
    """A part of the soak. As a context manager it ends with the block: its standard input is closed."""

    def __init__(self, title: str, *command: str) -> None:
        self.title = title
        self._process = subprocess.Popen([sys.executable, "-m", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         cwd=PROJECT, env=clean_environment(MALLOC), encoding="utf-8")
        self.pid = self._process.pid
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ask_to_end()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise SoakError("%s did not end when it was asked to" % self.title) from None
        finally:
            self._reader.join()
            if self._process.stdout:
                self._process.stdout.close()
        if self._process.returncode and exc_info[0] is None:
            raise SoakError("%s ended with exit code %d" % (self.title, self._process.returncode))

    def ask_to_end(self) -> None:
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def readline(self) -> str:
        """Wait for the next line that it prints."""
        try:
            return self._lines.get(timeout=PATIENCE_SECONDS).strip()
        except queue.Empty:
            raise SoakError("%s does not answer" % self.title) from None

    def lines(self) -> List[str]:
        """Return the lines that it has printed meanwhile."""
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._lines.get_nowait())
        return lines

    def check(self) -> None:
        if self._process.poll() is not None:
            raise SoakError("%s has ended by itself, with exit code %d" % (self.title, self._process.returncode))


def soak(minutes: float, kinds: Iterable[str] = KINDS, stream: TextIO = sys.stderr) -> Dict[str, Any]:
    """Run for so long, with these kinds of clients; give everything that was sampled.

    Raises:
        SoakError: a process failed.
    """
    seconds = max(SHORTEST_SECONDS, minutes * 60 / MOST_SAMPLES)
    began = datetime.datetime.now(datetime.timezone.utc)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        servers = [running.enter_context(Process(kind, "tests.soak.servers", kind, folder)) for kind in SERVERS]
        uris = [server.readline() for server in servers]
        clients = [running.enter_context(Process(kind + " client", "tests.soak.clients", kind, str(seconds), *uris))
                   for kind in kinds]
        samples = _sample(servers + clients, seconds, minutes * 60, Progress(stream))
        for client in clients:
            client.ask_to_end()
    return {"format": 1, "date": began.date().isoformat(), "minutes": minutes, "pyro": __version__,
            "python": "%s %s" % (platform.python_implementation(), platform.python_version()),
            "cores": os.cpu_count(), "processes": [process.title for process in servers + clients], "samples": samples}


def _sample(processes: List[Process], every_seconds: float, seconds: float, progress: Progress) -> List[Dict[str, Any]]:
    samples: List[Dict[str, Any]] = []
    count = max(4, round(seconds / every_seconds))
    began, pause = time.monotonic(), threading.Event()
    progress.expect(count)
    for number in range(1, count + 1):
        progress.step("%d of %d samples, %d mistakes" % (number, count, sum(one["calls"]["failed"] for one in samples)))
        pause.wait(began + number * every_seconds - time.monotonic())
        for process in processes:
            process.check()
        calls = merge(json.loads(line) for process in processes for line in process.lines())
        calls["times"] = {where: sorted(counts.items()) for where, counts in calls["times"].items()}
        samples.append({"time": time.monotonic() - began, "calls": calls,
                        "usage": {process.title: usage(process.pid) for process in processes}})
    progress.clear()
    return samples
