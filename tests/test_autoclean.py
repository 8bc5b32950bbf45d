"""Removal of dead registrations: rounds with an injected clock and connect, and real sockets for the connect."""
from __future__ import annotations

import os
import socket
import tempfile
import threading
import unittest
from typing import Dict, List, Set

from Pyro5.autoclean import AutoCleaner, checked_period, try_connect
from Pyro5.uri import URI

PATIENCE_SECONDS = 10.0


class Network:
    """Stands in for the registrations, the network and the clock."""

    def __init__(self, **registrations: str) -> None:
        self.registrations: Dict[str, str] = registrations
        self.dead: Set[str] = set()
        self.tried: List[str] = []
        self.now = 1000.0
        self.cleaner = AutoCleaner(self.registrations.copy, self.remove, 3.0, self.connect, lambda: self.now)

    def connect(self, uri: URI) -> None:
        self.tried.append(str(uri.location))
        if uri.location in self.dead:
            raise ConnectionRefusedError(111, "nobody there")

    def remove(self, name: str, uri_text: str) -> bool:
        if self.registrations.get(name) != uri_text:
            return False
        del self.registrations[name]
        return True

    def clean_after(self, seconds: float) -> None:
        self.now += seconds
        self.cleaner.clean()


class RoundTests(unittest.TestCase):
    def test_dead_ones_go_after_twenty_seconds(self) -> None:
        network = Network(dead="PYRO:x@host:1", alive="PYRO:y@host:2")
        network.dead = {"host:1"}
        network.clean_after(0)
        network.clean_after(19.9)
        self.assertIn("dead", network.registrations)
        with self.assertLogs("Pyro5.autoclean", "WARNING") as logged:
            network.clean_after(0.1)
        self.assertEqual(network.registrations, {"alive": "PYRO:y@host:2"})
        self.assertEqual(len(logged.output), 1)
        for text in ("dead", "PYRO:x@host:1", "20 seconds", "nobody there"):
            self.assertIn(text, logged.output[0])

    def test_one_that_comes_back_starts_afresh(self) -> None:
        network = Network(name="PYRO:x@host:1")
        network.dead = {"host:1"}
        network.clean_after(0)
        network.dead = set()
        network.clean_after(10)
        network.dead = {"host:1"}
        network.clean_after(15)
        network.clean_after(19)
        self.assertIn("name", network.registrations)

    def test_one_that_was_registered_anew_starts_afresh(self) -> None:
        network = Network(name="PYRO:x@host:1")
        network.dead = {"host:1", "host:2"}
        network.clean_after(0)
        network.registrations["name"] = "PYRO:x@host:2"
        network.clean_after(19)
        network.clean_after(19)
        self.assertIn("name", network.registrations)
        with self.assertLogs("Pyro5.autoclean", "WARNING"):
            network.clean_after(1)
        self.assertEqual(network.registrations, {})

    def test_each_server_is_tried_once_for_all_its_names(self) -> None:
        network = Network(a="PYRO:a@host:1", b="PYRO:b@host:1", c="PYRO:c@./u:/tmp/c")
        network.clean_after(0)
        self.assertEqual(sorted(network.tried), ["./u:/tmp/c", "host:1"])

    def test_what_is_not_checked(self) -> None:
        network = Network(alias="PYRONAME:other", tagged="PYROMETA:tag", broken="no uri at all")
        network.registrations["Pyro.NameServer"] = "PYRO:Pyro.NameServer@host:1"
        network.registrations["Pyro.Daemon"] = "PYRO:Pyro.Daemon@host:1"
        network.clean_after(0)
        self.assertEqual(network.tried, [])

    def test_registered_anew_during_the_round(self) -> None:
        network = Network(name="PYRO:x@host:1")
        network.dead = {"host:1"}
        network.clean_after(0)
        network.now += 30

        def connect_late(uri: URI) -> None:
            network.registrations["name"] = "PYRO:x@host:2"
            raise OSError("too late")

        network.cleaner = AutoCleaner(network.registrations.copy, network.remove, 3.0, connect_late, lambda: network.now)
        network.clean_after(0)
        network.now += 30
        network.cleaner.clean()
        self.assertEqual(network.registrations, {"name": "PYRO:x@host:2"})


class ThreadTests(unittest.TestCase):
    def run_rounds(self, fail_first: bool) -> None:
        rounds = threading.Semaphore(0)
        outcomes = [OSError("storage failed")] if fail_first else []

        def registrations() -> Dict[str, str]:
            rounds.release()
            if outcomes:
                raise outcomes.pop()
            return {}

        cleaner = AutoCleaner(registrations, lambda name, uri: True, 0.001)
        cleaner.start()
        try:
            for _ in range(3):
                self.assertTrue(rounds.acquire(timeout=PATIENCE_SECONDS))
        finally:
            cleaner.stop()
        cleaner.stop()
        self.assertNotIn("Pyro5 name server autoclean", [thread.name for thread in threading.enumerate()])

    def test_runs_until_stopped(self) -> None:
        self.run_rounds(fail_first=False)

    def test_a_failing_round_is_not_the_last(self) -> None:
        with self.assertLogs("Pyro5.autoclean", "ERROR"):
            self.run_rounds(fail_first=True)

    def test_stops_at_once_however_long_the_period(self) -> None:
        cleaner = AutoCleaner(dict, lambda name, uri: True, 100000.0)
        cleaner.start()
        cleaner.stop()


class PeriodTests(unittest.TestCase):
    def test_minimum(self) -> None:
        self.assertEqual([checked_period(seconds) for seconds in (0.0, 3.0, 60.0)], [0.0, 3.0, 60.0])
        for seconds in (1.0, 2.9, -5.0):
            with self.assertRaisesRegex(ValueError, "^NS_AUTOCLEAN cannot be smaller than 3$"):
                checked_period(seconds)


class ConnectTests(unittest.TestCase):
    def test_tcp(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            uri = URI("PYRO:x@127.0.0.1:%d" % listener.getsockname()[1])
            try_connect(uri)
        with self.assertRaises(OSError):
            try_connect(uri)

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
    def test_unix(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "s")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen(1)
                try_connect(URI("PYRO:x@./u:" + path))
            with self.assertRaises(OSError):
                try_connect(URI("PYRO:x@./u:" + path))

    def test_host_that_does_not_exist(self) -> None:
        # not even valid as a host name, so no name service is asked
        with self.assertRaises(OSError):
            try_connect(URI("PYRO:x@no..such..host:1"))


if __name__ == "__main__":
    unittest.main()
