"""Several objects with the same tags: those that cannot be reached are passed over."""
from __future__ import annotations

import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import errors
from Pyro5._client import discovery, ns_places
from Pyro5._client.candidates import connect_to_any
from Pyro5._values.uri import URI
from Pyro5.api import Daemon, Proxy, expose

from ..peers import ScriptedServer, free_port, name_server, settings
from ..rawclient import ServerTestCase

URIS = [URI("PYRO:obj@127.0.0.1:%d" % port) for port in (1, 2, 3)]


class Candidates(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(ns_places._unreachable.clear)
        patch = mock.patch.object(discovery, "resolve_all", lambda uri, seconds, pick: list(URIS))
        patch.start()
        self.addCleanup(patch.stop)
        self.tried: List[Any] = []
        self.dead = {1, 2}

    def connect(self, uri: URI) -> int:
        self.tried.append(uri.port)
        if uri.port in self.dead:
            raise errors.not_sent(errors.CommunicationError("cannot connect to %s" % uri))
        return int(uri.port or 0)

    def test_the_next_one_is_tried(self) -> None:
        self.assertEqual([3] * 20, [connect_to_any(URI("PYROMETA:a"), self.connect, None) for _ in range(20)])

    def test_dead_ones_are_remembered(self) -> None:
        while len(set(self.tried)) < 3:
            ns_places._unreachable.clear()
            connect_to_any(URI("PYROMETA:a"), self.connect, None)
        ns_places._unreachable.update({str(uri.location): float("inf") for uri in URIS[:2]})
        self.tried.clear()
        for _ in range(20):
            connect_to_any(URI("PYROMETA:a"), self.connect, None)
        self.assertEqual({3}, set(self.tried))

    def test_none_can_be_reached(self) -> None:
        self.dead.add(3)
        with self.assertRaisesRegex(errors.CommunicationError, "none of 3 objects can be reached"):
            connect_to_any(URI("PYROMETA:a"), self.connect, None)
        self.assertEqual({1, 2, 3}, set(self.tried))

    def test_other_errors_are_final(self) -> None:
        def refuse(uri: URI) -> None:
            self.tried.append(uri)
            raise errors.CommunicationError("refused")

        with self.assertRaisesRegex(errors.CommunicationError, "^refused"):
            connect_to_any(URI("PYROMETA:a"), refuse, None)
        self.assertEqual(1, len(self.tried))

    def test_what_is_remembered_is_bounded(self) -> None:
        ns_places._unreachable.update({str(number): 0.0 for number in range(ns_places.MAX_UNREACHABLE)})
        connect_to_any(URI("PYROMETA:a"), self.connect, None)
        self.assertLess(len(ns_places._unreachable), ns_places.MAX_UNREACHABLE + 1)


class Workers(ServerTestCase):
    def test_one_of_two_workers_is_killed(self) -> None:
        @expose
        class Worker:
            def work(self) -> str:
                return "done"

        server = self.daemon(Daemon)
        uri = server.register(Worker(), "worker")
        self.run_loop(server)
        found = {"one": str(uri), "two": "PYRO:worker@127.0.0.1:%d" % free_port()}
        self.addCleanup(ns_places._unreachable.clear)
        with ScriptedServer(*[name_server({}, {"w": found})] * 20) as names, settings(
                NS_HOST="127.0.0.1", NS_PORT=int(names.location.rpartition(":")[2])):
            for _ in range(20):
                with Proxy("PYROMETA:w") as proxy:
                    self.assertEqual("done", proxy.work())
