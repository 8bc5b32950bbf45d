"""Programs that run a name server themselves, in a loop or a daemon of their own, or with a storage of their own."""
from __future__ import annotations

import contextlib
import io
import select
import socket
import threading
import unittest
from collections.abc import MutableMapping
from typing import Any, Dict, Iterator, List, Optional

from Pyro5 import api, errors, nameserver, nsc
from Pyro5._client import discovery
from Pyro5._values.uri import URI
from Pyro5.client import Proxy
from Pyro5.core import NAMESERVER_NAME
from Pyro5.nameserver import MemoryStorage, NameServer
from Pyro5.server import Daemon

from ..peers import settings
from ..support import PATIENCE_SECONDS, daemon_thread

ONE, TWO = "PYRO:one@host:1", "PYRO:two@host:2"


class BroadcastServerTests(unittest.TestCase):
    def test_the_server_itself_is_selected(self) -> None:
        _, daemon, responder = api.start_ns("0.0.0.0", 0, bchost="127.0.0.1", bcport=0)
        assert responder is not None
        with contextlib.closing(daemon), contextlib.closing(responder):
            port = responder.getPort()
            self.assertEqual(responder.sock.getsockname()[1], port)
            self.assertEqual(responder.sock.fileno(), responder.fileno())
            for answer in (responder.processRequest, lambda: responder.events([responder])):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.settimeout(PATIENCE_SECONDS)
                    client.sendto(b"GET_NSURI", ("127.0.0.1", port))
                    ready, _, _ = select.select([responder, *daemon.sockets], [], [], PATIENCE_SECONDS)
                    self.assertEqual([responder], ready)
                    answer()
                    self.assertEqual(b"PYRO:Pyro.NameServer", client.recv(100).partition(b"@")[0])
        self.assertEqual(-1, responder.fileno())


class OwnDaemonTests(unittest.TestCase):
    def test_a_program_enters_its_name_server_under_the_reserved_name(self) -> None:
        names = NameServer()
        self.addCleanup(names.close)
        daemon = Daemon("127.0.0.1")
        uri = daemon.register(names, NAMESERVER_NAME)
        names.register(NAMESERVER_NAME, uri, metadata={"class:my.NameServer"})
        with daemon_thread(daemon), Proxy(uri) as client:
            self.assertEqual({NAMESERVER_NAME: str(uri)}, client.list())
            for change in (lambda: client.register(NAMESERVER_NAME, ONE), lambda: client.set_metadata(NAMESERVER_NAME, None)):
                with self.assertRaisesRegex(errors.NamingError, "own registration"):
                    change()
            self.assertEqual(0, client.remove(NAMESERVER_NAME))
            names.set_metadata(NAMESERVER_NAME, {"other"})
            self.assertEqual({"other"}, set(client.lookup(NAMESERVER_NAME, return_metadata=True)[1]))
            self.assertEqual(1, names.remove(NAMESERVER_NAME))
            self.assertEqual({}, client.list())

    def test_a_name_server_daemon_in_the_loop_of_another_one(self) -> None:
        with settings(SERVERTYPE="multiplex"):
            own = Daemon("127.0.0.1")
            uri, names, responder = api.start_ns("127.0.0.1", 0)
            self.assertIsNone(responder)
            own.combine(names)
            with contextlib.closing(names), daemon_thread(own), Proxy(uri) as client:
                client.register("name", ONE)
                self.assertEqual(ONE, str(client.lookup("name")))

    def test_the_loop_ends_when_the_condition_says_so(self) -> None:
        asked: List[bool] = []
        with contextlib.redirect_stdout(io.StringIO()) as out:
            nameserver.start_ns_loop("127.0.0.1", 0, loopCondition=lambda: bool(asked.append(True)))
        self.assertEqual([True], asked)
        self.assertIn("NS running on 127.0.0.1", out.getvalue())

    def test_holding_the_lock_keeps_changes_out(self) -> None:
        names = NameServer()
        self.addCleanup(names.close)
        thread = threading.Thread(target=names.register, args=("name", ONE))
        with names.lock, names.lock:
            thread.start()
            self.assertNotIn("name", names.storage)
            names.register("other", TWO)  # reentrant
        thread.join(PATIENCE_SECONDS)
        self.assertEqual({"name", "other"}, set(names.storage))


