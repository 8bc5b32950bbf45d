"""Name servers on an etcd cluster of three nodes, one of each killed with -9 again and again, while clients look names up and
register others.

``python -m tests.faults.etcd_kills SECONDS`` prints what was seen as JSON.
"""
from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from Pyro5 import errors
from Pyro5.client import Proxy, locate_ns

from .._naming.storage import etcd_server
from ..support import PATIENCE_SECONDS, clean_environment

SERVERS = 3
LOOKUPS_PER_SECOND, REGISTRATIONS_PER_SECOND = 200, 20
BACK_SECONDS = 3.0      # in which registrations have to succeed again
DOWN_SECONDS = 2.0      # that a killed process is away
URI = "PYRO:thing%d@host:1"
PROGRAM = """
import sys
from Pyro5 import nameserver
sys.exit(nameserver.main(["-n", "127.0.0.1", "-p", sys.argv[1], "-x", "-s", sys.argv[2]]))
"""


class Seen(NamedTuple):
    """The results of a run.

    Attributes:
        away_seconds: the longest time in which no registration succeeded.
        problems: what must not happen.
    """

    kills: int
    lookups: int
    registrations: int
    away_seconds: float
    problems: List[str]

    def line(self) -> str:
        return ("%d kills of name servers and etcd nodes, %d lookups, %d registrations, the next one after %.2f s at most"
                % (self.kills, self.lookups, self.registrations, self.away_seconds))


class _NameServer:
    """A name server process that keeps its port."""

    def __init__(self, port: int, spec: str) -> None:
        self.port = port
        self._spec = spec
        self._pause = threading.Event()
        self._process: Any = None

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(self.port), self._spec],
                                         env=clean_environment(None), stdout=subprocess.DEVNULL)

    def wait(self) -> None:
        with Proxy("PYRO:Pyro.NameServer@127.0.0.1:%d" % self.port) as ns:
            until = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    return ns.ping()  # type: ignore[no-any-return]
                except errors.CommunicationError:
                    if time.monotonic() > until:
                        raise
                self._pause.wait(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class _Clients:
    """Threads that look names up and register others through a list of name servers."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._ended = threading.Event()
        self.lookups = 0
        self.acknowledged: Dict[str, str] = {}
        self.away_seconds = 0.0
        self.problems: List[str] = []
        self._threads = [threading.Thread(target=self._repeat, args=(each, per_second)) for each, per_second in (
            (self._look_up, LOOKUPS_PER_SECOND), (self._register, REGISTRATIONS_PER_SECOND))]

    def __enter__(self) -> _Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, action: Callable[[Any, int], None], per_second: int) -> None:
        ns: Optional[Any] = None
        began, number, last = time.monotonic(), 0, time.monotonic()
        while not self._ended.wait(max(began + number / per_second - time.monotonic(), 0)):
            number += 1
            # As a client does: when its name server is gone, it uses the next one of the list.
            for _ in range(SERVERS + 1):
                try:
                    ns = ns or locate_ns(self._where)
                    ns._pyroTimeout = PATIENCE_SECONDS
                    action(ns, number)
                    break
                except errors.CommunicationError:
                    ns = ns and ns._pyroRelease()
                except errors.NamingError as x:
                    if "cannot be located" not in str(x) and action == self._look_up:
                        self.problems.append("lookup: %s" % x)
                        break
            else:
                if action == self._look_up:
                    self.problems.append("a lookup failed with all name servers")
            if action == self._register:
                # From one success to the next.
                now = time.monotonic()
                self.away_seconds = max(self.away_seconds, now - last)
                last = now if "new.%d" % number in self.acknowledged else last
        if ns is not None:
            ns._pyroRelease()

    def _look_up(self, ns: Any, number: int) -> None:
        if str(ns.lookup("fixed.%d" % (number % 10))) != URI % (number % 10):
            self.problems.append("a lookup found another uri")
        self.lookups += 1

    def _register(self, ns: Any, number: int) -> None:
        ns.register("new.%d" % number, URI % number)
        self.acknowledged["new.%d" % number] = URI % number


def run(seconds: float, seed: int = 1) -> Seen:
    """Kill processes for some time."""
    chance = random.Random(seed)
    with etcd_server.Cluster(3) as cluster:
        spec = cluster.spec("faults")
        servers = [_NameServer(port, spec) for port in etcd_server.free_ports(SERVERS)]
        try:
            for server in servers:
                server.start()
            for server in servers:
                server.wait()
            return _run(cluster, servers, seconds, chance)
        finally:
            for server in servers:
                server.kill()


def _run(cluster: Any, servers: List[_NameServer], seconds: float, chance: random.Random) -> Seen:
    where = ",".join("127.0.0.1:%d" % server.port for server in servers)
    with locate_ns(where) as ns:
        for number in range(10):
            ns.register("fixed.%d" % number, URI % number)
        kills = 0
        with _Clients(where) as clients:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                # The leader in every other round, for which the cluster has to elect another one.
                victims: List[Any] = [chance.choice(servers),
                                      cluster.leader() if kills % 4 == 0 else chance.choice(cluster.nodes)]
                for victim in victims:
                    victim.kill()
                    kills += 1
                threading.Event().wait(DOWN_SECONDS)
                for victim in victims[::-1]:
                    victim.start()
                    victim.wait()
    problems = clients.problems[:10]
    if clients.away_seconds > BACK_SECONDS:
        problems.append("no registration succeeded for %.2f s" % clients.away_seconds)
    for server in servers:
        problems += _lost(server, clients.acknowledged)
    return Seen(kills, clients.lookups, len(clients.acknowledged), clients.away_seconds, problems)


def _lost(server: _NameServer, acknowledged: Dict[str, str]) -> List[str]:
    with Proxy("PYRO:Pyro.NameServer@127.0.0.1:%d" % server.port) as ns:
        ns.register("last", URI % 0)  # so that everything before it has arrived
        found = ns.list(prefix="new.")
    lost = [name for name, uri in acknowledged.items() if found.get(name) != uri]
    return ["%d acknowledged registrations are lost: %s" % (len(lost), ", ".join(lost[:5]))] if lost else []


if __name__ == "__main__":
    result: Dict[str, Any] = run(float(sys.argv[1]))._asdict()
    print(json.dumps(result))
