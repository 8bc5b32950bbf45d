"""Lists of name servers in asyncio programs: name servers are killed, and calls go on with the others."""
from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any, Tuple
from unittest import mock

from Pyro5 import aio, client, config, errors
from Pyro5._aio import name_server
from Pyro5._client import ns_places
from tests.peers import free_port
from tests.support import PATIENCE_SECONDS, ToolProcess

from .base import AioTestCase

ONE = "PYRO:one@host:1"


class Failover(AioTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(ns_places._unreachable.clear)
        config.COMMTIMEOUT = PATIENCE_SECONDS
        config.BROADCAST_LOOKUP = False

    def start(self, *names: str) -> Tuple[ToolProcess, str]:
        """Start a name server with some names; return its process and location."""
        process = self.at_end.enter_context(ToolProcess("Pyro5.nameserver", "-n", "127.0.0.1", "-p", 0, "-x"))
        location = process.read_until("URI = ")[-1].rpartition("@")[2]
        with client.locate_ns(location) as ns:
            for name in names:
                ns.register(name, ONE, metadata={"tag"})
        return process, location

    async def test_the_one_in_use_is_killed_between_two_lookups(self) -> None:
        (one, first), (_, second) = self.start("a"), self.start("a")
        for where in ("argument", "setting"):
            with self.subTest(where):
                hosts = "127.0.0.1:%d,%s,%s" % (free_port(), first, second)
                config.NS_HOST = hosts if where == "setting" else "localhost"
                async with await aio.locate_ns("" if where == "setting" else hosts) as ns:
                    self.assertEqual(ONE, str(await ns.lookup("a")))
                    self.assertEqual(first, ns._pyroUri.location)
                    one.stop(signal.SIGKILL)
                    self.assertEqual([ONE] * 3, list(map(str, await asyncio.gather(*[ns.lookup("a") for _ in range(3)]))))
                    self.assertEqual(second, ns._pyroUri.location)
                    self.assertEqual(1, (await ns.register("b", ONE, ttl=1)).get("ttl"))
                one, first = self.start("a")
                ns_places._unreachable.clear()

    async def test_the_connection_is_lost_during_a_call(self) -> None:
        (one, first), (_, second) = self.start(), self.start("a")
        async with await aio.locate_ns("%s,%s" % (first, second)) as ns:
            await ns.ping()
            one.process.send_signal(signal.SIGSTOP)  # so that the request is certainly sent
            calls = [asyncio.ensure_future(call) for call in (ns.lookup("a"), ns.register("b", ONE))]
            await asyncio.sleep(0)
            one.process.send_signal(signal.SIGKILL)
            self.assertEqual(ONE, str(await calls[0]))
            # It may have been made, so it is not repeated.
            with self.assertRaises(errors.ConnectionClosedError):
                await calls[1]
            await ns.register("b", ONE)
            self.assertEqual(["Pyro.NameServer", "a", "b"], sorted(await ns.list()))

    async def test_all_of_them_are_away_and_one_comes_back(self) -> None:
        port = free_port()
        one, first = self.start()
        async with await aio.locate_ns("%s,127.0.0.1:%d" % (first, port)) as ns:
            await ns.ping()
            one.stop(signal.SIGKILL)
            for _ in range(2):
                with self.assertRaisesRegex(errors.CommunicationError, first):
                    await ns.ping()
            again = ToolProcess("Pyro5.nameserver", "-n", "127.0.0.1", "-p", port, "-x")
            self.at_end.enter_context(again).read_until("URI = ")
            # Although it could not be reached a moment ago.
            await ns.ping()
            self.assertEqual("127.0.0.1:%d" % port, ns._pyroUri.location)

    async def test_one_that_does_not_answer_is_given_up(self) -> None:
        (one, first), (_, second) = self.start(), self.start("a")
        with socket.socket() as silent, mock.patch.object(name_server, "FAILOVER_SECONDS", 0.05):
            silent.bind(("127.0.0.1", 0))
            silent.listen(5)  # the system accepts connections, which get no answer
            hosts = "%s,127.0.0.1:%d,%s" % (first, silent.getsockname()[1], second)
            async with await aio.locate_ns(hosts) as ns:
                one.stop(signal.SIGKILL)
                self.assertEqual(ONE, str(await ns.lookup("a")))

    async def test_names_are_looked_up_in_all_of_them(self) -> None:
        (_, first), (two, second) = self.start("a", "b"), self.start("b", "c")
        hosts = "%s,%s,127.0.0.1:%d" % (first, second, free_port())
        uris = ["PYRONAME:%s@%s" % (name, hosts) for name in "abc"]
        self.assertEqual([ONE] * 3, list(map(str, await aio.resolve(uris))))
        self.assertEqual(ONE, str(await aio.resolve(uris[2])))
        config.NS_HOST = hosts
        self.assertEqual([ONE] * 3, list(map(str, await aio.resolve(["PYRONAME:a", "PYRONAME:c", "PYROMETA:tag"]))))
        two.stop(signal.SIGKILL)
        with self.assertRaisesRegex(errors.NamingError, "unknown name: c"):
            await aio.resolve(uris)

    async def test_watches_and_leases(self) -> None:
        (one, first), (_, second) = self.start(), self.start("a")
        async with await aio.locate_ns("%s,%s" % (first, second)) as ns:
            one.stop(signal.SIGKILL)
            events: Any = ns.watch()
            self.assertEqual({"Pyro.NameServer", "a"}, {(await events.__anext__()).name for _ in range(2)})
            await events.aclose()
            async with ns.registered("b", ONE):
                self.assertEqual(ONE, str(await ns.lookup("b")))
            with self.assertRaises(errors.NamingError):
                await ns.lookup("b")
