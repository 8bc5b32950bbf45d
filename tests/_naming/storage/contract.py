"""The tests that every storage must pass: the package's own and users'."""
from __future__ import annotations

import threading
from typing import Any, Dict, List

from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage import Storage

from ...support import search_patiently

ONE = ("PYRO:one@host:1", frozenset(["red", "big"]))
TWO = ("PYRO:two@host:2", frozenset(["red"]))
THREE = ("PYRO:three@host:3", frozenset())
E_ACUTE, FACE = "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{GRINNING FACE}"
LAST_CHARACTER = chr(0x10ffff)
# Names in which something looks special to SQL, to globbing, to a file format, or to the order of characters.
ODD_NAMES = ("", "a", "a_b", "aXb", "a%b", "A_b", "a*b", "a[b]", "a\\b", "a'b", 'a"b', "a;b--", "a?b", "a b", "a\nb", "a\0b",
             E_ACUTE + "t", FACE + "x", "a" + LAST_CHARACTER, "a" + LAST_CHARACTER + "b", LAST_CHARACTER,
             "a" + chr(0xd7ff) + "b", "a" + chr(0xe000), "b", "1", "None")


def names_and_uris(found: Dict[str, Any]) -> Dict[str, str]:
    """Leave out the metadata."""
    return {name: uri for name, (uri, _) in found.items()}


class NamesContract:
    """What holds for storages with and without metadata. A test case has a method ``make`` that gives an empty storage."""

    def empty(self: Any) -> Storage:
        storage: Storage = self.make()
        self.addCleanup(storage.close)
        return storage

    def with_names(self: Any, *names: str) -> Storage:
        storage: Storage = self.empty()
        for name in names or ("test.one", "test.two", "Test.three"):
            storage[name] = ("PYRO:%s@host:1" % name, frozenset())
        return storage

    def test_starts_empty(self: Any) -> None:
        storage = self.empty()
        self.assertEqual(len(storage), 0)
        self.assertEqual(storage.names(), [])
        self.assertEqual(storage.find_prefix(""), {})

    def test_reads_what_was_written(self: Any) -> None:
        storage = self.with_names()
        self.assertEqual(storage["test.one"][0], "PYRO:test.one@host:1")
        self.assertIn("test.two", storage)
        self.assertNotIn("TEST.two", storage)
        self.assertEqual(len(storage), 3)
        self.assertEqual(sorted(storage), ["Test.three", "test.one", "test.two"])
        self.assertEqual(sorted(storage.names()), sorted(storage))
        self.assertEqual(names_and_uris(dict(storage.items())), names_and_uris(storage.find_prefix("")))

    def test_overwrites(self: Any) -> None:
        storage = self.with_names()
        storage["test.one"] = THREE
        self.assertEqual(storage["test.one"][0], THREE[0])
        self.assertEqual(len(storage), 3)

    def test_unknown_name_is_a_key_error(self: Any) -> None:
        storage = self.with_names()
        with self.assertRaises(KeyError):
            storage["nosuch"]
        with self.assertRaises(KeyError):
            del storage["nosuch"]

    def test_deletes(self: Any) -> None:
        storage = self.with_names()
        del storage["test.one"]
        self.assertEqual(sorted(storage), ["Test.three", "test.two"])

    def test_every_text_is_a_name(self: Any) -> None:
        storage = self.with_names(*ODD_NAMES)
        self.assertEqual(sorted(storage.names()), sorted(ODD_NAMES))
        for name in ODD_NAMES:
            self.assertEqual(storage[name][0], "PYRO:%s@host:1" % name)
        self.assertEqual(storage.remove_names(ODD_NAMES), len(ODD_NAMES))

    def test_prefix_is_literal(self: Any) -> None:
        storage = self.with_names(*ODD_NAMES)
        prefixes = {name[:length] for name in ODD_NAMES for length in range(len(name) + 1)}
        for prefix in sorted(prefixes | {"nosuch", "A", "_", "%", "*", LAST_CHARACTER * 2, chr(0xd7ff)}):
            self.assertEqual(sorted(storage.find_prefix(prefix)), sorted(n for n in ODD_NAMES if n.startswith(prefix)),
                             ascii(prefix))

    def test_prefix_finds_uris(self: Any) -> None:
        self.assertEqual(names_and_uris(self.with_names().find_prefix("test.")),
                         {"test.one": "PYRO:test.one@host:1", "test.two": "PYRO:test.two@host:1"})

    def test_regex(self: Any) -> None:
        search_patiently(self)
        nameserver = NameServer(self.with_names())
        self.addCleanup(nameserver.close)
        self.assertEqual(nameserver.list(regex="(?i)test.t"),
                         {"Test.three": "PYRO:Test.three@host:1", "test.two": "PYRO:test.two@host:1"})

    def test_find_names_leaves_out_unknown_ones(self: Any) -> None:
        found = self.with_names().find_names(iter(["test.two", "nosuch"]))
        self.assertEqual(names_and_uris(found), {"test.two": "PYRO:test.two@host:1"})

    def test_find_and_remove_many_names(self: Any) -> None:
        names = ["name.%d" % number for number in range(1201)]
        storage = self.empty()
        for name in names[::100]:
            storage[name] = THREE
        self.assertEqual(sorted(storage.find_names(names)), sorted(names[::100]))
        self.assertEqual(storage.remove_names(names), 13)

    def test_remove_names_counts_what_existed(self: Any) -> None:
        storage = self.with_names()
        self.assertEqual(storage.remove_names(iter(["test.two", "nosuch", "Test.three"])), 2)
        self.assertEqual(list(storage), ["test.one"])
        self.assertEqual(storage.remove_names([]), 0)

    def test_remove_names_found_by_a_search(self: Any) -> None:
        storage = self.with_names()
        self.assertEqual(storage.remove_names(storage.find_prefix("test.")), 2)
        self.assertEqual(list(storage), ["Test.three"])

    def test_is_used_in_another_thread_than_it_was_made_in(self: Any) -> None:
        storage = self.with_names()
        found: List[Any] = []

        def use() -> None:
            storage["thread"] = THREE
            found.append((storage["thread"][0], len(storage), storage.remove_names(["test.one"])))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        self.assertEqual(found, [(THREE[0], 4, 1)])

    def test_close_twice(self: Any) -> None:
        storage = self.with_names()
        storage.close()
        storage.close()


