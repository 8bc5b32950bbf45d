"""The name server object itself, called directly."""
from __future__ import annotations

import contextlib
import re
import threading
import unittest
from typing import Any, Dict, Iterator, List

from Pyro5 import errors
from Pyro5._naming import checks, registry
from Pyro5._naming.regex_sandbox import Matcher
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage.memory import MemoryStorage
from Pyro5._objects.members import exposed_members
from Pyro5._values.uri import URI
from Pyro5.callcontext import current_context

from ..support import search_patiently

ONE, TWO = "PYRO:one@host:1", "PYRO:two@host:2"
OWN_URI = URI("PYRO:Pyro.NameServer@host:9090")
PATIENCE_SECONDS = 60.0


@contextlib.contextmanager
def called_by_client() -> Iterator[None]:
    """Run the block as if it served a remote call."""
    current_context.client = object()
    try:
        yield
    finally:
        current_context.client = None


class RegistryTestCase(unittest.TestCase):
    def setUp(self) -> None:
        search_patiently(self)
        self.ns = NameServer()
        self.addCleanup(self.ns.close)
        self.ns.register_self(OWN_URI)

    def fill(self) -> None:
        self.ns.register("test.one", ONE)
        self.ns.register("test.two", TWO, metadata=["m1", "m2"])
        self.ns.register("Meta.three", ONE, metadata={"m1"})
        self.ns.register("a_b", ONE)
        self.ns.register("aXb", ONE)


class RegisterTests(RegistryTestCase):
    def test_text_and_uri_object(self) -> None:
        self.ns.register("text", ONE)
        self.ns.register("object", URI(TWO))
        self.assertEqual(self.ns.lookup("text"), URI(ONE))
        self.assertEqual(self.ns.lookup("object"), URI(TWO))

    def test_overwrites_the_metadata_too(self) -> None:
        self.ns.register("name", ONE, metadata=["old"])
        self.ns.register("name", TWO)
        self.assertEqual(self.ns.lookup("name", True), (URI(TWO), set()))

    def test_safe(self) -> None:
        self.ns.register("name", ONE, safe=True)
        with self.assertRaisesRegex(errors.NamingError, "^name already registered: name$"):
            self.ns.register("name", TWO, safe=True)
        self.assertEqual(self.ns.lookup("name"), URI(ONE))

    def test_wrong_arguments(self) -> None:
        arguments: List[Any] = [
            ((5, ONE), {}, TypeError, "^name must be a str, not int$"),
            (("name", 5), {}, TypeError, "^only URIs or strings can be registered$"),
            (("name", "not a uri"), {}, errors.PyroError, "^invalid uri"),
            (("name", ONE), {"metadata": "m1"}, TypeError,
             r"^metadata must be a set or list of str, not str$"),
            (("name", ONE), {"metadata": [1]}, TypeError, "^each tag of metadata must be a str, not int$"),
            (("name", ONE), {"metadata": 5}, TypeError, ""),
        ]
        for args, kwargs, kind, text in arguments:
            with self.assertRaisesRegex(kind, text):
                self.ns.register(*args, **kwargs)
        self.assertEqual(self.ns.count(), 1)

    def test_contents(self) -> None:
        """What would break a listing, a log or a storage is refused, with a text that says what and where."""
        own: List[Any] = [
            (("", ONE), {}, "^name must not be empty$"),
            (("n" * (checks.NAME_CHARS + 1), ONE), {}, "^name has 1001 characters, at most 1000 are allowed$"),
            (("name", "PYRO:%s@host:1" % ("o" * checks.URI_CHARS)), {}, "^uri has 2012 characters, at most 2000"),
            (("name", ONE), {"metadata": [""]}, "^each tag of metadata must not be empty$"),
            (("name", ONE), {"metadata": ["t" * 1001]}, "^each tag of metadata has 1001 characters, at most 1000"),
            (("name", ONE), {"metadata": range(501)}, "^each tag of metadata must be a str, not int$"),
            (("name", ONE), {"metadata": map(str, range(501))}, "^metadata has 501 tags, at most 500 are allowed$"),
            (("name", "PYRO:o\x7fo@host:1"), {}, "^uri must have no control characters, but has '.x7f' at position 6$"),
            (("name", "PYRO:obj@./u:a\0b"), {}, "^uri must have no control characters"),
        ]
        for character in "\0\n\r\t\x1b\x7f\x85\u2028\u2029\ud800":
            problem = "must have no control characters, but has %s at position 1$" % re.escape("%a" % character)
            own.append((("a%sb" % character, ONE), {}, "^name " + problem))
            own.append((("name", ONE), {"metadata": ["a%sb" % character]}, "^each tag of metadata " + problem))
        for args, kwargs, text in own:
            with self.assertRaisesRegex((ValueError, TypeError), text):
                self.ns.register(*args, **kwargs)
            if "metadata" in kwargs and not isinstance(kwargs["metadata"], map):
                with self.assertRaisesRegex((ValueError, TypeError), text):
                    self.ns.set_metadata("Pyro.NameServer", **kwargs)
        self.assertEqual(self.ns.count(), 1)

    def test_contents_that_are_fine(self) -> None:
        names = ["n" * checks.NAME_CHARS, " ", "h\xe9 llo", "\u65e5\u672c", "\U0001f600", "a/b:c@d,e;'\"\\%_*"]
        for name in names:
            self.ns.register(name, ONE, metadata=[name])
        self.assertEqual(set(self.ns.list()), {"Pyro.NameServer", *names})
        self.ns.register("abstract", "PYRO:obj@./u:\0name")
        self.assertEqual(self.ns.lookup("abstract").sockname, "\0name")  # type: ignore[union-attr]
        self.ns.register("many", ONE, metadata=map(str, range(500)))

    def test_own_registration_cannot_be_replaced_or_changed_by_clients(self) -> None:
        with called_by_client():
            with self.assertRaisesRegex(errors.NamingError, "own registration cannot be replaced"):
                self.ns.register("Pyro.NameServer", ONE)
            with self.assertRaisesRegex(errors.NamingError, "own registration cannot be changed"):
                self.ns.set_metadata("Pyro.NameServer", None)
        self.assertEqual(self.ns.lookup("Pyro.NameServer", True), (OWN_URI, {"class:Pyro5.nameserver.NameServer"}))

    def test_own_metadata(self) -> None:
        self.assertEqual(self.ns.lookup("Pyro.NameServer", True), (OWN_URI, {"class:Pyro5.nameserver.NameServer"}))


