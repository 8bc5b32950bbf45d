"""The storage sql:FILE: the contract, files of earlier releases, transactions, what it costs, files that it refuses."""
from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
import threading
import unittest
from typing import Any, Callable, Dict, Iterator, List, Sized, Tuple
from unittest import mock

from Pyro5 import errors
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage import sharing, sqlite
from Pyro5._naming.storage.specs import open_storage
from Pyro5._naming.storage.sqlite import SqlStorage

from ...support import search_patiently
from .folder import FolderTestCase
from .contract import ONE, THREE, TWO, StorageContract

# The columns are those of files of releases 5.x; the rest may be one way or the other.
OLDER_TABLES: Dict[str, Tuple[str, ...]] = {
    "bare": ("CREATE TABLE pyro_names (id integer PRIMARY KEY, name, uri)",
             "CREATE TABLE pyro_metadata (object, metadata)"),
    "with keys and constraints": (
        "CREATE TABLE pyro_names (id integer PRIMARY KEY AUTOINCREMENT NOT NULL, name nvarchar NOT NULL UNIQUE,"
        " uri nvarchar NOT NULL)",
        "CREATE TABLE pyro_metadata (object integer NOT NULL, metadata nvarchar NOT NULL,"
        " PRIMARY KEY (object, metadata), FOREIGN KEY (object) REFERENCES pyro_names (id))"),
}

HAS_FLOCK = sys.platform != "win32"
Search = Callable[[SqlStorage], Sized]


