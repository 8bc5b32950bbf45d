"""Name servers that are processes, and their files: killed at any moment, stopped, or kept from starting."""
from __future__ import annotations

import contextlib
import dbm
import os
import queue
import random
import signal
import sqlite3
import sys
import threading
import unittest
from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Tuple

from Pyro5 import client, errors
from Pyro5._naming.storage.specs import open_storage

from .folder import FolderTestCase
from ...support import PATIENCE_SECONDS, ToolProcess

NAMESERVER = ("Pyro5.nameserver", "-n", "127.0.0.1", "-p", "0", "-x")
KILLS = 50
Registration = Tuple[str, FrozenSet[str]]


class Step(NamedTuple):
    """A change of one registration: from this, or from nothing, to this, or to nothing."""

    name: str
    before: Optional[Registration]
    after: Optional[Registration]


class Model:
    """What must be registered, by what the server has acknowledged."""

    def __init__(self, has_metadata: bool) -> None:
        self.registered: Dict[str, Registration] = {}
        # The step that was not acknowledged when the server was killed.
        self.unknown: Optional[Step] = None
        self._has_metadata = has_metadata
        self._random = random.Random(5)
        self._count = 0

    def next_step(self) -> Step:
        self._count += 1
        old = self._random.choice(sorted(self.registered) or [""])
        tags = frozenset(["tag.%d" % (self._count % 3), "all"] if self._has_metadata else [])
        new = ("PYRO:%s@host:%d" % ("x" * self._random.randrange(1, 50), self._count), tags)
        if not old or self._random.random() < 0.6:
            return Step("name.%d" % self._count, None, new)
        return Step(old, self.registered[old], new if self._random.random() < 0.7 else None)

    def confirm(self, step: Step, happened: bool = True) -> None:
        after = step.after if happened else step.before
        if after is None:
            self.registered.pop(step.name, None)
        else:
            self.registered[step.name] = after


def do_step(nameserver: Any, step: Step) -> None:
    if step.after is None:
        nameserver.remove(step.name)
    else:
        nameserver.register(step.name, step.after[0], metadata=step.after[1])


def registered(nameserver: Any, has_metadata: bool) -> Dict[str, Registration]:
    """Ask for all registrations but the name server's own."""
    found = nameserver.list(return_metadata=has_metadata)
    del found["Pyro.NameServer"]
    if has_metadata:
        return {name: (uri, frozenset(tags)) for name, (uri, tags) in found.items()}
    return {name: (uri, frozenset()) for name, uri in found.items()}


