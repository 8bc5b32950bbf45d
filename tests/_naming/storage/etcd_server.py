"""Real etcd servers for tests: one node, or a cluster, on free ports of the loopback address."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from typing import Any, Dict, List, Optional, Sequence

from ...support import PATIENCE_SECONDS

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pyro5-tests", "etcd")
ETCD = shutil.which("etcd") or shutil.which("etcd", path=os.path.join(CACHE, "usr", "bin"))
WHY_NOT = None if ETCD else "there is no etcd here: run .ci/etcd, which downloads Debian's package etcd-server"
POLL_SECONDS = 0.02
# Elections are short, so that a test of a killed leader is. Leases last at least one and a half of these timeouts.
ELECTION_MILLISECONDS, HEARTBEAT_MILLISECONDS = 300, 30


def free_ports(count: int) -> List[int]:
    """Return ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        # Bound at the same time, so that they are different.
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


class Node:
    """An etcd server."""

    def __init__(self, name: str, folder: str, port: int, peer_port: int, cluster: str,
                 options: Sequence[str]) -> None:
        self.port = port
        self.url = "%s://127.0.0.1:%d" % ("https" if options else "http", port)
        peer_url = "http://127.0.0.1:%d" % peer_port
        self._log = os.path.join(folder, name + ".log")
        self._pause = threading.Event()
        self._command = [
            str(ETCD), "--name", name, "--data-dir", os.path.join(folder, name), "--unsafe-no-fsync",
            "--bcrypt-cost", "4",
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url, "--initial-cluster", cluster,
            "--election-timeout", str(ELECTION_MILLISECONDS), "--heartbeat-interval", str(HEARTBEAT_MILLISECONDS),
            *options]
        self._process: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> None:
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait(self) -> None:
        """Wait until the node answers, as a member with a leader."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._require_leader()
            except (OSError, KeyError):
                if time.monotonic() > until or self._process is None or self._process.poll() is not None:
                    with open(self._log, encoding="utf-8", errors="replace") as log:
                        raise AssertionError("etcd has not started:\n" + log.read()[-2000:]) from None
            self._pause.wait(POLL_SECONDS)  # the server is another program, which does not say when it is ready

    def _require_leader(self) -> None:
        self.ask("/v3/maintenance/status")["leader"]
        self.ask("/v3/kv/range", {"key": "YQ=="})

    def ask(self, path: str, request: Optional[Dict[str, Any]] = None) -> Any:
        """Send a request and return the reply."""
        body = json.dumps(request or {}).encode("ascii")
        # The client under test checks the certificate.
        context = ssl._create_unverified_context() if self.url.startswith("https") else None
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body), timeout=5, context=context) as reply:
            return json.loads(reply.read())

    def is_leader(self) -> bool:
        """Return whether it leads the cluster."""
        with contextlib.suppress(OSError, KeyError):
            status = self.ask("/v3/maintenance/status")
            return bool(status["leader"] == status["header"]["member_id"])
        return False

    def signal(self, number: int) -> None:
        """Send a signal to the process; after SIGSTOP, return when it has stopped."""
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitpid(self._process.pid, os.WUNTRACED)

    def kill(self) -> None:
        """End it with ``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it, also if it is stopped."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()


class Cluster:
    """Some nodes that are one cluster; a context manager.

    Args:
        options: of TLS, for a cluster with https.
    """

    def __init__(self, count: int = 1, options: Sequence[str] = ()) -> None:
        self._folder = tempfile.mkdtemp(prefix="pyro5-etcd-")
        ports = free_ports(2 * count)
        names = ["n%d" % number for number in range(count)]
        cluster = ",".join("%s=http://127.0.0.1:%d" % (name, port) for name, port in zip(names, ports[count:]))
        self.nodes = [Node(name, self._folder, ports[number], ports[count + number], cluster, options)
                      for number, name in enumerate(names)]

    def spec(self, prefix: str) -> str:
        """Return the option ``--storage`` for a name server."""
        return "etcd:http://%s/%s" % (",".join("127.0.0.1:%d" % node.port for node in self.nodes), prefix)

    def start(self) -> Cluster:
        """Start all nodes and wait until they answer."""
        try:
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                node.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def leader(self) -> Node:
        """Return the node that leads the cluster."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            for node in self.nodes:
                if node.is_leader():
                    return node
        raise AssertionError("no leader")

    def stop(self) -> None:
        """End all nodes and remove their files."""
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *error: Any) -> None:
        self.stop()
