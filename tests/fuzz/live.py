"""The fuzzer against real daemons: the same cases over real connections, to server processes that are watched."""
from __future__ import annotations

import contextlib
import errno
import socket
import sys
import time
from typing import Any, Dict, List


from ..rawclient import RawClient
from ..support import PATIENCE_SECONDS, ToolProcess
from . import cases, served
from .cases import Case, make_case

ANSWER_SECONDS = 10.0  # a server that says nothing for so long, though the client has ended its side, hangs
PROBE_EVERY = 200
WARM_CASES = 2000
RECEIVE_BYTES = 65536


class LiveResult:
    """What came of a run against one server.

    Attributes:
        slowest_seconds: the longest that a well-behaved client had to wait.
        growth_kib: memory, between the end of the warming up and the end.
    """

    def __init__(self, servertype: str) -> None:
        self.servertype = servertype
        self.cases = 0
        self.findings: List[Dict[str, Any]] = []
        self.slowest_seconds = 0.0
        self.growth_kib = 0
        self.seconds = 0.0


class LiveTarget:
    """A server in its own process, and what is done to it."""

    def __init__(self, servertype: str, seed: int) -> None:
        self._seed = seed
        # without the memory debugger of development mode, which writes all over the gigabytes that a lie can announce
        self._process = ToolProcess("tests.fuzz.live", servertype, env={"PYTHONMALLOC": "pymalloc"})
        self.result = LiveResult(servertype)

    def run(self, count: int) -> LiveResult:
        """Send cases, until that many have been sent."""
        started = time.monotonic()
        with self._process as process:
            self._port = int(process.readline())
            warm_kib = 0
            number = -1
            while self.result.cases < count and process.process.poll() is None:
                number += 1
                case = make_case(self._seed, number)
                if case.kind == cases.SESSION:
                    self._send(number, case)
                if self.result.cases <= WARM_CASES:
                    warm_kib = self._memory()
            self._end(number)
            self.result.growth_kib = self._memory() - warm_kib
        self.result.seconds = time.monotonic() - started
        return self.result

    def _send(self, number: int, case: Case) -> None:
        self.result.cases += 1
        try:
            self._converse(case)
            if self.result.cases % PROBE_EVERY == 0:
                self._probe()
        except (OSError, EOFError, AssertionError) as x:
            self._note(number, "%s: %s" % (type(x).__name__, x))

    def _connect(self) -> RawClient:
        client = RawClient(socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS))
        client.sock.settimeout(ANSWER_SECONDS)
        return client

    def _converse(self, case: Case) -> None:
        """Send everything, end this side, and wait until the server ends the other."""
        with self._connect() as client:
            if case.handshake_done:
                client.greet("calls")
            try:
                for piece in case.pieces:
                    client.sock.sendall(piece)
                client.sock.shutdown(socket.SHUT_WR)
                while client.sock.recv(RECEIVE_BYTES):
                    continue
            except OSError as x:
                if not isinstance(x, ConnectionError) and x.errno != errno.ENOTCONN:
                    raise  # else the server has ended it already

    def _probe(self) -> None:
        started = time.monotonic()
        with self._connect() as client:
            client.greet("calls")
            if client.call("echo", self.result.cases, object_id="calls") != self.result.cases:
                raise AssertionError("a well-behaved client got a wrong answer")
        self.result.slowest_seconds = max(self.result.slowest_seconds, time.monotonic() - started)

    def _end(self, number: int) -> None:
        if self._process.process.poll() is not None:
            self._note(number, "the server has ended: %s" % (self._process.wait(),))

    def _memory(self) -> int:
        """Return the server's memory in KiB; 0 where that cannot be told."""
        with contextlib.suppress(OSError), open("/proc/%d/status" % self._process.process.pid, encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS"):
                    return int(line.split()[1])
        return 0

    def _note(self, number: int, what: str) -> None:
        self.result.findings.append({"case": number, "kind": "live " + self.result.servertype, "what": what, "traceback": ""})


def main() -> None:
    """The server: prints its port, and serves until it is killed.  A method that raises SystemExit does not end it."""
    with served.configured(SERVERTYPE=sys.argv[1], HANDSHAKE_TIMEOUT=PATIENCE_SECONDS):
        with served.FuzzedDaemon() as daemon:
            print(daemon.sock.getsockname()[1], flush=True)
            while True:
                with contextlib.suppress(SystemExit, KeyboardInterrupt, GeneratorExit):
                    daemon.requestLoop()


if __name__ == "__main__":
    main()
