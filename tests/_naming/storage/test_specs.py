"""The storage contract with the storages that keep no file, and with users' own; choosing a storage."""
from __future__ import annotations

import collections
import random
import unittest
from typing import Any, Dict, Iterator

from Pyro5._naming.storage import MappingStorage, Registration, Storage, adapt
from Pyro5._naming.storage.memory import MemoryStorage, OrderedNames
from Pyro5._naming.storage.specs import open_storage

from ...support import PROJECT
from ...test_exports import output_of
from .contract import ONE, TWO, StorageContract


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


class MemoryStorageTests(StorageContract, unittest.TestCase):
    make = MemoryStorage


class MemoryIndexTests(unittest.TestCase):
    def test_searches_find_what_looking_at_all_finds(self) -> None:
        chance = random.Random(3)
        storage, plain = MemoryStorage(), adapt({})
        for _ in range(400):
            name = "".join(chance.choice("ab") for _ in range(chance.randrange(8)))
            if chance.random() < 0.6:
                storage[name] = plain[name] = ("PYRO:x@host:1", frozenset(chance.sample("uvwxyz", chance.randrange(4))))
            else:
                names = [name] if chance.random() < 0.9 else list(plain.find_prefix(name[:3]))
                self.assertEqual(plain.remove_names(names), storage.remove_names(names))
            tags = frozenset(chance.sample("uvwxyz", 2))
            for search in (lambda s, n=name: s.find_prefix(n[:2]), lambda s, t=tags: s.find_tags(t, True),
                           lambda s, t=tags: s.find_tags(t, False)):
                self.assertEqual(search(plain), search(storage))

    def test_indexes_forget_what_is_removed(self) -> None:
        storage = MemoryStorage()
        storage["one"], storage["two"] = ONE, TWO
        storage["one"] = TWO
        self.assertEqual({"red"}, set(storage._tagged))
        self.assertEqual(2, storage.remove_names(["one", "two"]))
        self.assertEqual(({}, []), (storage._tagged, storage._ordered.with_prefix("")))

    def test_names_in_order(self) -> None:
        names = OrderedNames(["b", "a", "b"])
        for name in ("c", "a", "aa", ""):
            names.add(name)
        self.assertEqual(["", "a", "aa", "b", "c"], names.with_prefix(""))
        self.assertEqual(["a", "aa"], names.with_prefix("a"))
        self.assertEqual([], names.with_prefix("d"))
        names.remove(["nosuch", "a", "zz"])
        self.assertEqual(["", "aa", "b", "c"], names.with_prefix(""))
        names.remove(["b", *map(str, range(20))])
        self.assertEqual(["", "aa", "c"], names.with_prefix(""))


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
            with self.assertRaisesRegex(ValueError, "^invalid storage type '%s'; available: memory, sql:FILE, " % spec):
                open_storage(spec)

    def test_modules_are_loaded_when_they_are_asked_for(self) -> None:
        program = ("import sys, Pyro5.api, Pyro5.nameserver\n"
                   "print(*sorted({'sqlite3', 'dbm'} & set(sys.modules)))\n")
        self.assertEqual("\n", output_of(program, PROJECT))

    def test_memory_takes_no_file(self) -> None:
        with self.assertRaisesRegex(ValueError, "takes no file name"):
            open_storage("memory:names.db")


if __name__ == "__main__":
    unittest.main()