class LookupTests(RegistryTestCase):
    def test_with_and_without_metadata(self) -> None:
        self.fill()
        self.assertEqual(self.ns.lookup("test.two"), URI(TWO))
        self.assertEqual(self.ns.lookup("test.two", return_metadata=True), (URI(TWO), {"m1", "m2"}))
        self.assertEqual(self.ns.lookup("test.one", True), (URI(ONE), set()))

    def test_a_float_is_a_delay_from_an_older_client(self) -> None:
        self.fill()
        self.assertEqual(self.ns.lookup("test.two", 0.0), URI(TWO))  # type: ignore[arg-type]
        self.assertEqual(self.ns.lookup("test.two", 2.5), URI(TWO))  # type: ignore[arg-type]

    def test_unknown_name(self) -> None:
        for name in ("nosuch", ""):
            with self.assertRaisesRegex(errors.NamingError, "^unknown name: %s$" % name):
                self.ns.lookup(name)

    def test_name_of_another_type(self) -> None:
        with self.assertRaisesRegex(TypeError, "^name must be a str, not int$"):
            self.ns.lookup(5)  # type: ignore[arg-type]


class SetMetadataTests(RegistryTestCase):
    def test_replaces_and_clears(self) -> None:
        self.fill()
        self.ns.set_metadata("test.one", ["x", "y"])
        self.assertEqual(self.ns.lookup("test.one", True), (URI(ONE), {"x", "y"}))
        self.ns.set_metadata("test.one", {"z"})
        self.assertEqual(self.ns.lookup("test.one", True), (URI(ONE), {"z"}))
        self.ns.set_metadata("test.one", None)
        self.assertEqual(self.ns.lookup("test.one", True), (URI(ONE), set()))

    def test_unknown_name(self) -> None:
        with self.assertRaisesRegex(errors.NamingError, "^unknown name: nosuch$"):
            self.ns.set_metadata("nosuch", ["a"])

    def test_a_str_is_refused(self) -> None:
        self.fill()
        with self.assertRaisesRegex(TypeError, "^metadata must be a set or list of str, not str"):
            self.ns.set_metadata("test.one", "abc")


