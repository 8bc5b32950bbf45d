"""The storage dbm:FILE: the contract without metadata, files of every kind, what is left when it is not closed properly."""
from __future__ import annotations

import contextlib
import dbm
import importlib
import os
import sqlite3
import sys
import unittest
from typing import Any, Dict, FrozenSet, List
from unittest import mock

from Pyro5 import errors
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage import dbm as dbm_storage
from Pyro5._naming.storage.dbm import DbmStorage
from Pyro5._naming.storage.specs import open_storage
from Pyro5._values.uri import URI

from .contract import ODD_NAMES, ONE, NamesContract, names_and_uris
from .folder import FolderTestCase

CAFE = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
# As Pyro 4 wrote them.
OLDER = {"one": "PYRO:one@host:1", CAFE: "PYRO:obj_%s@host:2" % CAFE, "Pyro.NameServer": "PYRO:Pyro.NameServer@host:9090"}
NO_TAGS: FrozenSet[str] = frozenset()


def available_kinds() -> List[str]:
    """Return the kinds of dbm files that this Python can read and write."""
    kinds = []
    for kind in ("dbm.dumb", "dbm.gnu", "dbm.ndbm", "dbm.sqlite3"):
        with contextlib.suppress(ImportError):
            importlib.import_module(kind)
            kinds.append(kind)
    return kinds


class Killed(BaseException):
    """Stands for the end of the process."""


class DbmTestCase(FolderTestCase):
    def make(self) -> DbmStorage:
        return DbmStorage(self.path)

    def opened(self) -> DbmStorage:
        storage = self.make()
        self.addCleanup(storage.close)
        return storage

    def write_dbm(self, kind: str, contents: Dict[str, str]) -> None:
        with contextlib.closing(importlib.import_module(kind).open(self.path, "n")) as file:
            for name, uri in contents.items():
                file[name.encode("utf-8")] = uri.encode("utf-8")

    def read_dbm(self) -> Dict[str, str]:
        """Read the file as any other program would."""
        with contextlib.closing(dbm.open(self.path, "r")) as file:
            return {key.decode("utf-8"): file[key].decode("utf-8") for key in file.keys()}

    def kill(self, storage: DbmStorage) -> None:
        """Do what the system does when the process is killed."""
        storage._log.close()

    def assert_refused(self, reason: str) -> None:
        before = self.files()
        with self.assertRaisesRegex(errors.NamingError, "^storage dbm:.*: %s$" % reason):
            self.make()
        self.assertEqual(before, self.files())


class ContractTests(NamesContract, DbmTestCase):
    pass