def execute(path: str, *statements: Any) -> List[Any]:
    """Execute statements, or (statement, rows), one by one; give the rows that the last one finds."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        found: List[Any] = []
        for statement in statements:
            if isinstance(statement, str):
                found = database.execute(statement).fetchall()
            else:
                database.executemany(*statement)
    return found


class FileTestCase(FolderTestCase):
    def make(self) -> SqlStorage:
        return SqlStorage(self.path)

    def opened(self) -> SqlStorage:
        storage = self.make()
        self.addCleanup(storage.close)
        return storage


class ContractTests(StorageContract, FileTestCase):
    pass


class FileTests(FileTestCase):
    def test_is_there_again_when_opened_again(self) -> None:
        with contextlib.closing(self.make()) as storage:
            storage["one"], storage["two"], storage["three"] = ONE, TWO, THREE
            del storage["two"]
        self.assertEqual(["names"], os.listdir(self.folder))
        self.assertEqual({"one": ONE, "three": THREE}, self.opened().find_prefix(""))

    def test_has_the_tables_of_earlier_releases(self) -> None:
        with contextlib.closing(self.make()) as storage:
            storage["one"] = ONE
        self.assertEqual(["id", "name", "uri"], [row[1] for row in execute(self.path, "PRAGMA table_info(pyro_names)")])
        self.assertEqual(["object", "metadata"], [row[1] for row in execute(self.path, "PRAGMA table_info(pyro_metadata)")])
        self.assertEqual([("one", "PYRO:one@host:1", "big"), ("one", "PYRO:one@host:1", "red")], execute(
            self.path, "SELECT name, uri, metadata FROM pyro_names, pyro_metadata WHERE object = id ORDER BY metadata"))

    def test_another_program_may_remove_names_with_or_without_their_tags(self) -> None:
        for statement in ("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys = OFF"):
            with contextlib.closing(self.make()) as storage:
                storage["old"] = ONE
            execute(self.path, statement, "DELETE FROM pyro_names")
            with contextlib.closing(self.make()) as storage:
                self.assertEqual({}, storage.find_tags(frozenset(["red"]), True))
                storage["new"] = THREE
                self.assertEqual(THREE, storage["new"])
                self.assertEqual({}, storage.find_tags(frozenset(["red"]), True))

    def test_files_of_earlier_releases(self) -> None:
        for title, tables in OLDER_TABLES.items():
            with self.subTest(title):
                self.path = os.path.join(self.folder, title)
                execute(self.path, *tables,
                        ("INSERT INTO pyro_names (name, uri) VALUES (?, ?)", [("one", ONE[0]), ("two", TWO[0])]),
                        ("INSERT INTO pyro_metadata VALUES (?, ?)", [(1, "red"), (1, "big"), (2, "red")]))
                with contextlib.closing(self.make()) as storage:
                    self.assertEqual({"one": ONE, "two": TWO}, storage.find_prefix(""))
                    storage["one"], storage["three"] = THREE, ONE
                    del storage["two"]
                self.assertEqual({"one": THREE, "three": ONE}, self.opened().find_prefix(""))
                self.assertEqual([("ok",)], execute(self.path, "PRAGMA integrity_check"))
                self.assertEqual([], execute(self.path, "PRAGMA foreign_key_check"))

    def test_indexes_are_added_where_they_are_missing(self) -> None:
        columns = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
        for title, expected in (
                ("bare", ["pyro_metadata_by_metadata_object", "pyro_metadata_by_object", "pyro_names_by_name"]),
                ("with keys and constraints", ["pyro_metadata_by_metadata_object"])):
            self.path = os.path.join(self.folder, title)
            execute(self.path, *OLDER_TABLES[title])
            for _ in range(2):
                self.make().close()
                self.assertEqual(expected, [name for (name,) in execute(self.path, columns)])

    def test_working_folder_may_change(self) -> None:
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            storage = SqlStorage("names")
        finally:
            os.chdir(before)
        with contextlib.closing(storage):
            storage["one"] = ONE
        self.assertEqual(ONE, self.opened()["one"])

    def test_names_of_files_mean_themselves(self) -> None:
        for name in (":memory:", "a?mode=ro", "file:x", "%41", "a#b"):
            with contextlib.closing(SqlStorage(os.path.join(self.folder, name))) as storage:
                storage["one"] = ONE
            self.assertIn(name, os.listdir(self.folder))


class TransactionTests(FileTestCase):
    def test_a_change_that_fails_changes_nothing(self) -> None:
        storage = self.opened()
        storage["one"] = ONE
        no_tag: Any = object()
        for change in (lambda: storage.__setitem__("one", ("PYRO:x@host:1", frozenset(["tag", no_tag]))),
                       lambda: storage.__setitem__("new", ("PYRO:x@host:1", frozenset(["tag", no_tag]))),
                       lambda: storage.__setitem__("new", ("PYRO:x@host:1", frozenset(["\ud800"]))),
                       lambda: storage.remove_names(["one", no_tag])):
            with self.assertRaisesRegex(errors.NamingError, "^storage sql:"):
                change()
            self.assertEqual({"one": ONE}, storage.find_prefix(""))
        storage["new"] = TWO
        self.assertEqual(TWO, storage["new"])

    def test_a_change_that_is_interrupted_changes_nothing(self) -> None:
        storage = self.opened()
        storage["one"] = ONE
        with self.assertRaises(KeyboardInterrupt), storage._change() as database:
            database.execute("DELETE FROM pyro_metadata")
            raise KeyboardInterrupt
        self.assertEqual(ONE, storage["one"])

    def test_every_change_waits_for_the_disk(self) -> None:
        storage = self.opened()
        with storage._exclusively() as database:
            self.assertEqual([(2,)], database.execute("PRAGMA synchronous").fetchall())
            self.assertEqual([("wal",)], database.execute("PRAGMA journal_mode").fetchall())

    def test_a_reader_of_the_file_delays_no_change(self) -> None:
        storage = self.opened()
        storage["one"] = ONE
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            self.assertEqual([("one",)], reader.execute("SELECT name FROM pyro_names").fetchall())
            storage["two"] = TWO
            self.assertEqual([("one",)], reader.execute("SELECT name FROM pyro_names").fetchall())

    def test_reading_goes_on_beside_a_change_and_sees_what_was_before(self) -> None:
        storage = self.opened()
        storage["one"] = ONE
        with storage._change() as database:
            database.execute("DELETE FROM pyro_names")
            for found in (storage["one"], storage.find_prefix("")["one"], storage.find_tags(ONE[1], True)["one"]):
                self.assertEqual(ONE, found)
            self.assertEqual((1, ["one"]), (len(storage), storage.names()))
        self.assertEqual(0, len(storage))

    def test_any_number_of_threads_read_at_once(self) -> None:
        storage = self.opened()
        storage["one"] = ONE
        with contextlib.ExitStack() as readers:
            for _ in range(3 * sharing.IDLE_READERS):
                self.assertEqual([(1,)], readers.enter_context(storage._snapshot()).execute(
                    "SELECT count(*) FROM pyro_names").fetchall())
            storage["two"] = TWO
            self.assertEqual(TWO, storage["two"])

    def test_without_further_connections_there_is_one(self) -> None:
        storage = self.opened()
        storage["one"] = ONE
        full = sqlite3.OperationalError("unable to open database file")
        with mock.patch.object(sharing, "connect", side_effect=full), self.assertLogs("Pyro5.storage.sqlite", "WARNING"):
            self.assertEqual(ONE, storage["one"])
            storage["two"] = TWO
            self.assertEqual({"one", "two"}, set(storage.find_prefix("")))
        with mock.patch.object(storage, "_connection"):  # it is left alone from now on
            self.assertEqual(2, len(storage))

    def test_without_a_write_ahead_log_there_is_one_connection(self) -> None:
        class OnNetworkFileSystem(SqlStorage):
            def _prepare(self) -> str:
                super()._prepare()
                [(journal,)] = self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
                return str(journal)

        storage = OnNetworkFileSystem(self.path)
        self.addCleanup(storage.close)
        with storage._reading() as database:
            self.assertIs(storage._connection, database)
        storage["one"] = ONE
        self.assertEqual(({"one": ONE}, 1), (storage.find_prefix(""), len(storage)))
        self.assertEqual({"one": ONE}, storage.find_tags(ONE[1], True))

    def test_another_writer_is_an_error_for_writers_only(self) -> None:
        with mock.patch.object(sqlite, "BUSY_SECONDS", 0.01):
            storage = self.opened()
        storage["one"] = ONE
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            with self.assertRaisesRegex(errors.NamingError, "names: another process has locked it$"):
                storage["one"] = TWO
            self.assertEqual(ONE, storage["one"])
        storage["one"] = TWO
        self.assertEqual(TWO, storage["one"])

    def test_after_close_it_is_empty_and_takes_no_changes(self) -> None:
        storage = self.make()
        storage["one"] = ONE
        storage.close()
        self.assertEqual((0, [], {}, {}), (len(storage), storage.names(), storage.find_prefix(""), storage.everything()))
        self.assertEqual({}, storage.find_tags(ONE[1], True))
        self.assertNotIn("one", storage)
        for change in (lambda: storage.__setitem__("one", ONE), lambda: storage.remove_names(["one"])):
            with self.assertRaisesRegex(errors.NamingError, "closed"):
                change()
        self.assertEqual(ONE, self.opened()["one"])

    def test_several_threads_at_once(self) -> None:
        storage = self.opened()
        faults: List[BaseException] = []

        def work(number: int) -> None:
            try:
                for count in range(25):
                    name = "thread.%d.%d" % (number, count)
                    storage[name] = ("PYRO:x@host:%d" % number, frozenset(["all", name]))
                    self.assertEqual([name], list(storage.find_tags(frozenset(["all", name]), True)))
                    if count % 5:
                        self.assertEqual(1, storage.remove_names([name]))
                    self.assertEqual(count // 5 + 1, len(storage.find_prefix("thread.%d." % number)))
            except BaseException as x:
                faults.append(x)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], faults)
        self.assertEqual(8 * 5, len(storage))


class CostTests(FileTestCase):
    """What a search costs is counted in steps of SQLite's virtual machine: exact, and the same on every machine."""

    def each_kind(self) -> Iterator[Tuple[str, SqlStorage]]:
        """Return a new file, then one for each kind of older files."""
        for title, tables in [("ours", ()), *OLDER_TABLES.items()]:
            self.path = os.path.join(self.folder, title)
            execute(self.path, *tables)
            yield title, self.opened()

    def fill(self, first: int, end: int) -> None:
        """Add names, each with a tag that all have, and one that a tenth of them has."""
        execute(self.path, "BEGIN",
                ("INSERT INTO pyro_names (id, name, uri) VALUES (?, ?, ?)",
                 [(n, "name.%d" % n, "PYRO:x@host:%d" % n) for n in range(first, end)]),
                ("INSERT INTO pyro_metadata VALUES (?, ?)",
                 [(n, tag) for n in range(first, end) for tag in ("all", "tenth.%d" % (n % 10))]),
                "COMMIT")

    def steps(self, storage: SqlStorage, search: Search, expected: int) -> int:
        """Count the steps of a search, which must find so many."""
        count = 0

        def progress() -> int:
            nonlocal count
            count += 1
            return 0

        with storage._reading() as reader:  # the one that is used next, too
            connections = (reader, storage._connection)
        for connection in connections:
            connection.set_progress_handler(progress, 1)
        self.assertEqual(expected, len(search(storage)))
        for connection in connections:
            connection.set_progress_handler(None, 1)
        return count

    def test_searches_do_not_grow_with_what_does_not_match(self) -> None:
        searches: Dict[str, Tuple[Search, int]] = {
            "name": (lambda storage: storage["found.1"], 2),
            "names": (lambda storage: storage.find_names(["found.1", "found.2", "nosuch"]), 2),
            "prefix": (lambda storage: storage.find_prefix("found."), 10),
            "no prefix": (lambda storage: storage.find_prefix("name.x"), 0),
            "any": (lambda storage: storage.find_tags(frozenset(["rare", "nosuch"]), False), 10),
            "all": (lambda storage: storage.find_tags(frozenset(["all", "rare", "new"]), True), 10),
            "none": (lambda storage: storage.find_tags(frozenset(["all", "nosuch"]), True), 0)}
        for title, storage in self.each_kind():
            for number in range(10):
                storage["found.%d" % number] = ("PYRO:x@host:1", frozenset(["all", "rare", "new"]))
            self.fill(100, 1100)
            few = {kind: self.steps(storage, *search) for kind, search in searches.items()}
            self.fill(1100, 11100)
            for kind, search in searches.items():
                with self.subTest(title, search=kind):
                    self.assertLess(self.steps(storage, *search), 1.5 * few[kind] + 50)

    def test_changes_do_not_grow_either(self) -> None:
        def change(storage: SqlStorage) -> List[int]:
            storage["new"] = ONE
            storage["new"] = TWO
            return [storage.remove_names(["new"])]

        for title, storage in self.each_kind():
            self.fill(100, 5100)
            self.assertLess(self.steps(storage, change, 1), 1000, title)


