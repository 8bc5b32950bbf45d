"""What others do to the files of a name server while it is running: locks that they hold, files that they remove."""
from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import unittest
from typing import Iterator, List
from unittest import mock

from Pyro5 import errors
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage import sharing, sqlite
from Pyro5._naming.storage.sharing import Locked, Patience
from Pyro5._naming.storage.sqlite import SqlStorage

from ...support import PATIENCE_SECONDS, clean_environment
from .contract import ONE, TWO
from .folder import FolderTestCase


@contextlib.contextmanager
def locked(path: str) -> Iterator[sqlite3.Connection]:
    """Hold the lock for writing, as another process would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield writer


class LockTests(FolderTestCase):
    def storage(self, seconds: float = 0.1) -> SqlStorage:
        with mock.patch.object(sqlite, "BUSY_SECONDS", seconds):
            storage = SqlStorage(self.path)
        self.addCleanup(storage.close)
        return storage

    def test_few_registrations_wait_and_lookups_go_on(self) -> None:
        storage = self.storage(PATIENCE_SECONDS)
        names = NameServer(storage)
        self.addCleanup(names.close)
        names.register("one", ONE[0])
        refused: List[str] = []
        changed = threading.Condition()

        def register(number: int) -> None:
            try:
                names.register("name%d" % number, ONE[0])
            except errors.NamingError as x:
                self.assertIs(errors.NamingError, type(x))  # a class that every client knows
                with changed:
                    refused.append(str(x))
                    changed.notify_all()

        threads = [threading.Thread(target=register, args=(number,)) for number in range(30)]
        with locked(self.path):
            for thread in threads:
                thread.start()
            with changed:
                self.assertTrue(changed.wait_for(lambda: len(refused) == 30 - sharing.WAITING_AT_ONCE, PATIENCE_SECONDS))
            for text in refused:
                self.assertIn("another process has locked it, and 4 others are waiting", text)
            self.assertEqual(ONE[0], str(names.lookup("one")))
            self.assertTrue(names.lock.acquire(timeout=PATIENCE_SECONDS))  # those that wait do not have it
            names.lock.release()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual(1 + sharing.WAITING_AT_ONCE, names.count())

    def test_every_change_waits_and_gives_up(self) -> None:
        names = NameServer(self.storage(0.01))
        self.addCleanup(names.close)
        names.register("one", ONE[0])
        with locked(self.path) as writer:
            for change in (lambda: names.register("two", ONE[0]), lambda: names.set_metadata("one", {"tag"}),
                           lambda: names.remove("one"), lambda: names.remove(prefix="o"), lambda: names.remove(regex="o"),
                           lambda: names.remove_unchanged("one", ONE[0]), lambda: names.storage.clear()):
                with self.assertRaisesRegex(errors.NamingError, "another process has locked it$"):
                    change()
            writer.execute("COMMIT")
        self.assertEqual({"one": (ONE[0], set())}, names.list(return_metadata=True))

    def test_lookups_wait_where_there_is_one_connection(self) -> None:
        class OnNetworkFileSystem(SqlStorage):
            def _prepare(self) -> str:
                super()._prepare()
                return str(self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0])

        with mock.patch.object(sqlite, "BUSY_SECONDS", PATIENCE_SECONDS):
            storage = OnNetworkFileSystem(self.path)
        self.addCleanup(storage.close)
        storage["one"] = ONE
        results: List[object] = []
        thread = threading.Thread(target=lambda: results.append(storage["one"]))
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            thread.start()
            thread.join(0.02)
            self.assertEqual([], results)
        thread.join(PATIENCE_SECONDS)
        self.assertEqual([ONE], results)

    def test_within_an_operation_everything_is_tried_once(self) -> None:
        patience = Patience(PATIENCE_SECONDS)
        tried: List[str] = []

        def inner() -> str:
            tried.append("inner")
            if len(tried) < 4:
                raise Locked("busy")
            return "done"

        def outer() -> str:
            tried.append("outer")
            return patience.run(inner)

        self.assertEqual("done", patience.run(outer))
        self.assertEqual(["outer", "inner"] * 2, tried)


class FileTests(FolderTestCase):
    def storage(self) -> SqlStorage:
        storage = SqlStorage(self.path)
        self.addCleanup(storage.close)
        storage["one"] = ONE
        self.assertEqual(ONE, storage["one"])  # which leaves one connection for reading
        return storage

    def check_refuses_changes(self, storage: SqlStorage, reason: str) -> None:
        for change in (lambda: storage.__setitem__("two", TWO), lambda: storage.remove_names(["one"])):
            with self.assertRaisesRegex(errors.NamingError, "no changes are accepted until the name server is restarted"), \
                    self.assertLogs("Pyro5.storage.sqlite", "ERROR") as logs:
                storage._files._reported = None
                change()
            self.assertIn(reason, logs.output[0])
        with contextlib.ExitStack() as readers:  # more than there are: a new one must not be opened on another file
            for _ in range(2):
                self.assertEqual([("one",)], readers.enter_context(
                    storage._reading()).execute("SELECT name FROM pyro_names").fetchall())
        self.assertEqual(ONE, storage["one"])

    def test_removed(self) -> None:
        storage = self.storage()
        os.unlink(self.path)
        self.check_refuses_changes(storage, "%s was removed" % self.path)
        self.assertFalse(os.path.exists(self.path))

    def test_replaced(self) -> None:
        storage = self.storage()
        os.rename(self.path, self.path + ".old")
        self.write("names", b"")
        self.check_refuses_changes(storage, "%s was replaced by another file" % self.path)
        self.assertEqual(0, os.path.getsize(self.path))

    def test_moved_away_and_put_back(self) -> None:
        storage = self.storage()
        os.rename(self.path, self.path + ".old")
        self.check_refuses_changes(storage, "was removed")
        os.rename(self.path + ".old", self.path)
        storage["two"] = TWO
        self.assertEqual(TWO, storage["two"])

    def test_its_write_ahead_log_removed(self) -> None:
        storage = self.storage()
        os.unlink(self.path + "-wal")
        self.check_refuses_changes(storage, "%s-wal was removed" % os.path.realpath(self.path))

    def test_removed_during_a_change(self) -> None:
        storage = self.storage()
        with self.assertRaisesRegex(errors.NamingError, "was removed while"), self.assertLogs("Pyro5.storage.sqlite"):
            with storage._change():
                os.unlink(self.path)

    def test_it_is_reported_once(self) -> None:
        storage = self.storage()
        os.unlink(self.path)
        with self.assertLogs("Pyro5.storage.sqlite", "ERROR") as logs:
            for _ in range(2):
                with self.assertRaises(errors.NamingError):
                    storage["two"] = TWO
        self.assertEqual(1, len(logs.output))

    @unittest.skipUnless(hasattr(os, "truncate") and sys.platform != "win32", "a mapped file cannot be truncated here")
    def test_truncated_shared_memory_is_an_error(self) -> None:
        # in a process of its own: what this is about ends the process
        program = """if True:
            import os, sys
            from Pyro5 import errors
            from Pyro5._naming.storage.sqlite import SqlStorage
            storage = SqlStorage(sys.argv[1])
            storage["one"] = ("PYRO:one@host:1", {"tag"})
            os.truncate(sys.argv[1] + "-shm", int(sys.argv[2]))
            for use in (lambda: storage["one"], lambda: len(storage), lambda: storage.__setitem__("two", ("PYRO:x@h:1", ()))):
                try:
                    use()
                except errors.NamingError as x:
                    assert "-shm was truncated" in str(x), x
                else:
                    raise AssertionError("no error")
            storage.close()
            storage = SqlStorage(sys.argv[1])
            assert storage["one"] == ("PYRO:one@host:1", {"tag"}), storage["one"]
            storage.close()
            """
        for size in ("0", "100", "20000"):
            done = subprocess.run([sys.executable, "-c", program, self.path, size], stderr=subprocess.PIPE, timeout=30,
                                  env=clean_environment(None))
            self.assertEqual((0, b""), (done.returncode, b"" if not done.returncode else done.stderr), size)


if __name__ == "__main__":
    unittest.main()