class Files(DbmTestCase):
    def test_is_there_again_when_opened_again(self) -> None:
        with contextlib.closing(self.make()) as storage:
            for name in ODD_NAMES:
                storage[name] = ("PYRO:%s@host:1" % name, NO_TAGS)
        expected = {name: "PYRO:%s@host:1" % name for name in ODD_NAMES}
        self.assertEqual(expected, self.read_dbm())
        self.assertEqual(expected, names_and_uris(self.opened().find_prefix("")))

    def test_files_of_pyro_4_of_every_kind(self) -> None:
        for kind in available_kinds():
            with self.subTest(kind):
                self.path = os.path.join(self.folder, kind)
                self.write_dbm(kind, OLDER)
                with contextlib.closing(self.make()) as storage:
                    self.assertEqual(OLDER, names_and_uris(storage.find_prefix("")))
                    storage["new"] = ("PYRO:new@host:3", NO_TAGS)
                    storage["one"] = ("PYRO:one_moved_to_where_it_is_longer@host:4", NO_TAGS)
                    del storage[CAFE]
                self.assertEqual(kind, dbm.whichdb(self.path))
                self.assertEqual({"new": "PYRO:new@host:3", "one": "PYRO:one_moved_to_where_it_is_longer@host:4",
                                  "Pyro.NameServer": OLDER["Pyro.NameServer"]}, self.read_dbm())

    def test_nothing_is_written_when_nothing_changes(self) -> None:
        self.write_dbm("dbm.dumb", OLDER)
        before = self.files()
        with contextlib.closing(self.make()) as storage:
            storage["one"] = (OLDER["one"], NO_TAGS)
            self.assertEqual(0, storage._log.size_bytes)
        self.assertEqual(before, self.files())

    def test_a_new_storage_that_stays_empty_makes_no_file(self) -> None:
        self.make().close()
        self.assertEqual({}, self.files())

    def test_working_folder_may_change(self) -> None:
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            storage = DbmStorage("names")
        finally:
            os.chdir(before)
        storage["one"] = (OLDER["one"], NO_TAGS)
        storage.close()
        self.assertEqual({"one": OLDER["one"]}, self.read_dbm())

    def test_many_removals(self) -> None:
        for kind in available_kinds():
            self.path = os.path.join(self.folder, kind)
            self.write_dbm(kind, {"name.%d" % number: OLDER["one"] for number in range(100)})
            with contextlib.closing(self.make()) as storage:
                self.assertEqual(90, storage.remove_names([name for name in storage if not name.endswith("7")]))
            self.assertEqual((kind, {"name.%d" % number: OLDER["one"] for number in range(7, 100, 10)}),
                             (dbm.whichdb(self.path), self.read_dbm()))

    def test_the_log_does_not_grow_forever(self) -> None:
        with mock.patch.object(dbm_storage, "LOG_LIMIT_BYTES", 500), contextlib.closing(self.make()) as storage:
            largest = 0
            for number in range(200):
                storage["name.%d" % (number % 3)] = ("PYRO:x@host:%d" % number, NO_TAGS)
                largest = max(largest, storage._log.size_bytes)
            self.assertTrue(400 < largest <= 500, largest)
            self.assertEqual({"name.0", "name.1", "name.2"}, set(self.read_dbm()))


