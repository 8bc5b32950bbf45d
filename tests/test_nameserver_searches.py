"""Searches with regular expressions in a name server that has other clients too."""
from __future__ import annotations

import subprocess
import threading
import unittest
from typing import Any, List, Tuple
from unittest import mock

from Pyro5 import config, errors, nameserver
from Pyro5._naming import regex_sandbox
from Pyro5._values.uri import URI
from Pyro5.client import Proxy
from tests.support import PATIENCE_SECONDS, daemon_thread
from tests.test_nameserver import ONE, NameServerTestCase


class SearchTests(NameServerTestCase):
    """Regular expressions of clients. The hostile one would take years."""

    HOSTILE = "(a|a)*b"

    def serve(self, servertype: str) -> Tuple[Any, Any]:
        """Run a name server; give its daemon and its uri."""
        config.SERVERTYPE = servertype
        uri, daemon, _ = self.start()
        daemon.nameserver.register("a" * 100, ONE)
        daemon.nameserver.register("test", ONE)
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        return daemon, uri

    def attack(self, uri: URI, outcomes: List[Any], done: threading.Event) -> threading.Thread:
        """Start a thread that tries to keep the name server busy."""
        def run() -> None:
            with Proxy(uri) as ns:
                try:
                    outcomes.append(ns.remove(regex=self.HOSTILE))
                except errors.PyroError as x:
                    outcomes.append(str(x))
            done.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    @mock.patch.object(nameserver, "_search_limits", lambda: regex_sandbox.Limits(match_seconds=0.6))
    def test_lookups_are_answered_while_a_hostile_search_runs(self) -> None:
        daemon, uri = self.serve("thread")
        searching, done = threading.Event(), threading.Event()
        outcomes: List[Any] = []
        real = regex_sandbox._Process.matching

        def tell(*args: Any) -> Any:
            searching.set()
            return real(*args)

        ns = self.proxy(uri)
        with mock.patch.object(regex_sandbox._Process, "matching", tell):
            attacker = self.attack(uri, outcomes, done)
            try:
                self.assertTrue(searching.wait(PATIENCE_SECONDS))
                for _ in range(10):
                    self.assertEqual(ns.lookup("test"), URI(ONE))
                ns.register("another", ONE)
                self.assertEqual(ns.list(regex="t.*"), {"test": ONE})
                self.assertEqual(outcomes, [])  # it has not been stopped yet
                while not done.is_set():
                    ns.lookup("test")
            finally:
                attacker.join(PATIENCE_SECONDS)
        self.assertRegex(outcomes.pop(), "^the regex takes too long on the [34] names here")
        self.assertEqual(ns.count(), 4)

    # the machine may be busy with other things: more time than usual, and a rest that is certainly not over yet
    @mock.patch.object(nameserver, "ONE_AT_A_TIME", regex_sandbox.ONE_AT_A_TIME._replace(
        wait_seconds=PATIENCE_SECONDS, match_seconds=0.5, rest_seconds=1000.0))
    def test_a_server_of_one_thread_is_held_up_shortly_only(self) -> None:
        daemon, uri = self.serve("multiplex")
        ns = self.proxy(uri)
        self.assertEqual(ns.list(regex="(te)"), {"test": ONE})
        with self.assertRaisesRegex(errors.NamingError, "takes too long"):
            ns.list(regex=self.HOSTILE)
        for regex in (self.HOSTILE, "(te)"):
            with self.assertRaisesRegex(errors.NamingError, "^too many searches"):
                ns.remove(regex=regex)
        self.assertEqual(ns.list(regex="t.*"), {"test": ONE})

    def test_limits(self) -> None:
        for servertype, size, expected in (("thread", 80, 40), ("thread", 3, 1), ("thread", 1, 1), ("multiplex", 80, 1)):
            config.SERVERTYPE, config.THREADPOOL_SIZE = servertype, size
            self.assertEqual(nameserver._search_limits().at_once, expected)
            self.assertEqual(nameserver._search_limits().rest_seconds > 0, servertype == "multiplex" or size == 1)

    def test_nothing_is_left_of_a_search(self) -> None:
        started: List[Any] = []
        popen = subprocess.Popen

        def start(*args: Any, **kwargs: Any) -> Any:
            started.append(popen(*args, **kwargs))
            return started[-1]

        with mock.patch.object(subprocess, "Popen", start):
            daemon, uri = self.serve("thread")
            done = threading.Event()
            attacker = self.attack(uri, [], done)
            self.proxy(uri).list(regex="(te)")
            daemon.close()
            attacker.join(PATIENCE_SECONDS)
        self.assertTrue(started)
        for process in started:
            self.assertIsNotNone(process.returncode)
            self.assertTrue(process.stdin.closed and process.stdout.closed)


if __name__ == "__main__":
    unittest.main()
