"""The storage contract: the same tests for every storage, the package's own and users'."""
from __future__ import annotations

import collections
import unittest
from typing import Any, Dict, Iterator

from Pyro5 import errors
from Pyro5.storage import MappingStorage, Registration, Storage, adapt, matching_names
from Pyro5.storage.memory import MemoryStorage
from Pyro5.storage.specs import open_storage

ONE = ("PYRO:one@host:1", frozenset(["red", "big"]))
TWO = ("PYRO:two@host:2", frozenset(["red"]))
THREE = ("PYRO:three@host:3", frozenset())


class MinimalStorage(Storage):
    """A user's storage that has the five required methods only, and keeps its data its own way."""

    def __init__(self) -> None:
        self._rows: Dict[str, str] = {}

    def __getitem__(self, name: str) -> Registration:
        uri, *tags = self._rows[name].split("|")
        return uri, set(tags)

    def __setitem__(self, name: str, registration: Registration) -> None:
        uri, metadata = registration
        self._rows[name] = "|".join([uri, *metadata])

    def __delitem__(self, name: str) -> None:
        del self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class StorageContract:
    """The tests; a test case has a method ``make`` that gives an empty storage."""

    def filled(self: Any) -> Storage:
        storage: Storage = self.make()
        self.addCleanup(storage.close)
        storage["test.one"] = ONE
        storage["test.two"] = TWO
        storage["Test.three"] = THREE
        return storage

    def test_starts_empty(self: Any) -> None:
        storage = self.make()
        self.addCleanup(storage.close)
        self.assertEqual(len(storage), 0)
        self.assertEqual(storage.names(), [])
        self.assertEqual(storage.find_prefix(""), {})

    def test_reads_what_was_written(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage["test.one"], ONE)
        self.assertEqual(storage["Test.three"], THREE)
        self.assertIn("test.two", storage)
        self.assertNotIn("TEST.two", storage)
        self.assertEqual(len(storage), 3)
        self.assertEqual(sorted(storage), ["Test.three", "test.one", "test.two"])
        self.assertEqual(sorted(storage.names()), sorted(storage))

    def test_overwrites(self: Any) -> None:
        storage = self.filled()
        storage["test.one"] = THREE
        self.assertEqual(storage["test.one"], THREE)
        self.assertEqual(len(storage), 3)
        self.assertEqual(storage.find_tags(frozenset(["big"]), True), {})

    def test_unknown_name_is_a_key_error(self: Any) -> None:
        storage = self.filled()
        with self.assertRaises(KeyError):
            storage["nosuch"]
        with self.assertRaises(KeyError):
            del storage["nosuch"]

    def test_deletes(self: Any) -> None:
        storage = self.filled()
        del storage["test.one"]
        self.assertEqual(sorted(storage), ["Test.three", "test.two"])

    def test_keeps_a_copy_of_the_metadata(self: Any) -> None:
        storage = self.filled()
        tags = {"a"}
        storage["copied"] = ("PYRO:x@host:1", tags)
        tags.add("b")
        self.assertEqual(set(storage["copied"][1]), {"a"})

    def test_prefix_is_literal(self: Any) -> None:
        storage = self.filled()
        for name in ("a_b", "aXb", "a%b", "A_b", "a", "a*b", "", "\N{LATIN SMALL LETTER E WITH ACUTE}t\N{BULLET}"):
            storage[name] = THREE
        self.assertEqual(sorted(storage.find_prefix("a_")), ["a_b"])
        self.assertEqual(sorted(storage.find_prefix("a%")), ["a%b"])
        self.assertEqual(sorted(storage.find_prefix("a*")), ["a*b"])
        self.assertEqual(sorted(storage.find_prefix("a")), ["a", "a%b", "a*b", "aXb", "a_b"])
        self.assertEqual(len(storage.find_prefix("\N{LATIN SMALL LETTER E WITH ACUTE}")), 1)
        self.assertEqual(len(storage.find_prefix("")), len(storage))
        self.assertEqual(storage.find_prefix("nosuch"), {})

    def test_prefix_finds_registrations(self: Any) -> None:
        self.assertEqual(self.filled().find_prefix("test."), {"test.one": ONE, "test.two": TWO})

    def test_tags(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage.find_tags(frozenset(["red", "big"]), True), {"test.one": ONE})
        self.assertEqual(storage.find_tags(frozenset(["red"]), True), {"test.one": ONE, "test.two": TWO})
        self.assertEqual(storage.find_tags(frozenset(["big", "zz"]), True), {})
        self.assertEqual(storage.find_tags(frozenset(["big", "zz"]), False), {"test.one": ONE})
        self.assertEqual(storage.find_tags(frozenset(["Red"]), False), {})

    def test_no_tags_find_nothing(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage.find_tags(frozenset(), True), {})
        self.assertEqual(storage.find_tags(frozenset(), False), {})

    def test_find_names_leaves_out_unknown_ones(self: Any) -> None:
        self.assertEqual(self.filled().find_names(["test.two", "nosuch"]), {"test.two": TWO})

    def test_remove_names_counts_what_existed(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage.remove_names(iter(["test.two", "nosuch", "Test.three"])), 2)
        self.assertEqual(list(storage), ["test.one"])
        self.assertEqual(storage.remove_names([]), 0)

    def test_remove_names_found_by_a_search(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage.remove_names(storage.find_prefix("test.")), 2)
        self.assertEqual(list(storage), ["Test.three"])

    def test_close_twice(self: Any) -> None:
        storage = self.filled()
        storage.close()
        storage.close()