class ListTests(RegistryTestCase):
    def test_all(self) -> None:
        self.ns.register("name", ONE)
        everything = {"Pyro.NameServer": str(OWN_URI), "name": ONE}
        self.assertEqual(self.ns.list(), everything)
        self.assertEqual(self.ns.list(prefix=""), everything)
        self.assertEqual(self.ns.count(), 2)

    def test_prefix(self) -> None:
        self.fill()
        self.assertEqual(self.ns.list(prefix="test."), {"test.one": ONE, "test.two": TWO})
        self.assertEqual(self.ns.list("a_"), {"a_b": ONE})
        self.assertEqual(self.ns.list("meta"), {})

    def test_regex_matches_at_the_beginning(self) -> None:
        self.fill()
        self.assertEqual(self.ns.list(regex=".*two"), {"test.two": TWO})
        self.assertEqual(self.ns.list(regex="two"), {})

    def test_metadata_are_sets_of_their_own(self) -> None:
        self.fill()
        found = self.ns.list("test.", return_metadata=True)
        self.assertEqual(found, {"test.one": (ONE, set()), "test.two": (TWO, {"m1", "m2"})})
        # a frozenset could not be sent by every serializer
        self.assertEqual({type(metadata) for _, metadata in found.values()}, {set})
        found["test.two"][1].clear()
        self.assertEqual(self.ns.lookup("test.two", True), (URI(TWO), {"m1", "m2"}))

    def test_wrong_arguments(self) -> None:
        with self.assertRaisesRegex(ValueError, "^you can only filter on one thing at a time$"):
            self.ns.list(prefix="a", regex="b")
        with self.assertRaisesRegex(errors.NamingError, "^invalid regex: missing "):
            self.ns.list(regex="(")
        with self.assertRaisesRegex(TypeError, "^regex must be a str, not int$"):
            self.ns.list(regex=5)  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "^prefix must be a str, not bytes$"):
            self.ns.list(prefix=b"a")  # type: ignore[arg-type]


class YellowPagesTests(RegistryTestCase):
    def test_all_and_any(self) -> None:
        self.fill()
        self.assertEqual(self.ns.yplookup(meta_all=["m1", "m2"]), {"test.two": (TWO, {"m1", "m2"})})
        self.assertEqual(self.ns.yplookup({"m1"}, None, False), {"test.two": TWO, "Meta.three": ONE})
        self.assertEqual(self.ns.yplookup(meta_any=("m2", "zz"), return_metadata=False), {"test.two": TWO})
        self.assertEqual(self.ns.yplookup(meta_all=["nope"]), {})

    def test_no_criterion(self) -> None:
        self.fill()
        self.assertEqual(self.ns.yplookup(), {})
        self.assertEqual(self.ns.yplookup(meta_all=[], meta_any=[]), {})

    def test_wrong_arguments(self) -> None:
        with self.assertRaisesRegex(ValueError, "^you can't use meta_all or meta_any at the same time$"):
            self.ns.yplookup(["a"], ["b"])
        with self.assertRaisesRegex(TypeError, "^metadata_all must be a set or list of str, not str"):
            self.ns.yplookup("m1")
        with self.assertRaisesRegex(TypeError, "^metadata_any must be a set or list of str, not str"):
            self.ns.yplookup(meta_any="m1")

    def test_a_search_has_as_many_tags_as_a_registration_at_most(self) -> None:
        self.fill()
        tags = ["m1"] + ["t%d" % number for number in range(499)]
        self.assertEqual(set(self.ns.yplookup(meta_any=tags)), {"test.two", "Meta.three"})
        self.assertEqual(self.ns.yplookup(meta_all=tags), {})
        for criterion, what in (("meta_all", "metadata_all"), ("meta_any", "metadata_any")):
            with self.assertRaisesRegex(ValueError, "^%s has 501 tags, at most 500 are allowed$" % what):
                self.ns.yplookup(**{criterion: tags + ["m1"]})


class RemoveTests(RegistryTestCase):
    def test_by_name(self) -> None:
        self.fill()
        self.assertEqual(self.ns.remove("test.one"), 1)
        self.assertEqual(self.ns.remove("test.one"), 0)
        self.assertEqual(self.ns.remove(), 0)
        self.assertEqual(self.ns.count(), 5)

    def test_by_prefix_and_regex(self) -> None:
        self.fill()
        self.assertEqual(self.ns.remove(prefix="test."), 2)
        self.assertEqual(self.ns.remove(regex="a.b"), 2)
        self.assertEqual(sorted(self.ns.list()), ["Meta.three", "Pyro.NameServer"])

    def test_own_registration_stays(self) -> None:
        self.fill()
        with called_by_client():
            self.assertEqual(self.ns.remove("Pyro.NameServer"), 0)
            self.assertEqual(self.ns.remove(prefix="Pyro."), 0)
            self.assertEqual(self.ns.remove(regex=".*"), 5)
        self.assertEqual(list(self.ns.list()), ["Pyro.NameServer"])

    def test_wrong_arguments(self) -> None:
        self.fill()
        with self.assertRaises(ValueError):
            self.ns.remove("a_b", prefix="test.")
        with self.assertRaisesRegex(errors.NamingError, "^invalid regex: "):
            self.ns.remove(regex="(")
        with self.assertRaisesRegex(TypeError, "^name must be a str, not int$"):
            self.ns.remove(5)  # type: ignore[arg-type]
        self.assertEqual(self.ns.count(), 6)

    def test_only_if_unchanged(self) -> None:
        self.fill()
        self.assertFalse(self.ns.remove_unchanged("test.one", TWO))
        self.assertFalse(self.ns.remove_unchanged("nosuch", TWO))
        self.assertTrue(self.ns.remove_unchanged("test.one", ONE))
        self.assertNotIn("test.one", self.ns.list())


