"""A server with several processes, for the tests: processes_program.py PROCESSES [UNIXSOCKET [METRICS [NAMESERVER]]]"""
from __future__ import annotations

import os
import socket
import sys
import threading
from typing import Any, Iterator

from Pyro5.api import Daemon, Proxy, behavior, current_context, expose


@expose
@behavior("single")
class Shared:
    """Shows which process serves a client."""

    _pyroDaemon: Any

    def __init__(self) -> None:
        self.calls = 0

    def pid(self) -> int:
        return os.getpid()

    def supervisor(self) -> int:
        return os.getppid()

    def count(self) -> int:
        self.calls += 1
        return self.calls

    def exit(self, code: int) -> None:
        os._exit(code)

    def shut_down(self) -> None:
        self._pyroDaemon.shutdown()

    def wait_for_cancel(self) -> None:
        print("waiting", flush=True)
        current_context.cancelled.wait(60)
        print("cancelled: %s" % current_context.cancelled.is_set(), flush=True)

    def make(self) -> Any:
        made = OfSession()
        self._pyroDaemon.register(made)
        return made

    def call(self, callback: Any) -> Any:
        return callback.greet(os.getpid())

    def set_health(self) -> None:
        self._pyroDaemon.set_health(False, "session")

    def set_daemon_health(self, serving: bool) -> None:
        self._pyroDaemon.set_health(serving)

    def drain(self, seconds: float) -> None:
        self._pyroDaemon.drain(seconds)

    def numbers(self) -> Iterator[int]:
        yield from range(5)

    def wait_for_end(self) -> str:
        """Return when the daemon does not accept clients any more."""
        print("waiting", flush=True)
        host, _, port = self._pyroDaemon.locationStr.rpartition(":")
        while True:
            try:
                socket.create_connection((host, int(port))).close()
            except OSError:
                return "finished"


@expose
class OfSession:
    """Counts the calls of one connection."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self) -> int:
        self.calls += 1
        return self.calls


def main() -> None:
    _, processes, unixsocket, metrics, nameserver = [*sys.argv, "", "", ""][:5]
    with Daemon(processes=int(processes), unixsocket=unixsocket, metrics=metrics) as daemon:
        print(daemon.register(Shared, "shared"))
        print(daemon.metrics_port)
        if nameserver:
            daemon.register_with(Proxy(nameserver), "shared", Shared)
        daemon.register(OfSession, "session")
        print("ready", flush=True)
        threads = threading.active_count()
        daemon.requestLoop()
        print("ended in process %d, threads: %d" % (os.getpid(), threads), flush=True)


if __name__ == "__main__":
    main()