class WaitingTests(unittest.TestCase):
    def test_lookup_and_yplookup_wait_for_the_name(self) -> None:
        names = NameServer()
        self.addCleanup(names.close)
        asked = threading.Event()

        class Impatient:
            def lookup(self, name: str, return_metadata: bool = False) -> Any:
                asked.set()
                return names.lookup(name, return_metadata)

            def yplookup(self, **criteria: Any) -> Any:
                asked.set()
                return names.yplookup(**criteria)

        def register_later(name: str) -> None:
            asked.wait(PATIENCE_SECONDS)
            names.register(name, ONE, metadata={name})

        ways: Dict[str, Any] = {
            "keyword": lambda ns: str(nameserver.lookup(ns, "keyword", delay_time=PATIENCE_SECONDS)) == ONE,
            "third": lambda ns: str(nameserver.lookup(ns, "third", PATIENCE_SECONDS)) == ONE,
            "tuple": lambda ns: nameserver.lookup(ns, "tuple", True, PATIENCE_SECONDS)[1] == {"tuple"},
            "all": lambda ns: nameserver.yplookup(ns, {"all"}, delay_time=PATIENCE_SECONDS) == {"all": (ONE, {"all"})},
            "any": lambda ns: nameserver.yplookup(ns, meta_any={"any"}, return_metadata=False,
                                                  delay_time=PATIENCE_SECONDS) == {"any": ONE}}
        for name, ask in ways.items():
            asked.clear()
            thread = threading.Thread(target=register_later, args=(name,))
            thread.start()
            self.assertTrue(ask(Impatient()), name)
            thread.join(PATIENCE_SECONDS)

    def test_without_a_delay_they_are_the_methods_of_the_name_server(self) -> None:
        names = NameServer()
        self.addCleanup(names.close)
        self.assertEqual({}, nameserver.yplookup(names, meta_any={"tag"}))
        with self.assertRaises(errors.NamingError):
            nameserver.lookup(names, "missing")

    def check_waits(self, ask: Any, delay: float) -> None:
        """Start a name server after the first search for it has failed."""
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
        missed = threading.Event()
        original = discovery._Search._attempt

        def attempt(search: Any, how: str, step: Any) -> Any:
            found = original(search, how, step)
            if found is None:
                missed.set()
            return found

        with settings(NS_HOST="127.0.0.1", NS_PORT=port, BROADCAST_LOOKUP=False, NS_LOOKUP_DELAY=delay), \
                patched(discovery._Search, "_attempt", attempt):
            results: List[Any] = []
            thread = threading.Thread(target=lambda: results.append(ask()))
            thread.start()
            self.assertTrue(missed.wait(PATIENCE_SECONDS))
            _, daemon, _ = api.start_ns("127.0.0.1", port, enableBroadcast=False)
            daemon.nameserver.register("name", ONE, metadata={"tag"})
            with daemon_thread(daemon):
                thread.join(PATIENCE_SECONDS)
        self.assertEqual(1, len(results))

    def test_a_name_server_that_is_not_there_yet(self) -> None:
        def ping(**arguments: float) -> bool:
            with api.locate_ns(**arguments) as ns:  # type: ignore[arg-type]
                ns.ping()
            return True

        for ask in (ping, lambda: api.resolve("PYRONAME:name"), lambda: discovery.yplookup(["tag"])):
            self.check_waits(ask, PATIENCE_SECONDS)
        for ask in (lambda: ping(delay_time=PATIENCE_SECONDS), lambda: api.resolve("PYROMETA:tag", PATIENCE_SECONDS)):
            self.check_waits(ask, 0.0)

    def test_a_name_server_that_goes_away_meanwhile(self) -> None:
        sent: List[str] = []

        class Lost:
            uri = URI("PYRO:Pyro.NameServer@127.0.0.1:1")

            def __init__(self, *_: Any) -> None:
                sent.append("connected")

            def lookup(self, name: str) -> Any:
                if len(sent) == 1:
                    raise errors.ConnectionClosedError("it has just been stopped")
                return name

            def close(self) -> None:
                sent.append("closed")

        with patched(discovery, "_NameServer", Lost), settings(NS_HOST="127.0.0.1"):
            self.assertEqual("name", discovery.lookup("name", PATIENCE_SECONDS))
        self.assertEqual(["connected", "closed", "connected", "closed"], sent)


@contextlib.contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


