"""Servers with leased names that are killed with -9: when their names are gone, and when watchers know it.

``python -m tests.faults.leases KILLS TTL`` prints what was seen as JSON.
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, NamedTuple

from Pyro5 import errors
from Pyro5.client import locate_ns
from Pyro5.nameserver import NameServerDaemon

from ..support import PATIENCE_SECONDS, clean_environment, daemon_thread

MARGIN_SECONDS = 1.0  # between the end of a lease and the event that says so
PROGRAM = """
import sys, Pyro5.api
class Thing:
    @Pyro5.api.expose
    def name(self):
        return "thing"
daemon = Pyro5.api.Daemon("127.0.0.1")
with Pyro5.api.locate_ns("127.0.0.1", int(sys.argv[1])) as ns:
    daemon.register_with(ns, sys.argv[2], Thing(), ttl=float(sys.argv[3]))
print("ready", flush=True)
daemon.requestLoop()
"""


class Seen(NamedTuple):
    """The results of a run.

    Attributes:
        gone_seconds: from each kill until a watcher was told that the name is gone.
        problems: what must not happen.
    """

    gone_seconds: List[float]
    problems: List[str]

    def line(self) -> str:
        return "%d servers killed; names gone, and watchers told, after %.2f s at most" % (
            len(self.gone_seconds), max(self.gone_seconds))


def run(kills: int, ttl: float, margin: float = MARGIN_SECONDS) -> Seen:
    """Kill servers one after the other, while others go on.

    Args:
        margin: seconds that it may take longer than the lease.
    """
    with NameServerDaemon("127.0.0.1", 0) as daemon, daemon_thread(daemon):
        port = daemon.sock.getsockname()[1]
        with locate_ns("127.0.0.1", port) as ns, ns.watch("killed.") as events:
            ns._pyroTimeout = PATIENCE_SECONDS
            while next(events).kind != "ready":
                pass
            servers = [_start(port, "killed.%d" % number, ttl) for number in range(kills)]
            try:
                return _kill_all(servers, ns, events, ttl + margin)
            finally:
                for server in servers:
                    server.kill()
                    server.communicate()


def _start(port: int, name: str, ttl: float) -> Any:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(port), name, str(ttl)], env=clean_environment(None),
                            stdout=subprocess.PIPE, text=True)


def _kill_all(servers: List[Any], ns: Any, events: Any, seconds: float) -> Seen:
    seen = Seen([], [])
    for server in servers:
        if server.stdout.readline() != "ready\n":
            seen.problems.append("a server did not start")
    for number, server in enumerate(servers):
        name = "killed.%d" % number
        # On a machine that is too busy its lease may have ended, and no further event would say that the name is gone.
        while _is_unknown(ns, name):
            next(event for event in events if event[:2] == ("added", name))
        killed_at = time.monotonic()
        os.kill(server.pid, signal.SIGKILL)
        # On a machine that is too busy, leases of other servers end too, and are registered again.
        next(event for event in events if event[:2] == ("removed", name) and _is_unknown(ns, name))
        seen.gone_seconds.append(time.monotonic() - killed_at)
        if seen.gone_seconds[-1] > seconds:
            seen.problems.append("%s was still there %.2f s after it was killed" % (name, seen.gone_seconds[-1]))
    return seen


def _is_unknown(ns: Any, name: str) -> bool:
    try:
        ns.lookup(name)
        return False
    except errors.NamingError:
        return True


if __name__ == "__main__":
    result: Dict[str, Any] = run(int(sys.argv[1]), float(sys.argv[2]))._asdict()
    print(json.dumps(result))
