"""Lists of name servers, and several servers behind one name: those that cannot be reached are skipped."""
from __future__ import annotations

import asyncio
import socket
import unittest
from typing import Any, List, Tuple
from unittest import mock

from Pyro5 import aio, config, errors
from Pyro5._client import name_server, ns_places
from Pyro5._client.discovery import resolve_all
from Pyro5._net import addresses
from Pyro5._objects.exposure import expose
from Pyro5._values.uri import URI
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy, locate_ns
from Pyro5.core import resolve
from Pyro5.nameserver import NameServerDaemon
from Pyro5.server import Daemon
from tests.support import PATIENCE_SECONDS, daemon_thread


class Texts(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.NS_PORT = 9090

    def test_places(self) -> None:
        for text, places in (("ns1", [("ns1", None)]), ("ns1,ns2:9091", [("ns1", None), ("ns2", 9091)]),
                             ("::1", [("::1", None)]),
                             ("ns1:1, [::1]:2,[::2],::3", [("ns1", 1), ("::1", 2), ("::2", None), ("::3", None)]),
                             ("ns1,./u:a", [("ns1", None), ("./u:a", None)]), ("./u:a,b", [("./u:a,b", None)]),
                             ("ns1:9091", [("ns1", 9091)]), ("ns1,", [("ns1", None)])):
            with self.subTest(text):
                self.assertEqual(places, addresses.name_server_places(text))
        self.assertEqual([("ns1", 7), ("ns2", 8)], addresses.name_server_places("ns1,ns2:8", 7))
        for text in ("ns1:x", "ns1:123456", "[::1]:", "ns1,ns2:\u0661"):
            with self.subTest(text), self.assertRaisesRegex(ValueError, "is not hostname:port"):
                addresses.name_server_places(text)

    def test_uris(self) -> None:
        for text, full in (("PYRONAME:a@ns1,ns2", "PYRONAME:a@ns1,ns2:9090"),
                           ("PYRONAME:a@ns1:1,ns2:2", "PYRONAME:a@ns1:1,ns2:2"),
                           ("PYROMETA:a,b@ns1,[::1]:2", "PYROMETA:a,b@ns1,[::1]:2"),
                           ("PYRONAME:a@[::1],ns2", "PYRONAME:a@[::1],ns2:9090")):
            with self.subTest(text):
                uri = URI(text)
                self.assertEqual(full, str(uri))
                self.assertEqual(uri, URI(full))
        self.assertEqual(("ns1:1,ns2:2", None), ns_places.place_of(URI("PYRONAME:a@ns1:1,ns2:2")))
        for text in ("PYRO:a@ns1:1,ns2:2", "PYRONAME:a@ns1,", "PYRONAME:a@,ns1", "PYRONAME:a@ns1:x,ns2", "PYRONAME:a@n s,ns2"):
            with self.subTest(text), self.assertRaisesRegex(errors.PyroError, "invalid uri"):
                URI(text)


@expose
class Worker:
    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name


class FailoverTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        self.addCleanup(ns_places._unreachable.clear)
        config.COMMTIMEOUT = PATIENCE_SECONDS
        config.BROADCAST_LOOKUP = False

    def run_daemon(self, daemon: Any) -> Any:
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        self.addCleanup(daemon.close)
        return daemon

    def name_server(self) -> Tuple[Any, str]:
        daemon = self.run_daemon(NameServerDaemon("127.0.0.1", 0))
        return daemon.nameserver, daemon.locationStr

    def closed_port(self) -> str:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return "127.0.0.1:%d" % sock.getsockname()[1]


class NameServers(FailoverTestCase):
    def test_the_first_one_that_answers_is_used(self) -> None:
        names, location = self.name_server()
        names.register("a", "PYRO:one@host:1", metadata=["tag"])
        hosts = "%s,%s" % (self.closed_port(), location)
        with locate_ns(hosts) as ns:
            self.assertEqual(location, ns._pyroUri.location)
        self.assertEqual("PYRO:one@host:1", str(resolve("PYRONAME:a@" + hosts)))
        self.assertEqual("PYRO:one@host:1", str(resolve("PYROMETA:tag@" + hosts)))
        config.NS_HOST = hosts
        self.assertEqual("PYRO:one@host:1", str(resolve("PYRONAME:a")))

        async def with_asyncio() -> Any:
            async with await aio.locate_ns() as ns:
                return ns._pyroUri.location, await aio.resolve("PYRONAME:a@" + hosts)

        self.assertEqual((location, URI("PYRO:one@host:1")), asyncio.run(with_asyncio()))

    def test_one_that_cannot_be_reached_is_tried_last_for_some_seconds(self) -> None:
        _, location = self.name_server()
        closed = self.closed_port()
        hosts = "%s,%s" % (closed, location)
        self.assertEqual([closed, location], [uri.location for uri in ns_places.nameserver_uris(hosts, None)])
        locate_ns(hosts)._pyroRelease()
        self.assertEqual([location, closed], [uri.location for uri in ns_places.nameserver_uris(hosts, None)])

    def test_none_of_them(self) -> None:
        hosts = "%s,%s" % (self.closed_port(), self.closed_port())
        with self.assertRaises(errors.NamingError) as caught:
            locate_ns(hosts)
        for location in hosts.split(","):
            self.assertIn("Pyro.NameServer@" + location, str(caught.exception))
        with self.assertRaisesRegex(ValueError, "'ns1:x' is not hostname:port"):
            locate_ns("ns1:x,ns2")

    def test_the_others_are_asked_for_names_that_the_first_one_does_not_know(self) -> None:
        (_, first), (names, second) = self.name_server(), self.name_server()
        names.register("a", "PYRO:one@host:1", metadata=["tag"])
        hosts = "%s,%s,%s" % (first, self.closed_port(), second)
        self.assertEqual("PYRO:one@host:1", str(resolve("PYRONAME:a@" + hosts)))
        config.NS_HOST = hosts
        self.assertEqual("PYRO:one@host:1", str(resolve("PYROMETA:tag")))
        self.assertEqual([URI("PYRO:one@host:1")], resolve_all(URI("PYRONAME:a"), None))
        with self.assertRaisesRegex(errors.NamingError, "unknown name: b"):
            resolve("PYRONAME:b")

    def test_a_proxy_for_a_name_server_connects_to_another_one(self) -> None:
        first = NameServerDaemon("127.0.0.1", 0)
        _, second = self.name_server()
        with daemon_thread(first), locate_ns("%s,%s" % (first.locationStr, second)) as ns:
            ns.ping()
            first.close()
            with self.assertRaises(errors.ConnectionClosedError):
                ns.register("a", "PYRO:one@host:1")
            ns.register("a", "PYRO:one@host:1")
            self.assertEqual(second, ns._pyroUri.location)

    def test_what_only_reads_is_repeated_at_another_one(self) -> None:
        first = NameServerDaemon("127.0.0.1", 0)
        names, second = self.name_server()
        names.register("a", "PYRO:one@host:1")
        with daemon_thread(first), locate_ns("%s,%s" % (first.locationStr, second)) as ns:
            ns.ping()
            first.close()
            self.assertEqual("PYRO:one@host:1", str(ns.lookup("a")))
            with self.assertRaisesRegex(errors.NamingError, "unknown name"):
                ns.lookup("b")

    def test_one_that_does_not_answer_is_given_up(self) -> None:
        first = NameServerDaemon("127.0.0.1", 0)
        _, second = self.name_server()
        with socket.socket() as silent, mock.patch.object(name_server, "FAILOVER_SECONDS", 0.05):
            silent.bind(("127.0.0.1", 0))
            silent.listen(5)  # the system accepts connections, which get no answer
            hosts = "%s,127.0.0.1:%d,%s" % (first.locationStr, silent.getsockname()[1], second)
            with daemon_thread(first), locate_ns(hosts) as ns:
                first.close()
                ns.ping()
                self.assertEqual((second, PATIENCE_SECONDS), (ns._pyroUri.location, ns._pyroTimeout))

    def test_one_that_dies_during_a_lookup(self) -> None:
        # The first one of the list ends each connection after the handshake.
        first, (names, second) = self.dying_name_server(), self.name_server()
        names.register("a", "PYRO:one@host:1")
        hosts = "%s,%s" % (first, second)
        self.assertEqual("PYRO:one@host:1", str(resolve("PYRONAME:a@" + hosts)))
        with self.assertRaises(errors.ConnectionClosedError):
            resolve("PYRONAME:a@" + first)

    def dying_name_server(self) -> str:
        @expose
        class Dying:
            def lookup(self, name: str) -> None:
                current_context.client.close()

        daemon = self.run_daemon(Daemon("127.0.0.1", 0))
        daemon.register(Dying(), "Pyro.NameServer")
        return str(daemon.locationStr)

    def test_a_proxy_finds_its_object_by_another_name_server(self) -> None:
        daemon = self.run_daemon(Daemon("127.0.0.1", 0))
        uri = daemon.register(Worker("w"))
        first, second = NameServerDaemon("127.0.0.1", 0), NameServerDaemon("127.0.0.1", 0)
        for each in (first, second):
            each.nameserver.register("w", uri)
            self.addCleanup(each.close)
        with daemon_thread(first), daemon_thread(second), \
                Proxy("PYRONAME:w@%s,%s" % (first.locationStr, second.locationStr)) as proxy:
            self.assertEqual("w", proxy.name())
            proxy._pyroRelease()
            first.close()
            self.assertEqual("w", proxy.name())


class Members(FailoverTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.names, location = self.name_server()
        config.NS_HOST = location

    def add(self, name: str) -> Daemon:
        daemon: Daemon = self.run_daemon(Daemon("127.0.0.1", 0))
        self.names.register("worker", daemon.register(Worker(name)), member=True)
        return daemon

    def test_dead_members_are_skipped(self) -> None:
        daemons = [self.add(name) for name in "abc"]
        found = set()
        for _ in range(100):
            with Proxy("PYRONAME:worker") as proxy:
                found.add(proxy.name())
            if len(found) == 3:
                break
        self.assertEqual({"a", "b", "c"}, found)
        daemons[0].close()
        daemons[2].close()

        async def with_asyncio() -> str:
            async with aio.Proxy("PYRONAME:worker", pick="least") as proxy:
                return str(await proxy.name())

        for _ in range(5):
            with Proxy("PYRONAME:worker") as proxy:
                self.assertEqual("b", proxy.name())
            self.assertEqual("b", asyncio.run(with_asyncio()))

    def test_least_spreads_proxies_evenly(self) -> None:
        for name in "ab":
            self.add(name)
        found = []
        for _ in range(6):
            with Proxy("PYRONAME:worker", pick="least") as proxy:
                found.append(proxy.name())
        self.assertEqual(["a", "a", "a", "b", "b", "b"], sorted(found))
        for proxy_class in (Proxy, aio.Proxy):  # type: Any
            with self.assertRaisesRegex(ValueError, "pick must be one of random, least, not 'best'"):
                proxy_class("PYRONAME:worker", pick="best")

    def test_a_name_server_of_another_release_is_asked_as_before(self) -> None:
        asked: List[Any] = []

        @expose
        class Old:
            def lookup(self, *args: Any) -> URI:
                asked.append(args)
                return URI("PYRO:one@host:1")

        old = self.run_daemon(Daemon("127.0.0.1", 0))
        old.register(Old(), "Pyro.NameServer")
        found = resolve_all(URI("PYRONAME:a@" + old.locationStr), None, "least")
        self.assertEqual(([URI("PYRO:one@host:1")], [("a",)]), (found, asked))

    def test_answers_are_checked(self) -> None:
        for answer in ([], "PYRO:one@host:1", [3], {"a": 1}):  # type: Any
            @expose
            class Bad:
                def candidates(self, name: str, answer: Any = answer) -> Any:
                    return answer

            bad = self.run_daemon(Daemon("127.0.0.1", 0))
            bad.register(Bad(), "Pyro.NameServer")
            with self.subTest(answer), self.assertRaisesRegex(errors.ProtocolError, "is not a list of URIs"):
                resolve_all(URI("PYRONAME:a@" + bad.locationStr), None)


if __name__ == "__main__":
    unittest.main()
