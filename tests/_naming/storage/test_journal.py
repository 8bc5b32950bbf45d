"""The log of changes: what it holds when it is opened again, after any kind of end."""
from __future__ import annotations

import contextlib
import json
import os
import sys
import unittest
from typing import Any, Dict, Optional, Tuple
from unittest import mock

from Pyro5._naming.storage import journal
from Pyro5._naming.storage.journal import ChangeLog

from .folder import FolderTestCase

State = Tuple[Dict[str, Optional[str]], bool]


class ChangeLogTestCase(FolderTestCase):
    def open(self) -> ChangeLog:
        log = ChangeLog(self.path)
        self.addCleanup(log.close)
        return log

    def state_when_opened_again(self) -> State:
        with contextlib.closing(ChangeLog(self.path)) as log:
            return log.changes, log.is_complete


class Contents(ChangeLogTestCase):
    def test_new_log_is_empty(self) -> None:
        log = self.open()
        self.assertEqual(({}, False, 0), (log.changes, log.is_complete, log.size_bytes))

    def test_later_changes_take_the_place_of_earlier_ones(self) -> None:
        log = self.open()
        for changes in ({"a": "1", "b": "1"}, {"b": None}, {"c": "\N{GRINNING FACE}\n"}, {"a": "2"}, {"": "\0'\"\\"}):
            log.append(changes)
        log.close()
        self.assertEqual(({"a": "2", "b": None, "c": "\N{GRINNING FACE}\n", "": "\0'\"\\"}, False),
                         self.state_when_opened_again())

    def test_everything_takes_the_place_of_all_changes(self) -> None:
        log = self.open()
        log.append({"a": "1"})
        log.append_everything({"b": "2", "c": "3"})
        log.append({"c": None})
        log.close()
        self.assertEqual(({"b": "2", "c": None}, True), self.state_when_opened_again())

    def test_clear(self) -> None:
        log = self.open()
        log.append_everything({"b": "2"})
        log.clear()
        self.assertEqual(({}, False, 0), (log.changes, log.is_complete, log.size_bytes))
        self.assertEqual(0, os.path.getsize(self.path))
        log.append({"a": "1"})
        log.close()
        self.assertEqual(({"a": "1"}, False), self.state_when_opened_again())

    def test_size(self) -> None:
        log = self.open()
        for number in range(3):
            log.append({"name": str(number)})
            self.assertEqual(os.path.getsize(self.path), log.size_bytes)
        log.close()
        self.assertEqual(os.path.getsize(self.path), self.open().size_bytes)

    def test_remove(self) -> None:
        log = self.open()
        log.append({"a": "1"})
        log.remove()
        log.remove()
        self.assertEqual({}, self.files())


class Interruptions(ChangeLogTestCase):
    def test_killed_at_any_byte(self) -> None:
        log = self.open()
        states: Dict[int, State] = {0: ({}, False)}
        for changes in ({"a": "1"}, {"b": "\N{GRINNING FACE}"}, {"a": None}):
            log.append(changes)
            states[log.size_bytes] = (dict(log.changes), False)
        log.append_everything({"b": "2"})
        states[log.size_bytes] = ({"b": "2"}, True)
        log.close()
        data = self.files()["names"]
        for size in range(len(data) + 1):
            self.write("names", data[:size])
            expected = states[max(end for end in states if end <= size)]
            self.assertEqual(expected, self.state_when_opened_again(), size)
            log = ChangeLog(self.path)
            log.append({"next": "change"})
            log.close()
            self.assertEqual((dict(expected[0], next="change"), expected[1]), self.state_when_opened_again(), size)

    def test_failed_write_leaves_nothing_behind(self) -> None:
        log = self.open()
        log.append({"a": "1"})
        file = log._file
        with mock.patch.object(log, "_file", wraps=file) as broken:
            broken.write.side_effect = lambda data: file.write(data[:5])
            broken.fileno.side_effect = OSError("disk full")
            with self.assertRaisesRegex(OSError, "disk full"):
                log.append({"b": "2"})
        self.assertEqual({"a": "1"}, log.changes)
        log.append({"c": "3"})
        log.close()
        self.assertEqual(({"a": "1", "c": "3"}, False), self.state_when_opened_again())

    def test_each_change_is_forced_to_the_disk(self) -> None:
        log = self.open()
        with mock.patch.object(os, "fsync", side_effect=lambda descriptor: synced.append(os.fstat(descriptor).st_size)):
            synced: Any = []
            log.append({"a": "1"})
            self.assertEqual([log.size_bytes], synced)


class Refusals(ChangeLogTestCase):
    def assert_refused(self, kind: Any, reason: str) -> None:
        before = self.files()
        with self.assertRaisesRegex(kind, reason):
            ChangeLog(self.path)
        self.assertEqual(before, self.files())

    def test_other_files(self) -> None:
        for content in (b"x", b"x\n", b"Pyro5 name server: changed\n", b"\n"):
            self.write("names", content)
            self.assert_refused(ValueError, "^the file is no log of changes$")

    def test_damaged_lines(self) -> None:
        good = json.dumps(["changes", {"a": "1"}]).encode()
        for bad in (b"", b"{", b"5", b"[]", b'["changes", 5]', b'["nosuch", {}]', b'["changes", {}, 1]', b"\xff"):
            self.write("names", b"\n".join([journal._HEADER[:-1], good, bad, good, b""]))
            self.assert_refused(ValueError, "^line 3 is damaged$")

    def test_places(self) -> None:
        self.path = os.path.join(self.folder, "nosuch", "names")
        self.assert_refused(FileNotFoundError, "nosuch")
        self.path = self.folder
        self.assert_refused(IsADirectoryError, "")

    @unittest.skipIf(sys.platform == "win32", "no flock")
    def test_a_second_process(self) -> None:
        log = self.open()
        log.append({"a": "1"})
        self.assert_refused(BlockingIOError, "")
        log.close()
        self.assertEqual(({"a": "1"}, False), self.state_when_opened_again())

    @unittest.skipIf(sys.platform == "win32", "an open file cannot be removed")
    def test_removed_by_the_first_process_while_the_second_one_opens_it(self) -> None:
        first = self.open()
        with mock.patch("fcntl.flock", side_effect=lambda descriptor, operation: first.remove()):
            with self.assertRaisesRegex(BlockingIOError, "just about to close it"):
                ChangeLog(self.path)


if __name__ == "__main__":
    unittest.main()