class StorageTests(unittest.TestCase):
    def test_own_mapping(self) -> None:
        mapping: Dict[str, Any] = {}
        ns = NameServer(mapping)
        self.addCleanup(ns.close)
        ns.register("name", ONE, metadata=["m"])
        self.assertEqual(mapping, {"name": (ONE, {"m"})})

    def test_unknown_storage(self) -> None:
        with self.assertRaisesRegex(ValueError, "invalid storage type 'bogus'"):
            NameServer("bogus")

    def test_only_a_storage_of_its_own_is_closed(self) -> None:
        closed: List[Any] = []

        class Closing(Dict[str, Any]):
            def close(self) -> None:
                closed.append(self)

        NameServer(Closing()).close()
        self.assertEqual(closed, [])

    def test_many_names_are_read_in_portions(self) -> None:
        ns = NameServer()
        self.addCleanup(ns.close)
        names = {"name%04d" % number: ONE for number in range(2 * registry.NAMES_AT_ONCE + 1)}
        for name in names:
            ns.register(name, ONE)
        self.assertEqual(ns.all_uris(), names)
        self.assertEqual(ns.list(regex="name"), names)


class StoppableMatcher(Matcher):
    """Stops in every search, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.matching_now, self.go_on = threading.Semaphore(0), threading.Event()

    def matching(self, regex: str, snapshot: Any) -> List[str]:
        names = snapshot()
        self.matching_now.release()
        self.go_on.wait(PATIENCE_SECONDS)
        return names  # type: ignore[no-any-return]


class ThreadTests(RegistryTestCase):
    def test_a_slow_regex_delays_no_other_request(self) -> None:
        matcher = StoppableMatcher()
        ns = NameServer(matcher=matcher)
        self.addCleanup(ns.close)
        ns.register_self(OWN_URI)
        ns.register("gone.meanwhile", ONE)
        results: List[Any] = []
        threads = [threading.Thread(target=lambda: results.append(ns.list(regex="x"))),
                   threading.Thread(target=lambda: results.append(ns.remove(regex="x")))]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                self.assertTrue(matcher.matching_now.acquire(timeout=PATIENCE_SECONDS))
            ns.register("name", ONE)
            self.assertEqual(ns.lookup("name"), URI(ONE))
            self.assertEqual(ns.remove("name"), 1)
            self.assertEqual(ns.remove("gone.meanwhile"), 1)
            ns.register("later", ONE)
        finally:
            matcher.go_on.set()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
        self.assertCountEqual(results, [{"Pyro.NameServer": str(OWN_URI)}, 0])

    def test_safe_registration_succeeds_once(self) -> None:
        winners: List[int] = []
        start = threading.Barrier(8)

        def compete(number: int) -> None:
            start.wait(PATIENCE_SECONDS)
            try:
                self.ns.register("prize", "PYRO:winner%d@host:1" % number, safe=True)
                winners.append(number)
            except errors.NamingError:
                return

        threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual(len(winners), 1)
        self.assertEqual(self.ns.lookup("prize"), URI("PYRO:winner%d@host:1" % winners[0]))


class ReadingAlongsideTests(unittest.TestCase):
    def test_only_storages_that_say_so_are_read_while_something_changes(self) -> None:
        class Dependable(MemoryStorage):
            reads_alongside = True

        for storage, expected in ((Dependable(), True), (MemoryStorage(), False)):
            name_server = NameServer(storage)
            self.addCleanup(name_server.close)
            name_server.register("one", "PYRO:one@host:1", metadata=["tag"])
            done = threading.Event()

            def read(name_server: NameServer = name_server, done: threading.Event = done) -> None:
                name_server.lookup("one")
                name_server.list(prefix="o")
                name_server.list(regex="one")
                name_server.yplookup(["tag"])
                name_server.count()
                done.set()

            reader = threading.Thread(target=read)
            with name_server.lock:
                reader.start()
                self.assertEqual(expected, done.wait(PATIENCE_SECONDS if expected else 0.05))
            reader.join()


class ExposureTests(unittest.TestCase):
    def test_exactly_the_documented_methods(self) -> None:
        members = exposed_members(NameServer)
        self.assertEqual(set(members.methods),
                         {"count", "list", "lookup", "ping", "register", "remove", "set_metadata", "yplookup",
                          "candidates", "details", "leases", "release", "renew", "status", "watch"})
        self.assertEqual((set(members.oneway), set(members.attrs)), (set(), set()))


if __name__ == "__main__":
    unittest.main()
