"""Watching a name server: over the network, with both server types, and by asyncio programs."""
from __future__ import annotations

import asyncio
import threading
import unittest
from typing import Any, Dict, List
from unittest import mock

from Pyro5 import config, errors
from Pyro5._naming.registry import NameServer
from Pyro5._naming.watches import Watches
from Pyro5.client import Proxy
from Pyro5.nameserver import NameServerDaemon
from tests.support import PATIENCE_SECONDS, daemon_thread

ONE, TWO = "PYRO:one@host:1", "PYRO:two@host:2"


def brief(item: Dict[str, Any]) -> Any:
    return (item["kind"], item["name"]) if item["name"] else item["kind"]


class WatchTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.COMMTIMEOUT = PATIENCE_SECONDS

    def serve(self) -> NameServer:
        daemon = NameServerDaemon("127.0.0.1", 0)
        self.uri = daemon.uriFor("Pyro.NameServer")
        self.addCleanup(daemon.close)
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        return daemon.nameserver

    def watch(self, prefix: str = "lab.") -> Any:
        proxy = Proxy(self.uri)
        self.addCleanup(proxy._pyroRelease)
        return proxy.watch(prefix)


class WatchTests(WatchTestCase):
    def test_current_registrations_then_changes(self) -> None:
        for server_type in ("thread", "multiplex"):
            config.SERVERTYPE = server_type
            with self.subTest(server_type):
                ns = self.serve()
                ns.register("lab.a", ONE, metadata=["tag"])
                ns.register("other", ONE)
                stream = self.watch()
                first = next(stream)
                self.assertEqual(("current", "lab.a", ONE, ["tag"], ns.details("lab.a")["revision"]), tuple(first.values()))
                self.assertEqual("ready", brief(next(stream)))
                ns.register("other.b", TWO)
                ns.register("lab.b", TWO)
                ns.set_metadata("lab.a", ["new"])
                ns.remove("lab.b")
                items = [next(stream) for _ in range(3)]
                self.assertEqual([("added", "lab.b"), ("changed", "lab.a"), ("removed", "lab.b")], list(map(brief, items)))
                self.assertEqual(sorted(item["revision"] for item in items), [item["revision"] for item in items])
                stream.close()

    def test_a_watcher_waits_without_a_thread_of_the_server(self) -> None:
        config.THREADPOOL_SIZE = config.THREADPOOL_SIZE_MIN = 1
        self.serve()
        found: List[Any] = []
        streams = [self.watch() for _ in range(10)]

        def read(stream: Any) -> None:
            stream._proxy._pyroClaimOwnership()
            found.append([next(stream)["kind"], next(stream)["kind"]])

        threads = [threading.Thread(target=read, args=(stream,)) for stream in streams]
        for thread in threads:
            thread.start()
        with Proxy(self.uri) as proxy:
            proxy.ping()
            proxy.register("lab.a", ONE)
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual([], [kinds for kinds in found if kinds not in (["ready", "added"], ["current", "ready"])])
        self.assertEqual(10, len(found))

    def test_an_ended_lease_is_a_removal(self) -> None:
        ns = self.serve()
        stream = self.watch("")
        while brief(next(stream)) != "ready":
            pass
        ns.register("lab.a", ONE, ttl=0.1)
        self.assertEqual(["added", "removed"], [next(stream)["kind"] for _ in range(2)])

    def test_closing_the_name_server_ends_a_watch(self) -> None:
        ns = self.serve()
        stream = self.watch("x")
        self.assertEqual("ready", brief(next(stream)))
        ends: List[Any] = []

        def read() -> None:
            try:
                next(stream)
            except errors.ConnectionClosedError as x:
                ends.append(x)

        thread = threading.Thread(target=read)
        thread.start()
        ns.end_watches()
        thread.join(PATIENCE_SECONDS)
        self.assertIn("the name server is shutting down", str(ends[0]))

    def test_a_slow_watcher_starts_again(self) -> None:
        config.NS_WATCH_CHANGES = 3
        ns = self.serve()
        stream = self.watch()
        self.assertEqual("ready", brief(next(stream)))
        for number in range(4):
            ns.register("lab.%d" % number, ONE)
        self.assertEqual("missed", brief(next(stream)))
        self.assertEqual([("current", "lab.%d" % number) for number in range(4)] + ["ready"],
                         [brief(next(stream)) for _ in range(5)])
        ns.remove("lab.1")
        self.assertEqual(("removed", "lab.1"), brief(next(stream)))

    def test_a_waiting_watcher_of_other_names_misses_nothing(self) -> None:
        async def watch() -> None:
            watches = Watches(3)
            loop = asyncio.get_running_loop()
            waiting = asyncio.ensure_future(watches.wait(loop, watches.end, "lab."))
            await asyncio.sleep(0)
            for _ in range(5):
                for _ in range(3):
                    watches.add("added", "other", ONE, frozenset())
                watches._deliver(loop)
                await asyncio.sleep(0)
                self.assertFalse(waiting.done())
            revision = watches.add("added", "lab.a", ONE, frozenset())
            watches.wake()
            change, _ = watches.read(await waiting, "lab.")
            self.assertEqual(("lab.a", revision), (change and change.name, change and change.revision))
            self.assertEqual({}, watches._waiting)

        asyncio.run(watch())

    def test_any_number_of_watchers_costs_a_change_one_wake_up(self) -> None:
        async def watch() -> None:
            watches, loop, calls = Watches(1000), asyncio.get_running_loop(), []
            waiting = [asyncio.ensure_future(watches.wait(loop, watches.end, "lab.")) for _ in range(50)]
            await asyncio.sleep(0)
            with mock.patch.object(loop, "call_soon_threadsafe", lambda *call: calls.append(call)):
                for _ in range(100):
                    watches.add("added", "lab.a", ONE, frozenset())
                    watches.wake()
            self.assertEqual(1, len(calls))
            calls[0][0](*calls[0][1:])
            watches.wake()  # no further wake-up before the first one is over
            self.assertEqual({watches.end - 100}, set(await asyncio.gather(*waiting)))

        asyncio.run(watch())

    def test_several_items_are_fetched_together_without_waiting_for_more(self) -> None:
        config.ITER_STREAM_BATCH = 100
        ns = self.serve()
        for number in range(150):
            ns.register("lab.%d" % number, ONE)
        stream = self.watch()
        with mock.patch.object(type(stream._proxy), "_pyroInvoke", autospec=True, side_effect=Proxy._pyroInvoke) as invoke:
            self.assertEqual(["current"] * 150 + ["ready"], [next(stream)["kind"] for _ in range(151)])
            self.assertEqual(2, invoke.call_count)

    def test_a_watcher_that_disconnects_leaves_nothing(self) -> None:
        config.ITER_STREAM_LINGER = 0.0
        ns = self.serve()
        stream = self.watch()
        next(stream)
        stream.close()
        ns.register("lab.a", ONE)
        self.assertEqual({}, ns._watches._waiting)

    def test_clients_of_other_releases_find_the_methods_that_they_know_and_can_watch(self) -> None:
        old = {"count", "list", "lookup", "ping", "register", "remove", "set_metadata", "yplookup"}
        self.serve()
        with mock.patch("Pyro5._messages.handshake.features.with_announcement", lambda annotations, *_: dict(annotations)), \
                Proxy(self.uri) as proxy:
            self.assertTrue(proxy._pyroBind())
            self.assertEqual(old, proxy._pyroMethods)
            proxy._pyroGetMetadata("Pyro.NameServer")
            self.assertEqual(old, proxy._pyroMethods)
            proxy.register("lab.a", ONE)
            stream = proxy._pyroInvoke("watch", ["lab."], {})
            self.assertEqual([("current", "lab.a"), "ready"], [brief(next(stream)), brief(next(stream))])
        with Proxy(self.uri) as proxy:
            proxy._pyroGetMetadata("Pyro.NameServer")
            self.assertEqual(old | {"candidates", "details", "leases", "release", "renew", "status",
                                    "watch"}, proxy._pyroMethods)

    def test_a_prefix_is_a_text(self) -> None:
        with self.assertRaisesRegex(TypeError, "prefix must be a str"):
            NameServer().watch(3)  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