class MemoryStorageTests(StorageContract, unittest.TestCase):
    make = MemoryStorage


class SubclassTests(StorageContract, unittest.TestCase):
    make = MinimalStorage


class AdaptedMappingTests(StorageContract, unittest.TestCase):
    def make(self) -> Storage:
        return adapt(collections.UserDict())


class AdaptTests(unittest.TestCase):
    def test_a_storage_is_taken_as_it_is(self) -> None:
        storage = MemoryStorage()
        self.assertIs(adapt(storage), storage)

    def test_a_mapping_is_worked_on_not_copied(self) -> None:
        mapping: Dict[str, Any] = {"name": ONE}
        storage = adapt(mapping)
        self.assertIsInstance(storage, MappingStorage)
        storage["other"] = TWO
        del storage["name"]
        self.assertEqual(mapping, {"other": TWO})

    def test_anything_else_is_refused(self) -> None:
        for provider in (5, [], object(), MemoryStorage, dict):
            with self.assertRaisesRegex(TypeError, "must be a mapping of name"):
                adapt(provider)

    def test_close_reaches_the_mapping(self) -> None:
        closed = []

        class Closable(collections.UserDict):  # type: ignore[type-arg]
            def close(self) -> None:
                closed.append(self)

        adapt(Closable()).close()
        self.assertEqual(len(closed), 1)


class MatchingNamesTests(unittest.TestCase):
    def test_matches_at_the_beginning(self) -> None:
        names = ["meta.four", "empty.meta", "Meta.three"]
        self.assertEqual(matching_names(names, "meta"), ["meta.four"])
        self.assertEqual(matching_names(names, ".*meta"), ["meta.four", "empty.meta"])
        self.assertEqual(matching_names(names, "(?i)meta.t"), ["Meta.three"])

    def test_invalid_regex(self) -> None:
        with self.assertRaisesRegex(errors.NamingError, "^invalid regex: missing \\), unterminated subpattern"):
            matching_names([], "(")
        with self.assertRaisesRegex(errors.NamingError, "^invalid regex: "):
            matching_names(["a"], "a{99999999999999999999}")


class OpenStorageTests(unittest.TestCase):
    def test_memory_is_the_default(self) -> None:
        self.assertIsInstance(open_storage(), MemoryStorage)
        self.assertIsInstance(open_storage("memory"), MemoryStorage)

    def test_own_object_even_when_empty(self) -> None:
        storage = MemoryStorage()
        self.assertIs(open_storage(storage), storage)
        mapping: Dict[str, Any] = {}
        open_storage(mapping)["name"] = ONE
        self.assertIn("name", mapping)

    def test_unknown_types_are_refused(self) -> None:
        for spec in ("bogus", "", "Memory", "bogus:file"):
            with self.assertRaisesRegex(ValueError, "^invalid storage type '%s'; available: .*memory" % spec):
                open_storage(spec)

    def test_memory_takes_no_file(self) -> None:
        with self.assertRaisesRegex(ValueError, "takes no file name"):
            open_storage("memory:names.db")


if __name__ == "__main__":
    unittest.main()
