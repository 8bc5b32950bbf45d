"""Clients, servers and a name server as processes of their own, which are killed at any moment and started again.

All of them are forks of one process without threads, which has loaded everything: starting one takes a few milliseconds.
"""
from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import traceback
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

from Pyro5 import config, errors, nameserver
from Pyro5._cli import console
from Pyro5.client import Proxy
from Pyro5.server import Daemon

from .ledger import Journal, Ledger, Summary, examine, read_journal
from .workload import Caller

CLIENTS = 3
# How long nothing is killed, at most, between two kills.
PAUSE_SECONDS = 0.06
# How often each is chosen.
WEIGHTS = {"names": 2, "server": 4, "client": 3}
START_SECONDS = 20.0  # only something broken takes longer
LEDGER, LINGER_SECONDS = "ledger", 1.0
# What a client writes down of a registration: before, and when it was acknowledged; "-" stands for no registration.
WANTED, DONE, NOTHING = "wanted", "done", "-"


class Place(NamedTuple):
    """Where the processes of a run meet."""

    folder: str
    servertype: str

    @property
    def names(self) -> str:
        """Where the name server can be reached; the same again when it was killed."""
        return "./u:" + os.path.join(self.folder, "names.sock")

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def name_server(self) -> Any:
        """Return a proxy."""
        return Proxy("PYRO:Pyro.NameServer@" + self.names)


def run_name_server(place: Place, number: int) -> None:
    console_log = os.open(place.path("names.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(console_log, sys.stdout.fileno())
    code = nameserver.main(["-u", place.path("names.sock"), "-x", "-s", "sql:" + place.path("names.db")])
    console.say("ended with %s" % code)


def run_server(place: Place, number: int) -> None:
    config.SERVERTYPE = place.servertype
    config.ITER_STREAM_LINGER = LINGER_SECONDS
    daemon = Daemon("127.0.0.1")
    uri = daemon.register(Ledger(Journal(place.path("executed")).write), LEDGER)
    _until_possible(lambda: place.name_server().register(LEDGER, uri))
    daemon.requestLoop()


def run_client(place: Place, number: int) -> None:
    journal = Journal(place.path("client.%d" % number))
    registrations = Registrations(place, number, Journal(place.path("registrations.%d" % number)))
    with Caller("c%d" % number, "PYRONAME:%s@%s" % (LEDGER, place.names), journal.write, seed=number,
                impatient=number % 2 == 0) as caller:
        while True:
            for _ in range(5):
                if not caller.step():
                    threading.Event().wait(0.005)  # let the server come back: failing is quick
            registrations.step()


class Registrations:
    """A client of the name server: it registers names of its own again and again, and removes them."""

    def __init__(self, place: Place, number: int, journal: Journal) -> None:
        self._names = ["c%d.%d" % (number, each) for each in range(3)]
        self._count = 0
        self._journal = journal
        self._random = random.Random(number)
        self._name_server = place.name_server()

    def step(self) -> None:
        """Change a registration."""
        self._count += 1
        name = self._random.choice(self._names)
        remove = self._random.random() < 0.3
        uri = NOTHING if remove else "PYRO:%s@host:%d" % (name, self._count)
        self._journal.write(WANTED, name, uri)
        try:
            if remove:
                self._name_server.remove(name)
            else:
                self._name_server.register(name, uri)
        except errors.CommunicationError:
            return
        self._journal.write(DONE, name, uri)


def _until_possible(do: Callable[[], Any]) -> Any:
    """Do something that fails while a server is away; give what it gives."""
    turn, patience = threading.Event(), START_SECONDS
    while True:
        try:
            return do()
        except (errors.CommunicationError, errors.NamingError):
            if patience <= 0:
                raise
            patience -= 0.01
            turn.wait(0.01)


class Stage:
    """The processes of a run, each with a part in it. As a context manager it leaves none of them behind."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._parts: Dict[str, Callable[[Place, int], None]] = {"names": run_name_server, "server": run_server}
        self._parts.update(("client %d" % number, run_client) for number in range(CLIENTS))
        self._pids: Dict[str, int] = {}
        self._started = 0

    def __enter__(self) -> Stage:
        for role in self._parts:
            self._start(role)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for role in list(self._pids):
            self._end(role)

    @property
    def roles(self) -> List[str]:
        return sorted(self._parts)

    def kill(self, role: str) -> None:
        """Kill the process, and start it again."""
        self._end(role)
        self._start(role)

    def end_clients(self) -> None:
        for role in [role for role in self._pids if role.startswith("client")]:
            self._end(role)

    def _start(self, role: str) -> None:
        self._started += 1
        pid = os.fork()
        if pid:
            self._pids[role] = pid
            return
        try:
            self._parts[role](self._place, self._started)
        except BaseException:
            traceback.print_exc()  # it goes where this tool's errors go, and makes the run fail
        finally:
            os._exit(1)  # no cleaning up in the copy of what belongs to the first process

    def _end(self, role: str) -> None:
        pid = self._pids.pop(role)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            raise AssertionError("%s has ended by itself" % role)


def run(servertype: str, kills: int, seed: int) -> Summary:
    """Kill so many times; tell whether everything fits together."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder, servertype)
        return _run(place, kills, random.Random(seed))


def _run(place: Place, kills: int, chance: random.Random) -> Summary:
    with Stage(place) as stage:
        _until_possible(lambda: place.name_server().lookup(LEDGER))
        for _ in range(kills):
            threading.Event().wait(chance.uniform(0.0, PAUSE_SECONDS))
            stage.kill(*chance.choices(stage.roles, [WEIGHTS[role.split()[0]] for role in stage.roles]))
        stage.end_clients()
        problems = _check_still_serving(place)
        problems += _check_registrations(place)
    written = [line for name in os.listdir(place.folder) if name.startswith(("client.", "executed"))
               for line in read_journal(place.path(name))]
    summary = examine(written)
    return summary._replace(problems=summary.problems + problems)


def _check_still_serving(place: Place) -> List[str]:
    """After all of that, a new client gets its answers."""
    journal = Journal(place.path("client.last"))
    with Caller("last", "PYRONAME:%s@%s" % (LEDGER, place.names), journal.write, seed=1) as caller:
        _until_possible(caller.proxy._pyroBind)
        served = all(caller.step() for _ in range(20))
    journal.close()
    return [] if served else ["a new client was not served"]


def _check_registrations(place: Place) -> List[str]:
    """What was acknowledged is there, unless a later change may have been made that was not acknowledged."""
    found = _until_possible(lambda: place.name_server().list())
    possible: Dict[str, List[str]] = {}
    for name in os.listdir(place.folder):
        if name.startswith("registrations."):
            for line in read_journal(place.path(name)):
                _note(possible, line)
    return ["%s is registered as %s, but was to be one of %s" % (name, found.get(name), allowed)
            for name, allowed in possible.items() if found.get(name, NOTHING) not in allowed]


def _note(possible: Dict[str, List[str]], line: Sequence[str]) -> None:
    kind, name, uri = line
    if kind == DONE:
        possible[name] = [uri]
    else:
        possible.setdefault(name, [NOTHING]).append(uri)


def why_impossible() -> str:
    """Say why this cannot be run here; empty if it can."""
    return "" if hasattr(os, "fork") else "no fork, and no SIGKILL"


if __name__ == "__main__":
    for each in sys.argv[1].split(","):
        console.say(json.dumps(run(each, int(sys.argv[2]), int(sys.argv[3]))))
