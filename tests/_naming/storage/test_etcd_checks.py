"""The checks of name servers on etcd: whether the watch has missed changes, without keeping etcd busy."""
from __future__ import annotations

import contextlib
import math
import threading
import time
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import config, errors
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage.etcd import follower
from Pyro5._naming.storage.etcd.client import Unreachable
from Pyro5._naming.storage.etcd.messages import EtcdError

from ...bench import etcd
from ...bench.names import registrations
from ...support import PATIENCE_SECONDS
from .etcd_server import WHY_NOT, Cluster


ONE = "PYRO:one@host:1"


@unittest.skipIf(bool(WHY_NOT), str(WHY_NOT))
class Checks(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = Cluster().start()
        cls.addClassCleanup(cls.cluster.stop)

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        # The checks of the background do not run: each test makes its own.
        patched = mock.patch.object(follower, "CHECK_SECONDS", 3600.0)
        patched.start()
        self.addCleanup(patched.stop)
        self.spec = self.cluster.spec(self.id().rpartition(".")[2])
        self.names = NameServer(self.spec)
        self.addCleanup(self.names.close)
        self.follower: Any = self.names._storage._follower  # type: ignore[attr-defined]
        self.requests: List[Any] = []
        post = self.follower._client.post
        self.after_reply: Any = lambda: None

        def noted(path: str, request: Any, *args: Any) -> Any:
            self.requests.append(request)
            reply = post(path, request, *args)
            self.after_reply()
            return reply

        client = mock.patch.object(self.follower._client, "post", noted)
        client.start()
        self.addCleanup(client.stop)

    def searches(self) -> int:
        return sum("sort_target" in request for request in self.requests)

    def another_program_changes_something(self) -> None:
        self.cluster.nodes[0].ask("/v3/kv/put", {"key": "b3RoZXI=", "value": ""})

    def test_names_that_the_benchmark_stores_are_read(self) -> None:
        etcd.fill(self.spec, 300)
        with contextlib.closing(NameServer(self.spec)) as names:
            self.assertEqual(300, names.count())
            self.assertEqual({name: (uri, set(tags)) for name, uri, tags in registrations(300)},
                             names.list(return_metadata=True))

    def test_errors_are_those_that_clients_know(self) -> None:
        leased = self.names.register("leased", ONE, ttl=30)
        for error in (Unreachable("away"), EtcdError("no space", 8)):
            with self.subTest(error), mock.patch.object(self.follower._client, "post_body", side_effect=error), \
                    mock.patch.object(self.follower._client, "post", side_effect=error):
                for call in (lambda: self.names.register("name", ONE), lambda: self.names.remove("leased"),
                             lambda: self.names.renew({str(leased and leased["lease"]): "leased"})):
                    with self.assertRaisesRegex(errors.NamingError, "away|no space") as caught:
                        call()
                    self.assertIs(errors.NamingError, type(caught.exception))

    def test_while_nothing_is_missing_one_key_is_read(self) -> None:
        self.names.register("name", ONE)
        self.requests.clear()
        self.follower._check()
        self.assertEqual((1, 0), (len(self.requests), self.searches()))

    def test_the_newest_key_is_searched_for_rarely(self) -> None:
        self.names.register("name", ONE)
        self.another_program_changes_something()
        self.follower._check()
        self.assertEqual(0, self.searches())  # the watch has just delivered something
        began = time.monotonic()
        self.follower._check()
        self.assertEqual(1, self.searches())
        self.assertGreater(self.follower._search_at, began)
        for search_at, searches in ((math.inf, 1), (0.0, 2)):
            self.follower._search_at = search_at
            self.follower._check()
            self.assertEqual(searches, self.searches())

    def test_changes_during_a_check_are_not_taken_for_those_of_an_older_cluster(self) -> None:
        def change() -> None:
            self.after_reply = lambda: None
            self.names.register("later", ONE)

        with mock.patch.object(self.follower, "load") as load, mock.patch.object(self.follower, "reconnect") as reconnect:
            self.after_reply = change
            self.follower._check()
            self.names.register("name", ONE)  # the watch goes on
            self.assertFalse(load.called or reconnect.called or self.follower._needs_load)

    def test_changes_that_were_not_delivered_are_noticed(self) -> None:
        self.names.register("name", ONE)
        ended = threading.Event()

        def fail(*args: Any) -> None:
            ended.set()
            raise OSError("not yet")

        with mock.patch.object(self.follower._client, "open_stream", fail):
            self.follower.reconnect()
            self.assertTrue(ended.wait(PATIENCE_SECONDS))
            other = NameServer(self.spec)
            self.addCleanup(other.close)
            other.register("missed", ONE)
            self.assertTrue(self.follower._has_missed_something())

    def test_a_new_watch_gets_more_time_than_the_one_before(self) -> None:
        self.names.register("name", ONE)
        following = self.follower
        with mock.patch.object(following, "_stream") as stream:
            following._opened_at = math.inf
            following.reconnect_if_old()
            self.assertEqual((0, follower.PATIENCE_SECONDS), (stream.shut_down.call_count, following._patience))
            following._opened_at = -math.inf
            following.reconnect_if_old()
            self.assertEqual((1, 2 * follower.PATIENCE_SECONDS), (stream.shut_down.call_count, following._patience))
            self.assertGreater(following._opened_at, 0)
        self.names.register("name", ONE)  # what is delivered ends that
        self.assertEqual(follower.PATIENCE_SECONDS, following._patience)


if __name__ == "__main__":
    unittest.main()
