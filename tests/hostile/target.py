"""A server process: what attackers can do with it, what a well-behaved client gets, and what the system says of it."""
from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from typing import Any, Dict, List, NamedTuple

from Pyro5._gateway import calls as gateway_calls
from Pyro5._naming import regex_sandbox

from ..peers import CERTIFICATES
from ..rawclient import RawClient, wait_until
from ..support import PATIENCE_SECONDS, PROJECT
from .proofs import prove

PROMISED_SECONDS = 1.0  # within this time every well-behaved client is served
CLIENT_SECONDS = 20.0  # for a machine that has other things to do, too; generous
# Of the name server: the pipes to processes that match regular expressions; both ends of the gateway's connections to it.
KEPT_FILES = 2 * regex_sandbox.PROCESSES + 2 * gateway_calls.IDLE_CONNECTIONS
MEASURABLE = os.path.isdir("/proc/self/fd")
# Large blocks go back to the system when they are freed, however many there are: else growth could not be told from habit.
RETURNS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


class State(NamedTuple):
    """What the server process has: MiB now and at the most, threads, open files."""

    memory: float
    peak: float
    threads: int
    files: int


class Late(AssertionError):
    """A well-behaved client had to wait for too long."""


def _slowdown() -> float:
    """Return how many times as long as its processor time a piece of work takes now, as others need the processors too."""
    began, began_work = time.monotonic(), time.thread_time()
    while time.thread_time() - began_work < 0.05:
        pass
    return (time.monotonic() - began) / 0.05