class StorageContract(NamesContract):
    """The contract, metadata included."""

    def filled(self: Any) -> Storage:
        storage: Storage = self.empty()
        storage["test.one"] = ONE
        storage["test.two"] = TWO
        storage["Test.three"] = THREE
        return storage

    def test_reads_metadata(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage["test.one"], ONE)
        self.assertEqual(storage["Test.three"], THREE)
        self.assertEqual(dict(storage.items()), {"test.one": ONE, "test.two": TWO, "Test.three": THREE})

    def test_overwrites_metadata(self: Any) -> None:
        storage = self.filled()
        storage["test.one"] = THREE
        self.assertEqual(storage["test.one"], THREE)
        self.assertEqual(storage.find_tags(frozenset(["big"]), True), {})

    def test_metadata_goes_with_the_name(self: Any) -> None:
        storage = self.filled()
        del storage["test.one"]
        self.assertEqual(storage.remove_names(["test.two"]), 1)
        storage["test.one"] = storage["test.four"] = THREE
        self.assertEqual(storage["test.one"], THREE)
        self.assertEqual(storage["test.four"], THREE)
        self.assertEqual(storage.find_tags(frozenset(["red"]), True), {})

    def test_keeps_a_copy_of_the_metadata(self: Any) -> None:
        storage = self.empty()
        tags = {"a"}
        storage["copied"] = ("PYRO:x@host:1", tags)
        tags.add("b")
        self.assertEqual(set(storage["copied"][1]), {"a"})

    def test_any_iterable_of_tags(self: Any) -> None:
        storage = self.empty()
        storage["list"] = ("PYRO:x@host:1", ["a", "b", "a"])
        self.assertEqual(set(storage["list"][1]), {"a", "b"})

    def test_searches_find_registrations(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage.find_prefix("test."), {"test.one": ONE, "test.two": TWO})
        self.assertEqual(storage.find_names(["test.two", "Test.three"]), {"test.two": TWO, "Test.three": THREE})

    def test_tags(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage.find_tags(frozenset(["red", "big"]), True), {"test.one": ONE})
        self.assertEqual(storage.find_tags(frozenset(["red"]), True), {"test.one": ONE, "test.two": TWO})
        self.assertEqual(storage.find_tags(frozenset(["big", "zz"]), True), {})
        self.assertEqual(storage.find_tags(frozenset(["big", "zz"]), False), {"test.one": ONE})
        self.assertEqual(storage.find_tags(frozenset(["red", "big"]), False), {"test.one": ONE, "test.two": TWO})
        self.assertEqual(storage.find_tags(frozenset(["Red"]), False), {})

    def test_tags_are_literal(self: Any) -> None:
        storage = self.empty()
        for name in ODD_NAMES:
            storage["x" + name] = ("PYRO:x@host:1", {name, "all"})
        for name in ODD_NAMES:
            self.assertEqual(list(storage.find_tags(frozenset([name]), False)), ["x" + name])
            self.assertEqual(list(storage.find_tags(frozenset([name, "all"]), True)), ["x" + name])

    def test_no_tags_find_nothing(self: Any) -> None:
        storage = self.filled()
        self.assertEqual(storage.find_tags(frozenset(), True), {})
        self.assertEqual(storage.find_tags(frozenset(), False), {})

    def test_many_tags(self: Any) -> None:
        storage = self.filled()
        many = frozenset("tag.%d" % number for number in range(1200))
        storage["all"] = ("PYRO:x@host:1", many)
        storage["but.one"] = ("PYRO:x@host:1", many - {"tag.7"})
        self.assertEqual(list(storage.find_tags(many, True)), ["all"])
        self.assertEqual(sorted(storage.find_tags(many, False)), ["all", "but.one"])
        self.assertEqual(sorted(storage.find_tags(many | {"big"}, False)), ["all", "but.one", "test.one"])
        self.assertEqual(storage["all"][1], many)