@contextlib.contextmanager
def no_group_left(pid: int) -> Iterator[None]:
    """End the processes that a failed test has left in the group of this one."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


@unittest.skipUnless(hasattr(os, "fork"), "no fork, and no SIGKILL")
class KilledServers(FolderTestCase):
    def check_after_kills(self, spec: str, has_metadata: bool) -> None:
        model = Model(has_metadata)
        with ToolProcess("tests._naming.storage.servers", spec, KILLS + 1) as servers, no_group_left(servers.process.pid):
            for number in range(KILLS):
                lines = servers.read_until("URI = ")
                self.check_registrations(lines, model)
                self.change_until_killed(lines, model, number % 7)
            lines = servers.read_until("URI = ")
            self.check_registrations(lines, model)
            os.kill(self.pid_in(lines), signal.SIGTERM)
            self.assertEqual((0, "NS shut down.\n", ""), servers.wait())
        self.final = {name: uri for name, (uri, _) in model.registered.items()}
        self.assertGreater(len(self.final), KILLS)

    @staticmethod
    def pid_in(lines: List[str]) -> int:
        return int(next(line for line in lines if line.startswith("pid ")).split()[1])

    def check_registrations(self, lines: List[str], model: Model) -> None:
        with client.Proxy(lines[-1].split()[-1]) as nameserver:
            found = registered(nameserver, model._has_metadata)
        step, model.unknown = model.unknown, None
        if step is not None:
            self.assertIn(found.get(step.name), (step.before, step.after))
            model.confirm(step, found.get(step.name) == step.after)
        self.assertEqual(model.registered, found)
        said = "Storage has %d existing registration%s." % (len(found), "" if len(found) == 1 else "s")
        self.assertEqual([said] if found else [], [line for line in lines if line.startswith("Storage has")])

    def change_until_killed(self, lines: List[str], model: Model, steps: int) -> None:
        """Kill the server after so many acknowledged steps, when it has begun with the next one, or is about to."""
        acknowledged: queue.Queue[None] = queue.Queue()

        def change() -> None:
            with client.Proxy(lines[-1].split()[-1]) as nameserver, contextlib.suppress(errors.CommunicationError):
                acknowledged.put(None)
                while True:
                    model.unknown = model.next_step()
                    do_step(nameserver, model.unknown)
                    model.confirm(model.unknown)
                    acknowledged.put(None)

        thread = threading.Thread(target=change)
        thread.start()
        for _ in range(steps + 1):
            acknowledged.get(timeout=PATIENCE_SECONDS)
        os.kill(self.pid_in(lines), signal.SIGKILL)
        thread.join()

    def test_sql(self) -> None:
        self.check_after_kills("sql:" + self.path, has_metadata=True)
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            self.assertEqual([("ok",)], database.execute("PRAGMA integrity_check").fetchall())
            found = dict(database.execute("SELECT name, uri FROM pyro_names WHERE name != 'Pyro.NameServer'"))
        self.assertEqual(self.final, found)
        self.assertEqual(["names"], os.listdir(self.folder))

    def test_dbm(self) -> None:
        self.check_after_kills("dbm:" + self.path, has_metadata=False)
        with contextlib.closing(dbm.open(self.path, "r")) as file:
            found = {key.decode("utf-8"): file[key].decode("utf-8") for key in file.keys()}
        del found["Pyro.NameServer"]
        self.assertEqual(self.final, found)
        self.assertNotIn("names.changes", os.listdir(self.folder))


class Refusals(FolderTestCase):
    """A name server that cannot use its file says so in one line, and leaves everything as it is."""

    def assert_all_refused(self, cases: Dict[str, str], module: Tuple[str, ...] = NAMESERVER + ("-s",)) -> None:
        """Start a name server for each of the storages, at the same time; each must complain of what is given for it."""
        before = self.files()
        with contextlib.ExitStack() as processes:
            running = [processes.enter_context(ToolProcess(*module, spec)) for spec in cases]
            for process, (spec, reason) in zip(running, cases.items()):
                result = process.wait()
                self.assertEqual((1, ""), (result.exit_code, result.out), spec)
                self.assertRegex(result.err, r"\AError: storage %s: %s\n\Z" % (spec, reason))
        self.assertEqual(before, self.files())

    def test_files_that_cannot_be_used(self) -> None:
        self.write("diary", b"Dear diary,\n" * 100)
        # not among the files that are compared: reading it here would end this process' lock on it
        sql, used = os.path.join(self.folder, "folder", "locked.db"), os.path.join(self.folder, "used")
        os.mkdir(os.path.dirname(sql))
        nowhere = os.path.join(self.folder, "nosuch", "names")
        used_sql = os.path.join(self.folder, "folder", "used.db")
        with contextlib.closing(sqlite3.connect(sql, isolation_level=None)) as other:
            other.execute("CREATE TABLE pyro_names (id, name, uri)")
            other.execute("BEGIN EXCLUSIVE")
            with contextlib.closing(open_storage("dbm:" + used)), contextlib.closing(open_storage("sql:" + used_sql)):
                self.assert_all_refused({
                    "sql:" + os.path.join(self.folder, "diary"): "the file is not an SQLite database",
                    "dbm:" + os.path.join(self.folder, "diary"): "the file is not one that this Python's dbm knows",
                    "sql:" + nowhere: "there is no folder .*nosuch",
                    "dbm:" + nowhere: "there is no folder .*nosuch",
                    "sql:" + sql: "another process has locked it",
                    "dbm:" + used: "another process uses it",
                    "sql:" + used_sql: "another process uses it",
                })
            self.assertEqual([], other.execute("SELECT * FROM pyro_names").fetchall())

    @unittest.skipUnless(sys.platform.startswith("linux"), "root cannot give up its privileges")
    def test_read_only(self) -> None:
        sql, dumb = os.path.join(self.folder, "database"), os.path.join(self.folder, "names")
        for spec in ("sql:" + sql, "dbm:" + dumb):
            with contextlib.closing(open_storage(spec)) as storage:
                storage["one"] = ("PYRO:one@host:1", frozenset())
        for name in self.files():
            os.chmod(os.path.join(self.folder, name), 0o444)
        unprivileged = ("tests._naming.storage.unprivileged",)
        # A folder in which others may write, then one that is read-only as well.
        os.chmod(self.folder, 0o777)
        self.assert_all_refused({"sql:" + sql: sql + " is read-only", "dbm:" + dumb: ".*names.* is read-only"}, unprivileged)
        os.chmod(self.folder, 0o555)
        self.addCleanup(os.chmod, self.folder, 0o777)
        reason = "the folder %s is read-only" % self.folder
        self.assert_all_refused({"sql:" + sql + ".new": reason, "dbm:" + dumb + ".new": reason}, unprivileged)


if __name__ == "__main__":
    unittest.main()
