"""Leases and watches in asyncio programs, and of the daemon for them."""
from __future__ import annotations

import asyncio
import threading
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import aio, client, config, errors
from Pyro5.nameserver import NameServerDaemon
from Pyro5.serializers import serializers
from Pyro5.server import expose
from tests.support import PATIENCE_SECONDS, daemon_thread

ONE = "PYRO:one@host:1"


class Thing:
    @expose
    def name(self) -> str:
        return "thing"


class NameServerTests(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        daemon = NameServerDaemon("127.0.0.1", 0)
        self.addCleanup(daemon.close)
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        self.names = daemon.nameserver
        config.NS_HOST, config.NS_PORT = "127.0.0.1", daemon.sock.getsockname()[1]

    def run_async(self, test: Any) -> None:
        asyncio.run(asyncio.wait_for(test(), PATIENCE_SECONDS))

    def test_watch(self) -> None:
        async def test() -> None:
            self.names.register("lab.a", ONE, metadata=["tag"])
            async with await aio.locate_ns() as ns:
                found: List[Any] = []
                events = ns.watch("lab.")
                async for event in events:
                    found.append((event.kind, event.name))
                    if event.kind == "ready":
                        await ns.register("lab.b", ONE)
                    if event.kind == "added":
                        break
                await events.aclose()  # type: ignore[attr-defined]
                self.assertEqual([("current", "lab.a"), ("ready", None), ("added", "lab.b")], found)

        self.run_async(test)

    def test_registered(self) -> None:
        async def test() -> None:
            async with await aio.locate_ns() as ns:
                async with ns.registered("a", ONE, metadata={"tag"}) as lease:
                    self.assertEqual((ONE, ["tag"]), (str(lease.uri), self.names.details("a")["metadata"]))
                self.assertEqual(["Pyro.NameServer"], list(self.names.list()))
                data = serializers["json"].dumps(ns)
                self.assertIs(client.Proxy, type(serializers["json"].loads(data)))

        self.run_async(test)

    def test_a_name_server_of_another_release(self) -> None:
        asked: List[Any] = []

        class Old:
            @expose
            def register(self, *args: Any, **kwargs: Any) -> None:
                asked.append((args, kwargs))

        async def test() -> None:
            self.names.register("a", ONE)
            async with aio.Daemon("127.0.0.1", 0) as daemon:
                daemon.register(Old(), "Pyro.NameServer")
                host, port = daemon.locationStr.split(":")
                async with await aio.locate_ns(host, int(port)) as ns:
                    await ns.register("a", ONE, ttl=30, safe=True)
                    await ns.register("a", ONE)
                    with self.assertRaisesRegex(errors.NamingError, "has no revisions"):
                        await ns.register("a", ONE, if_revision=0)
                    with self.assertRaisesRegex(AttributeError, "has no method 'watch'"):
                        await ns.watch().__anext__()
            async with await aio.locate_ns() as ns:
                self.assertEqual(30, (await ns.register("b", ONE, ttl=30))["ttl"])

        self.run_async(test)
        self.assertEqual([(("a", ONE), {"safe": True}), (("a", ONE), {})], asked)

    def test_daemon(self) -> None:
        async def test() -> None:
            async with await aio.locate_ns() as ns:
                async with aio.Daemon("127.0.0.1", 0) as daemon:
                    lease = await daemon.register_with(ns, "thing", Thing())
                    async with aio.Proxy(await ns.lookup("thing")) as proxy:
                        self.assertEqual("thing", await proxy.name())
                    self.assertEqual(30, self.names.details("thing")["lease"]["ttl"])
                    self.names.register("taken", ONE, ttl=30)
                    with self.assertRaisesRegex(errors.NamingError, "taken is leased to PYRO:one"):
                        await daemon.register_with(ns, "taken", Thing())
                    self.assertFalse(lease.lost)
                self.assertEqual(["Pyro.NameServer", "taken"], sorted(self.names.list()))

        self.run_async(test)

    def test_cancelled_while_the_name_is_registered(self) -> None:
        asked, goes_on, released = threading.Event(), threading.Event(), threading.Event()
        register, release = self.names.register, self.names.release

        def register_slowly(*args: Any, **options: Any) -> Any:
            asked.set()
            goes_on.wait(PATIENCE_SECONDS)
            return register(*args, **options)

        def release_leases(leases: Any) -> None:
            release(leases)
            released.set()

        async def test() -> None:
            in_thread = asyncio.get_running_loop().run_in_executor
            async with aio.Daemon("127.0.0.1", 0) as daemon:
                task = asyncio.create_task(daemon.register_with(self.names, "thing", Thing()))
                self.assertTrue(await in_thread(None, asked.wait, PATIENCE_SECONDS))
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                goes_on.set()
                self.assertTrue(await in_thread(None, released.wait, PATIENCE_SECONDS))
                self.assertEqual(["Pyro.NameServer"], list(self.names.list()))
                self.assertEqual(["Pyro.Daemon"], list(daemon.objectsById))

        with mock.patch.multiple(self.names, register=register_slowly, release=release_leases):
            self.run_async(test)


if __name__ == "__main__":
    unittest.main()