class Target:
    """The server process; a context manager, which sees that it ends by itself and has not complained.

    Args:
        servertype: thread, multiplex or aio.
        scale: how many times as many clients, calls and so on the large attacks use.
    """

    def __init__(self, servertype: str, scale: int = 1) -> None:
        self.servertype = servertype
        self.scale = scale
        self.slowest_seconds = 0.0  # of the well-behaved clients
        self._held: List[RawClient] = []
        self._unaccepted: List[RawClient] = []  # held ones that the server has to end
        self._process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore::SyntaxWarning", "-m", "tests.hostile.server",
             servertype], cwd=PROJECT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
            env={**os.environ, **RETURNS_MEMORY})
        self.ports: Dict[str, int] = {}

    def __enter__(self) -> Target:
        self.ports = json.loads(self._process.stdout.readline())  # type: ignore[union-attr]
        for name in self.ports:
            self._visit(name)
        return self

    def __exit__(self, exc_type: Any, *exc_info: object) -> None:
        self.release()
        try:
            _out, err = self._process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            self._process.kill()
        if exc_type is None and (err or self._process.returncode):
            raise AssertionError("the server ended with %d: %s" % (self._process.returncode, err))

    # ------------------------------------------------------------ attackers

    def connect(self, name: str = "plain", receive_buffer: int = 0, source: str = "") -> RawClient:
        """Return a client that has not said anything yet.

        Args:
            source: the address that it connects from; ignored where the system does not have it.
        """
        sock = socket.socket()
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(CLIENT_SECONDS)
            with contextlib.suppress(OSError):
                sock.bind((source or "127.0.0.1", 0))
            sock.connect(("127.0.0.1", self.ports[name]))
        except BaseException:
            sock.close()
            raise
        client = RawClient(sock)
        client.sock.settimeout(CLIENT_SECONDS)
        return client

    def connect_with_handshake(self, name: str = "plain", object_id: str = "", receive_buffer: int = 0,
                               source: str = "") -> RawClient:
        """Return a client that has been let in."""
        client = self.connect(name, receive_buffer, source)
        if name == "tls":
            client.sock = tls_context().wrap_socket(client.sock, server_hostname="127.0.0.1")
        if name == "guarded":
            return prove(client)
        return client.greet(object_id or ("Pyro.NameServer" if name == "names" else "obj"))

    def hold(self, client: RawClient, is_unaccepted: bool = False) -> None:
        """Leave a connection as it is while the attacks go on; an unaccepted one has not finished its handshake."""
        (self._unaccepted if is_unaccepted else self._held).append(client)

    def close_clients(self) -> None:
        """End the connections that are held, but for unaccepted ones."""
        while self._held:
            self._held.pop().close()

    def release(self) -> None:
        """End the connections that are held; the server has to end the unaccepted ones."""
        self.close_clients()
        while self._unaccepted:
            client = self._unaccepted.pop()
            try:
                read_to_the_end(client)
            finally:
                client.close()

    # ------------------------------------------------------------ well-behaved clients

    def probe(self, *names: str) -> float:
        """Be a new, well-behaved client of these daemons, or of all; gives the seconds that the slowest of them took.

        Raises:
            Late: it was not served in time.
        """
        seconds = max(map(self._visit, names or self.ports))
        self.check_promise(seconds)
        return seconds

    def check_promise(self, seconds: float) -> None:
        """Record that a well-behaved client was served after so long.

        Raises:
            Late: it is too long.
        """
        if seconds > PROMISED_SECONDS and seconds > PROMISED_SECONDS * _slowdown():
            raise Late("a well-behaved client was served after %.1f s" % seconds)
        self.slowest_seconds = max(self.slowest_seconds, seconds)

    def _visit(self, name: str) -> float:
        started = time.monotonic()
        if name == "http":
            self._visit_gateway()
            return time.monotonic() - started
        with self.connect_with_handshake(name) as client:
            if name == "names":
                client.call("ping", object_id="Pyro.NameServer")
            elif client.call("echo", "well") != "well":
                raise AssertionError("a wrong answer")
        return time.monotonic() - started

    def _visit_gateway(self) -> None:
        body = b'["well"]'
        with socket.create_connection(("127.0.0.1", self.ports["http"]), CLIENT_SECONDS) as sock:
            sock.sendall(b"POST /pyro/http.obj/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
                         b"application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        if not answer.endswith(b'\r\n\r\n"well"'):
            raise AssertionError("a wrong answer: %r" % answer[:300])

    # ------------------------------------------------------------ the server process

    def state(self) -> State:
        """Look at the process; zeros where the system does not tell."""
        if not MEASURABLE:
            return State(0, 0, 0, 0)
        home = "/proc/%d/" % self._process.pid
        with open(home + "status", encoding="ascii") as file:
            status = dict(line.split(":", 1) for line in file)
        memory, peak = (int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
        return State(memory, peak, int(status["Threads"]), len(os.listdir(home + "fd")))

    def release_memory(self) -> None:
        """Make the process free its garbage and return free memory to the system."""
        self._process.stdin.write("\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        self._process.stdout.readline()  # type: ignore[union-attr]

    def forget_peak(self) -> None:
        """Reset the peak of the memory to its current value."""
        with contextlib.suppress(OSError), open("/proc/%d/clear_refs" % self._process.pid, "w", encoding="ascii") as file:
            file.write("5")

    @property
    def held(self) -> int:
        """How many connections are held."""
        return len(self._held) + len(self._unaccepted)

    def wait_for_files(self, most: int) -> None:
        """Wait until the server has no more open files than that, but for those that lead to processes that are kept."""
        most += KEPT_FILES
        wait_until(lambda: self.state().files <= most, "closing all but %d files" % most)

    def wait_for_threads(self, most: int) -> None:
        """Wait until the server has no more threads than that: one of the gateway ends a moment after its connection."""
        wait_until(lambda: self.state().threads <= most, "the end of all but %d threads" % most)


def read_to_the_end(client: RawClient) -> None:
    """Read, until the server ends the connection, whatever it says."""
    try:
        while client.sock.recv(65536):
            continue
    except ConnectionError:
        return


@functools.lru_cache(maxsize=None)
def tls_context() -> ssl.SSLContext:
    """Make what clients of the encrypted daemon need."""
    return ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "ca.pem"))
