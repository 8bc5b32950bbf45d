"""How much memory clients can make a name server use, with what they register and with results that they do not read."""
from __future__ import annotations

import contextlib
import functools
import threading
import time
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import errors, protocol, serializers
from Pyro5._naming import capacity
from Pyro5._naming.capacity import Capacity, SearchTurns
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage import cost
from Pyro5._naming.storage.memory import MemoryStorage
from Pyro5._naming.storage.sqlite import SqlStorage
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from Pyro5.nameserver import start_ns

from ..peers import settings
from ..rawclient import wait_until
from ..support import PATIENCE_SECONDS, daemon_thread
from .storage.folder import FolderTestCase

ONE = "PYRO:one@host:1"


class RegistrationTests(FolderTestCase):
    def nameserver(self, limit: int, storage: Any = None) -> NameServer:
        with settings(NS_MAX_SIZE=limit):
            names = NameServer(storage)
        self.addCleanup(names.close)
        return names

    def fill(self, names: NameServer) -> int:
        """Register until it is full; return how many were."""
        for number in range(100):
            try:
                names.register("name%02d" % number, ONE, metadata={"tag"})
            except errors.NamingError as x:
                self.assertRegex(str(x), r"the name server is full: .* of 10000 \(its setting NS_MAX_SIZE\)")
                return number
        raise AssertionError("it is never full")

    def test_it_is_full_some_day(self) -> None:
        for storage in (None, {}, "sql:" + self.path):
            names = self.nameserver(10000, storage)
            count = self.fill(names)
            self.assertEqual(10000 // cost("name00", (ONE, {"tag"})), count, storage)
            names.register("name00", ONE, metadata={"tag"})  # replacing takes no more
            names.set_metadata("name00", None)
            with self.assertRaisesRegex(errors.NamingError, "is full"):
                names.set_metadata("name01", {"x" * 900})
            self.assertEqual(count, names.count())

    def test_removing_makes_room(self) -> None:
        names = self.nameserver(10000)
        count = self.fill(names)
        for remove in (lambda: names.remove("name00"), lambda: names.remove(prefix="name0"),
                       lambda: names.remove(regex="name"),
                       lambda: [names.remove_unchanged("name%02d" % number, ONE) for number in range(count)]):
            remove()
            self.assertEqual(names.storage.total_cost(), names._capacity.used_bytes)
            self.fill(names)
            self.assertEqual(count, names.count())

    def test_what_others_removed_is_found_out(self) -> None:
        clock = mock.Mock(return_value=0.0)
        storage = MemoryStorage()
        full = Capacity(2 * cost("a", (ONE, ())), clock)
        for name in ("a", "b"):
            full.store(storage, name, (ONE, frozenset()))
        del storage["a"]  # not through the name server
        with self.assertRaises(errors.NamingError):
            full.store(storage, "c", (ONE, frozenset()))
        clock.return_value = capacity.RECOUNT_SECONDS
        full.store(storage, "c", (ONE, frozenset()))

    def test_what_a_file_holds_counts(self) -> None:
        storage = SqlStorage(self.path)
        self.addCleanup(storage.close)
        for number in range(10):
            storage["name%02d" % number] = (ONE, {"tag", "other"})
        exact = sum(cost(name, registration) for name, registration in storage.items())
        self.assertEqual(exact, storage.total_cost())
        with self.assertRaisesRegex(errors.NamingError, "is full"):
            self.nameserver(exact, storage).register("more", ONE)

    def test_its_own_registration_always_fits(self) -> None:
        names = self.nameserver(10000)
        self.fill(names)
        names.register("Pyro.NameServer", "PYRO:Pyro.NameServer@host:1")

    def test_no_limit(self) -> None:
        names = self.nameserver(0)
        for number in range(100):
            names.register("name%02d" % number, ONE)
        self.assertEqual(100, names.count())


class ResultTests(unittest.TestCase):
    def setUp(self) -> None:
        patch = mock.patch("Pyro5._naming.registry.LARGE_BYTES", 0)
        patch.start()
        self.addCleanup(patch.stop)
        self.uri, self.daemon, _ = start_ns("127.0.0.1", 0)

    def test_clients_that_do_not_read_are_disconnected(self) -> None:
        for number in range(200):
            self.daemon.nameserver.register("%04d" % number + "x" * 900, ONE)
        with daemon_thread(self.daemon), mock.patch.object(capacity, "UNREAD_BYTES", 100000), \
                self.assertLogs("Pyro5.nameserver", "WARNING") as logs, Proxy(self.uri) as good:
            clients = [self.ask_without_reading() for _ in range(5)]
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not logs.output and time.monotonic() < deadline:
                self.assertEqual(201, len(good.list()))
            for client in clients:
                client._pyroRelease()
        self.assertIn("it has not read", logs.output[0])

    def test_the_one_that_waits_longest_goes_first(self) -> None:
        self.addCleanup(self.daemon.close)
        turns = SearchTurns()
        clients = [mock.Mock(dropped=False, buffered_bytes=60, peer_address=number) for number in range(4)]
        with mock.patch.object(capacity, "UNREAD_BYTES", 130), self.assertLogs("Pyro5.nameserver", "WARNING"):
            for client in clients:
                client.close.side_effect = functools.partial(setattr, client, "dropped", True)
                turns._receivers[client] = None
                turns._disconnect_excess()
        self.assertEqual([1, 1, 0, 0], [client.close.call_count for client in clients])

    def ask_without_reading(self) -> Proxy:
        """Ask for much more than the buffers of the system hold, over a connection of its own."""
        serializer = serializers.serializers["serpent"]
        proxy = Proxy(self.uri)
        proxy._pyroBind()
        for seq in range(1, 31):  # it may be disconnected meanwhile
            message = protocol.SendingMessage(protocol.MSG_INVOKE, 0, seq, serializer.serializer_id, serializer.dumpsCall(
                "Pyro.NameServer", "list", (), {}))
            with contextlib.suppress(OSError):
                proxy._pyroConnection.sock.sendall(message.data)
        return proxy

    def test_turns_are_given_back(self) -> None:
        turns = self.daemon._turns
        with daemon_thread(self.daemon), Proxy(self.uri) as proxy:
            for _ in range(2 * capacity.TURNS):
                proxy.list()
                with self.assertRaises(ValueError):
                    proxy.yplookup(meta_any=["x"] * 501)
                proxy.yplookup(meta_any=["x"])
            batch = BatchProxy(proxy)
            for _ in range(capacity.RESULTS_PER_REQUEST + 1):
                batch.list()
            results = batch()
            for _ in range(capacity.RESULTS_PER_REQUEST):
                self.assertEqual(1, len(next(results)))
            with self.assertRaisesRegex(errors.NamingError, "a batch can have"):
                next(results)
            proxy.ping()
            self.assertEqual({}, turns._results)

    def test_a_turn_that_does_not_come(self) -> None:
        turns = SearchTurns(waiting=1)
        self.addCleanup(self.daemon.close)
        failures: List[str] = []
        failed = threading.Event()

        def search() -> None:
            current_context.client = mock.Mock(gone=True)
            try:
                turns.begin()
            except errors.NamingError as x:
                failures.append(str(x))
                failed.set()
            failed.wait(PATIENCE_SECONDS)
            turns.end()

        threads = [threading.Thread(target=search) for _ in range(capacity.TURNS + 1)]
        with mock.patch.object(capacity, "TURN_SECONDS", 0.01):
            for number, thread in enumerate(threads):
                # One by one: if two were looking for a turn at the same moment, the second would be refused at once.
                wait_until(lambda: len(turns._results) == number, "the searches before")  # noqa: B023
                thread.start()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
        self.assertEqual({}, turns._results)
        self.assertEqual(["too many searches are going on here, try again in a moment"], failures)

    def test_the_process_itself_needs_no_turn(self) -> None:
        self.addCleanup(self.daemon.close)
        for _ in range(2 * capacity.TURNS):
            self.assertEqual(1, len(self.daemon.nameserver.list()))


if __name__ == "__main__":
    unittest.main()