class NotClosed(DbmTestCase):
    def test_killed_after_changes(self) -> None:
        for kind in available_kinds():
            with self.subTest(kind):
                self.path = os.path.join(self.folder, kind)
                self.write_dbm(kind, OLDER)
                storage = self.make()
                storage["one"] = ("PYRO:x@h:1", NO_TAGS)
                storage["new"] = ("PYRO:new@host:3", NO_TAGS)
                self.assertEqual(1, storage.remove_names([CAFE]))
                self.kill(storage)
                self.assertEqual(OLDER, self.read_dbm())
                expected = {"one": "PYRO:x@h:1", "new": "PYRO:new@host:3", "Pyro.NameServer": OLDER["Pyro.NameServer"]}
                self.assertEqual(expected, names_and_uris(self.opened().find_prefix("")))
                self.assertEqual(expected, self.read_dbm())

    def test_killed_while_the_file_is_brought_up_to_date(self) -> None:
        really_write = dbm_storage._write

        def not_at_all(path: str, flag: str, changes: Any) -> None:
            raise Killed

        def half(path: str, flag: str, changes: Any) -> None:
            really_write(path, flag, dict(list(changes.items())[::2]))
            raise Killed

        def half_the_bytes(path: str, flag: str, changes: Any) -> None:
            really_write(path, flag, changes)
            for name, content in self.files().items():
                if not name.endswith(".changes"):
                    self.write(name, content[:len(content) // 2])
            raise Killed

        def no_index(path: str, flag: str, changes: Any) -> None:
            os.replace(path + ".dir", path + ".bak")
            raise Killed

        for damage in (not_at_all, half, half_the_bytes, no_index):
            with self.subTest(damage.__name__):
                self.path = os.path.join(self.folder, damage.__name__)
                self.write_dbm("dbm.dumb", OLDER)
                storage = self.make()
                storage["new"] = ("PYRO:new@host:3", NO_TAGS)
                storage["one"] = ("PYRO:x@h:1", NO_TAGS)
                with mock.patch.object(dbm_storage, "_write", damage), self.assertRaises(Killed):
                    storage.close()
                self.kill(storage)
                expected = dict(OLDER, new="PYRO:new@host:3", one="PYRO:x@h:1")
                with contextlib.closing(self.make()) as storage:
                    self.assertEqual(expected, names_and_uris(storage.find_prefix("")))
                    self.assertEqual(expected, self.read_dbm())
                    storage["later"] = ("PYRO:y@h:1", NO_TAGS)
                self.assertEqual(dict(expected, later="PYRO:y@h:1"), self.read_dbm())

    def test_killed_while_a_file_with_everything_removed_is_brought_up_to_date(self) -> None:
        self.write_dbm("dbm.dumb", OLDER)
        storage = self.make()
        storage.remove_names(list(storage))
        with mock.patch.object(dbm_storage, "_write", side_effect=Killed), self.assertRaises(Killed):
            storage.close()
        self.kill(storage)
        self.make().close()
        self.assertEqual({}, self.read_dbm())

    def test_cannot_be_brought_up_to_date_at_the_end(self) -> None:
        storage = self.make()
        storage["one"] = (OLDER["one"], NO_TAGS)
        with mock.patch.object(dbm_storage, "_write", side_effect=OSError("disk full")):
            with self.assertLogs("Pyro5.storage.dbmfile", "ERROR") as logged:
                storage.close()
        storage.close()
        self.assertRegex(logged.output[0], r"the changes stay in .*names\.changes: storage dbm:.*: disk full$")
        self.assertEqual(OLDER["one"], self.opened()["one"][0])
        self.assertEqual({"one": OLDER["one"]}, self.read_dbm())

    def test_cannot_be_brought_up_to_date_at_the_start(self) -> None:
        storage = self.make()
        storage["one"] = (OLDER["one"], NO_TAGS)
        self.kill(storage)
        with mock.patch.object(dbm_storage, "_write", side_effect=OSError("disk full")):
            with self.assertLogs("Pyro5.storage.dbmfile", "ERROR"):
                storage = self.make()
        self.assertEqual(OLDER["one"], storage["one"][0])
        storage["two"] = ("PYRO:x@h:1", NO_TAGS)
        storage.close()
        self.assertEqual({"one": OLDER["one"], "two": "PYRO:x@h:1"}, self.read_dbm())

    def test_cannot_be_brought_up_to_date_in_between(self) -> None:
        with mock.patch.object(dbm_storage, "LOG_LIMIT_BYTES", 300), contextlib.closing(self.make()) as storage:
            with mock.patch.object(dbm_storage, "_write", side_effect=OSError("locked")) as writes:
                with self.assertLogs("Pyro5.storage.dbmfile", "ERROR"):
                    for number in range(50):
                        storage["name"] = ("PYRO:x@host:%d" % number, NO_TAGS)
                self.assertLess(writes.call_count, 6)
            self.assertEqual("PYRO:x@host:49", storage["name"][0])
        self.assertEqual({"name": "PYRO:x@host:49"}, self.read_dbm())

    def test_a_change_that_cannot_be_logged_is_not_made(self) -> None:
        storage = self.opened()
        storage["one"] = (OLDER["one"], NO_TAGS)
        with mock.patch.object(os, "fsync", side_effect=OSError("disk full")):
            for change in (lambda: storage.remove_names(["one"]), lambda: storage.__setitem__("two", ("PYRO:x@h:1", NO_TAGS))):
                with self.assertRaisesRegex(errors.NamingError, "^storage dbm:.*: disk full$"):
                    change()
        with self.assertRaises(errors.NamingError):
            storage["\ud800"] = ("PYRO:x@h:1", NO_TAGS)
        self.assertEqual({"one": OLDER["one"]}, names_and_uris(storage.find_prefix("")))


class Refusals(DbmTestCase):
    def test_files_of_another_kind(self) -> None:
        for body in (b"", b"x", b"hello world\n", b"\0" * 5000):
            self.write("names", body)
            self.assert_refused("the file is not one that this Python's dbm knows")

    def test_damaged_index(self) -> None:
        self.write_dbm("dbm.dumb", OLDER)
        for index in (b"'one', (0, 15", b"'one'\n", b"'one', 5\n", b"'one', (0, 'x')\n", b"\"\xff\n"):
            self.write("names.dir", index)
            self.assert_refused(".+")

    def test_not_utf8(self) -> None:
        with contextlib.closing(importlib.import_module("dbm.dumb").open(self.path, "n")) as file:
            file[b"\xff"] = b"PYRO:x@h:1"
        self.assert_refused(".*utf-8.*")

    def test_an_sqlite_database(self) -> None:
        with contextlib.closing(open_storage("sql:" + self.path)) as storage:
            storage["one"] = ONE
        with self.assertRaises(errors.NamingError):
            self.make()
        self.assertNotIn("names.changes", self.files())
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        self.assertEqual([("pyro_metadata",), ("pyro_names",)], tables)

    def test_kind_that_this_python_cannot_read(self) -> None:
        self.write_dbm("dbm.dumb", OLDER)
        with mock.patch.dict(sys.modules, {"dbm.dumb": None}):
            self.assert_refused(".*dbm.dumb.*")

    def test_read_only(self) -> None:
        self.write_dbm("dbm.dumb", OLDER)
        with mock.patch.object(os, "access", lambda path, mode: mode == os.R_OK or not path.endswith(".dat")):
            self.assert_refused(r".*names\.dat is read-only")

    def test_a_second_process(self) -> None:
        first = self.opened()
        first["one"] = (OLDER["one"], NO_TAGS)
        self.assert_refused("another process uses it")

    @unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes")
    def test_named_pipes(self) -> None:
        """They are not opened: that would wait until another process opens the other end."""
        for suffix, reason in (("", "not a file"), (".changes", "not a regular file; move it away")):
            os.mkfifo(self.path + suffix)
            self.assert_refused(".*names%s is %s" % (suffix, reason))
            os.unlink(self.path + suffix)

    def test_a_file_in_the_place_of_the_log(self) -> None:
        self.write("names.changes", b"a diary\n")
        self.assert_refused("cannot use .*names.changes: the file is no log of changes")

    def test_places(self) -> None:
        self.path = os.path.join(self.folder, "nosuch", "names")
        self.assert_refused("there is no folder .*nosuch")
        self.path = self.folder
        self.assert_refused(".* is not a file")

    def test_file_name_is_needed(self) -> None:
        for spec in ("dbm", "dbm:"):
            with self.assertRaisesRegex(ValueError, "^storage type 'dbm' needs the name of a file: dbm:FILE$"):
                open_storage(spec)


class NameServerTests(DbmTestCase):
    """What has no metadata says so, and does the rest."""

    def setUp(self) -> None:
        super().setUp()
        self.write_dbm("dbm.dumb", OLDER)
        self.nameserver = NameServer("dbm:" + self.path)
        self.addCleanup(self.nameserver.close)
        self.nameserver.register_self(URI("PYRO:Pyro.NameServer@host:9091"))

    def test_works_without_metadata(self) -> None:
        self.assertEqual(3, self.nameserver.count())
        self.nameserver.register("new", "PYRO:new@host:3")
        self.nameserver.set_metadata("new", None)
        self.assertEqual(URI("PYRO:new@host:3"), self.nameserver.lookup("new"))
        self.assertEqual(dict(OLDER, new="PYRO:new@host:3", **{"Pyro.NameServer": "PYRO:Pyro.NameServer@host:9091"}),
                         self.nameserver.list())
        self.assertEqual(["one"], list(self.nameserver.list(prefix="o")))
        self.assertEqual(["new"], list(self.nameserver.list(regex="n.w")))
        self.assertEqual({}, self.nameserver.yplookup())
        self.assertEqual(1, self.nameserver.remove("new"))

    def test_every_question_for_metadata_is_refused(self) -> None:
        before = self.nameserver.list()
        for ask in (lambda: self.nameserver.register("new", "PYRO:x@host:1", metadata=["tag"]),
                    lambda: self.nameserver.register("one", "PYRO:x@host:1", metadata=["tag"]),
                    lambda: self.nameserver.set_metadata("one", ["tag"]),
                    lambda: self.nameserver.lookup("one", return_metadata=True),
                    lambda: self.nameserver.list(return_metadata=True),
                    lambda: self.nameserver.list(prefix="o", return_metadata=True),
                    lambda: self.nameserver.list(regex="o", return_metadata=True),
                    lambda: self.nameserver.yplookup(meta_all=["tag"]),
                    lambda: self.nameserver.yplookup(meta_any=["tag"], return_metadata=False),
                    lambda: "tag" in self.nameserver.storage["one"][1],
                    lambda: len(self.nameserver.storage["one"][1])):
            with self.assertRaisesRegex(errors.NamingError, "has no metadata; use sql: for that$"):
                ask()
            self.assertEqual(before, self.nameserver.list())

    def test_a_registration_can_be_copied(self) -> None:
        storage = self.nameserver.storage
        storage["copy"] = storage["one"]
        self.assertEqual(OLDER["one"], storage["copy"][0])



class RemovedFileTests(DbmTestCase):
    """What is acknowledged stays, also when files are removed under the running server."""

    def check_survives(self, storage: DbmStorage) -> None:
        storage["two"] = ("PYRO:two@host:2", NO_TAGS)
        self.kill(storage)
        self.assertEqual({"one": OLDER["one"], "two": "PYRO:two@host:2"}, names_and_uris(self.opened().find_prefix("")))

    def storage(self) -> DbmStorage:
        storage = self.opened()
        storage["one"] = (OLDER["one"], NO_TAGS)
        return storage

    def test_the_log_is_written_anew(self) -> None:
        for spoil in (os.unlink, lambda path: os.truncate(path, 0), lambda path: os.rename(path, path + ".old")):
            storage = self.storage()
            spoil(self.path + ".changes")
            with self.assertLogs("Pyro5.storage.dbmfile", "ERROR"):
                self.check_survives(storage)
            self.doCleanups()
            self.setUp()

    def test_what_takes_the_place_of_the_log_is_left_alone(self) -> None:
        storage = self.storage()
        os.unlink(self.path + ".changes")
        self.write("names.changes", b"something else\n")
        for _ in range(2):
            with self.assertRaisesRegex(errors.NamingError, "no log of changes"), self.assertLogs("Pyro5.storage.dbmfile"):
                storage["two"] = ("PYRO:two@host:2", NO_TAGS)
        self.assertEqual({"one"}, set(storage))
        os.unlink(self.path + ".changes")
        with self.assertLogs("Pyro5.storage.dbmfile"):
            self.check_survives(storage)

    def test_the_file_itself_is_written_anew(self) -> None:
        for kind in available_kinds():
            self.path = os.path.join(self.folder, kind)
            self.write_dbm(kind, OLDER)
            storage = self.make()
            storage["new"] = ("PYRO:new@host:3", NO_TAGS)
            for name in os.listdir(self.folder):
                if name.startswith(kind) and not name.endswith(".changes"):
                    os.unlink(os.path.join(self.folder, name))
            storage.close()
            self.assertEqual(dict(OLDER, new="PYRO:new@host:3"), self.read_dbm())

    def test_after_close_it_is_empty_and_takes_no_changes(self) -> None:
        storage = self.storage()
        storage.close()
        storage.close()
        self.assertEqual((0, [], {}), (len(storage), list(storage), storage.everything()))
        with self.assertRaisesRegex(errors.NamingError, "closed"):
            storage["one"] = (OLDER["one"], NO_TAGS)


if __name__ == "__main__":
    unittest.main()