class StorageTests(unittest.TestCase):
    def test_a_memory_storage_is_a_mapping_with_searches(self) -> None:
        storage = MemoryStorage({"a.1": (ONE, {"x", "y"})})
        storage["a.2"] = TWO, {"y"}
        storage["b"] = TWO, ()
        self.assertIsInstance(storage, MutableMapping)
        self.assertEqual({"a.1": ONE, "a.2": TWO, "b": TWO}, storage.everything())
        self.assertEqual((TWO, set()), storage.everything(return_metadata=True)["b"])
        self.assertEqual({"a.1", "a.2"}, set(storage.optimized_prefix_list("a.")))
        self.assertEqual({"a.2": (TWO, {"y"})}, storage.optimized_regex_list(r".*2$", True))
        self.assertEqual({"a.1": ONE}, storage.optimized_metadata_search(metadata_all={"x", "y"}))
        self.assertEqual({"a.1", "a.2"}, set(storage.optimized_metadata_search(metadata_any={"x", "y"}, return_metadata=True)))
        with self.assertRaises(errors.NamingError):
            storage.optimized_regex_list("(")
        storage.remove_items(["a.1", "missing"])
        self.assertEqual(["a.2", "b"], list(storage))
        storage.clear()
        self.assertEqual(0, len(storage))
        self.assertEqual({}, storage.optimized_prefix_list("a"))

    def test_a_derived_memory_storage_sees_every_change(self) -> None:
        changes: List[str] = []

        class Watched(MemoryStorage):
            def __setitem__(self, name: str, registration: Any) -> None:
                super().__setitem__(name, registration)
                changes.append("+" + name)

            def __delitem__(self, name: str) -> None:
                super().__delitem__(name)
                changes.append("-" + name)

        names = NameServer(Watched())
        self.addCleanup(names.close)
        for name in ("one", "two", "three"):
            names.register(name, ONE)
        self.assertEqual(1, names.remove("one"))
        self.assertEqual(2, names.remove(prefix="t"))
        self.assertEqual(["+one", "+two", "+three", "-one"], changes[:4])
        self.assertEqual({"-two", "-three"}, set(changes[4:]))

    def test_a_storage_with_the_methods_of_release_5(self) -> None:
        storage = OldStorage()
        names = NameServer(storage)
        self.addCleanup(names.close)
        self.assertIs(storage, names.storage)
        names.register("a.1", ONE, metadata={"x"})
        names.register("a.2", TWO)
        names.register("b", TWO)
        self.assertEqual({"a.1": ONE, "a.2": TWO, "b": TWO}, names.list())
        self.assertEqual({"a.1": (ONE, {"x"})}, names.yplookup(meta_all={"x"}))
        self.assertEqual({"a.1", "a.2"}, set(names.list(prefix="a.")))
        self.assertEqual(["everything", "optimized_metadata_search", "optimized_prefix_list"], storage.asked)
        self.assertEqual(2, names.remove(prefix="a."))
        self.assertEqual("remove_items", storage.asked[-1])
        self.assertEqual({"b": TWO}, names.list(regex="[a-z]"))

    def test_the_storage_is_replaced(self) -> None:
        names = NameServer()
        self.addCleanup(names.close)
        own: Dict[str, Any] = {}
        names.storage = own
        names.register("name", ONE)
        self.assertEqual((ONE, frozenset()), own["name"])
        self.assertIs(own, names.storage)


class OldStorage(dict):  # type: ignore[type-arg]
    """A storage as programs wrote them for releases 5.x."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: List[str] = []

    def everything(self, return_metadata: bool = False) -> Dict[str, Any]:
        self.asked.append("everything")
        return dict(self) if return_metadata else {name: uri for name, (uri, _) in self.items()}

    def remove_items(self, items: Any) -> None:
        self.asked.append("remove_items")
        for item in items:
            self.pop(item, None)

    def optimized_prefix_list(self, prefix: str, return_metadata: bool = False) -> Optional[Dict[str, Any]]:
        self.asked.append("optimized_prefix_list")
        return None

    def optimized_regex_list(self, regex: str, return_metadata: bool = False) -> Optional[Dict[str, Any]]:
        raise AssertionError("an expression of a client must not run here")

    def optimized_metadata_search(self, metadata_all: Any = None, metadata_any: Any = None,
                                  return_metadata: bool = False) -> Optional[Dict[str, Any]]:
        self.asked.append("optimized_metadata_search")
        return {name: (uri, tags) for name, (uri, tags) in self.items() if tags & set(metadata_all or metadata_any)}


class CommandTests(unittest.TestCase):
    def test_a_command_of_the_tool_on_a_name_server(self) -> None:
        names = NameServer()
        self.addCleanup(names.close)
        for args in (["register", "name", ONE], ["list"]):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                nsc.handle_command(names, args)
        self.assertIn("name --> %s" % ONE, out.getvalue())

        class Args:
            command = "lookup"
            args = ("name",)

        with contextlib.redirect_stdout(io.StringIO()) as out:
            nsc.handle_command(names, Args())
        self.assertEqual(ONE + "\n", out.getvalue())
        for wrong in (["nothing"], ["lookup"]):
            with self.assertRaises(ValueError):
                nsc.handle_command(names, wrong)


if __name__ == "__main__":
    unittest.main()
