"""The programs as processes: whose Python and whose Pyro5 they run with, and orders to the clients."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any, Dict, Optional, Set

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
# What an order may take longer than it was told to; only something broken takes longer.
PATIENCE_SECONDS = 120.0


PLACEMENTS = ("apart", "together", "free")


class BenchmarkError(Exception):
    """A program cannot be run, or does not do what it is told."""


class Placement:
    """Which processors clients and servers run on. Left free, the system moves them together and apart as it likes, and how
    long one takes to wake the other changes several times over from one minute to the next.

    Args:
        name: "apart": clients on one processor, servers on the others. "together": all on the same. "free": anywhere.
    """

    def __init__(self, name: str) -> None:
        processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.clients: Set[int] = set()
        self.servers: Set[int] = set()
        if name == "together":
            self.clients = self.servers = set(processors[:1])
        elif name == "apart" and len(processors) > 1:
            self.clients, self.servers = set(processors[:1]), set(processors[1:])
        self.name = name if self.clients else "free"


class Side:
    """A Python together with a Pyro5.

    Args:
        name: "this" or "other".
        placement: where its programs run.
        against: None for this Python and the Pyro5 of this project; else a Python that has a Pyro5 installed, or a folder
            that has a Pyro5 in it, which is then run by this Python.
    """

    def __init__(self, name: str, placement: Placement, against: Optional[str] = None) -> None:
        self.name = name
        self._placement = placement
        is_folder = against is not None and os.path.isdir(against)
        self.python = sys.executable if against is None or is_folder else against
        # settings and search paths of the user must not decide what is measured
        self.environment = {key: text for key, text in os.environ.items() if not key.startswith(("PYRO_", "PYTHON"))}
        if against is None or is_folder:
            self.environment["PYTHONPATH"] = os.path.abspath(against or PROJECT)

    def start_client(self) -> Program:
        """Start a client, which takes orders."""
        return Program(self, self._placement.clients, "-m", "programs.client")

    def start_server(self, module: str, *arguments: str) -> Program:
        """Start a server, which prints first where it can be reached."""
        return Program(self, self._placement.servers, "-m", module, *arguments)

    def run(self, *arguments: str) -> str:
        """Run a Python program to its end; give what it prints.

        Raises:
            BenchmarkError: it fails.
        """
        done = subprocess.run([self.python, *arguments], env=self.environment, cwd=HERE, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        if done.returncode:
            raise BenchmarkError("%s: %s" % (" ".join(arguments), done.stderr.strip().split("\n")[-1]))
        return done.stdout


class Program:
    """A Python program that runs until the block is left, on these processors (anywhere if there are none)."""

    def __init__(self, side: Side, processors: Set[int], *arguments: str) -> None:
        self._title = "%s %s" % (side.python, " ".join(arguments))
        try:
            self._process = subprocess.Popen([side.python, *arguments], env=side.environment, cwd=HERE,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
        except OSError as x:
            raise BenchmarkError("cannot run %s: %s" % (side.python, x)) from x
        if processors:
            os.sched_setaffinity(self._process.pid, processors)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    def read(self, seconds: float = 0.0) -> Dict[str, Any]:
        """Return the next line that the program prints.

        Raises:
            BenchmarkError: it ends instead, or takes much longer than so many seconds.
        """
        timer = threading.Timer(seconds + PATIENCE_SECONDS, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else ""
        finally:
            timer.cancel()
        if not line:
            raise BenchmarkError("%s has ended, or did not answer" % self._title)
        return dict(json.loads(line))

    def ask(self, do: str, **arguments: Any) -> Dict[str, Any]:
        """Send a client an order, and return its answer, see `programs.client`."""
        self.order(do, **arguments)
        return self.read(arguments.get("seconds", 0.0))

    def order(self, do: str, **arguments: Any) -> None:
        """Send a client an order; its answer has to be read."""
        if self._process.stdin is None:
            raise BenchmarkError("%s takes no orders" % self._title)
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError as x:
            raise BenchmarkError("%s has ended" % self._title) from x