class RefusalTests(FileTestCase):
    def assert_refused(self, reason: str) -> None:
        before = self.files()
        with mock.patch.object(sqlite, "BUSY_SECONDS", 0.01), self.assertRaisesRegex(
                errors.NamingError, "^storage sql:.*: %s$" % reason):
            self.make()
        self.assertEqual(before, self.files())

    def test_files_that_are_no_database(self) -> None:
        for body in (b"x", b"hello", b"SQLite format 3\0", b"hello world\n" * 1000, b"SQLite format 3\0" * 99):
            self.write("names", body)
            self.assert_refused("the file is not an SQLite database")

    def test_empty_file_is_a_new_database(self) -> None:
        self.write("names", b"")
        self.assertEqual(0, len(self.opened()))

    def test_databases_of_other_programs(self) -> None:
        execute(self.path, "CREATE TABLE bookmarks (url)", "INSERT INTO bookmarks VALUES ('http://localhost')")
        self.assert_refused("the file is the database of another program")
        self.path += "2"
        execute(self.path, "CREATE TABLE pyro_names (name, uri)")
        self.assert_refused("the tables in this database are not those of a name server")

    def test_damaged_database(self) -> None:
        self.make().close()
        with open(self.path, "r+b") as file:
            file.truncate(5000)
        self.assert_refused(".*malformed")

    def test_places(self) -> None:
        self.path = os.path.join(self.folder, "nosuch", "names")
        self.assert_refused("there is no folder .*nosuch")
        self.path = self.folder
        self.assert_refused(".* is not a file")

    @unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes")
    def test_files_beside_it_that_are_not_regular(self) -> None:
        """They are not opened: that would wait until another process opens the other end of a pipe."""
        for suffix in ("-wal", "-shm", "-journal", "-lock"):
            os.mkfifo(self.path + suffix)
            self.assert_refused(".*names%s is not a regular file; move it away" % suffix)
            os.unlink(self.path + suffix)
            os.mkdir(self.path + suffix)
            self.assert_refused(".*names%s is not a regular file; move it away" % suffix)
            os.rmdir(self.path + suffix)
        os.symlink(self.path + " elsewhere", self.path + "-journal")
        self.assert_refused(".*names-journal is not a regular file; move it away")
        os.unlink(self.path + "-journal")
        SqlStorage(self.path).close()

    @unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes")
    def test_a_named_pipe_beside_the_target_of_a_link(self) -> None:
        os.symlink("target", self.path)
        os.mkfifo(os.path.join(os.path.dirname(self.path), "target-wal"))
        self.assert_refused(".*target-wal is not a regular file; move it away")

    def test_locked_by_another_connection(self) -> None:
        for statement in ("BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"):
            with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as other:
                other.execute(statement)
                self.assert_refused("another process has locked it")

    @unittest.skipUnless(HAS_FLOCK, "this system has no flock")
    def test_in_use(self) -> None:
        other_path = self.path + ".link"
        os.symlink(self.path, other_path)
        for name in (self.path, other_path):
            with contextlib.closing(self.make()) as storage:
                storage["one"] = ONE
                with self.assertRaisesRegex(errors.NamingError, "^storage sql:%s: another process uses it$" % name):
                    SqlStorage(name)
                storage["two"] = TWO
                self.assertEqual(2, len(storage))
            with contextlib.closing(SqlStorage(name)) as storage:
                self.assertEqual(TWO, storage["two"])
        self.assertEqual(["names", "names.link"], sorted(os.listdir(self.folder)))

    def test_a_lock_of_one_that_was_killed(self) -> None:
        self.write("names-lock", b"")
        self.make().close()
        self.assertEqual(["names"], os.listdir(self.folder))

    @unittest.skipUnless(HAS_FLOCK, "this system has no flock")
    def test_where_files_cannot_be_locked(self) -> None:
        for number in (errno.ENOLCK, errno.ENOTSUP):
            with mock.patch("fcntl.flock", side_effect=OSError(number, "no locks")):
                with contextlib.closing(self.make()) as storage, contextlib.closing(self.make()) as other:
                    storage["one"] = ONE
                    self.assertEqual(ONE, other["one"])
        with mock.patch("fcntl.flock", side_effect=OSError(errno.EIO, "broken disk")):
            self.assert_refused("cannot use .*names-lock: broken disk")

    @unittest.skipUnless(HAS_FLOCK, "this system has no flock")
    def test_the_locks_of_sqlite_hold_all_the_same(self) -> None:
        """Also after another storage wanted the file: nothing may have closed a descriptor of it."""
        script = ("import sqlite3, sys\ndatabase = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
                  "print(database.execute('SELECT count(*) FROM pyro_names').fetchone()[0])\n"
                  "database.execute('BEGIN IMMEDIATE')")
        storage = self.opened()
        with self.assertRaises(errors.NamingError):
            self.make()
        with storage._change() as database:
            database.execute("INSERT INTO pyro_names (name, uri) VALUES ('one', 'PYRO:one@host:1')")
            other = subprocess.run([sys.executable, "-c", script, self.path], timeout=30, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.assertEqual(b"0", other.stdout.strip())
        self.assertIn(b"OperationalError: database is locked", other.stderr)
        self.assertEqual(1, len(storage))

    def test_file_name_is_needed(self) -> None:
        for spec in ("sql", "sql:"):
            with self.assertRaisesRegex(ValueError, "^storage type 'sql' needs the name of a file: sql:FILE$"):
                open_storage(spec)


class NameServerTests(FileTestCase):
    def test_searches_of_clients(self) -> None:
        search_patiently(self)
        nameserver = NameServer("sql:" + self.path)
        self.addCleanup(nameserver.close)
        for name, (uri, tags) in {"meta.one": ONE, "Meta.two": TWO, "a_b": THREE, "aXb": THREE}.items():
            nameserver.register(name, uri, metadata=tags)
        self.assertEqual(["meta.one"], list(nameserver.list("meta.")))
        self.assertEqual(["a_b"], list(nameserver.list("a_")))
        self.assertEqual(["Meta.two", "meta.one"], sorted(nameserver.list(regex="(?i)META")))
        self.assertEqual({"meta.one": (ONE[0], {"red", "big"})}, nameserver.yplookup(meta_all=["red", "big"]))
        self.assertEqual({"meta.one": ONE[0], "Meta.two": TWO[0]},
                         nameserver.yplookup(meta_any=["red"], return_metadata=False))
        self.assertEqual(2, nameserver.remove(regex="a.b"))
        self.assertEqual(2, nameserver.count())


if __name__ == "__main__":
    unittest.main()
