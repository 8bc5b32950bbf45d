"""Removal of dead registrations: rounds with an injected clock and injected answers of the servers, and one with real ones."""
from __future__ import annotations

import os
import re
import socket
import tempfile
import threading
import unittest
from typing import Any, Dict, Iterator, List, Set, Tuple

from Pyro5._naming.autoclean import AutoCleaner, checked_period
from Pyro5._naming.liveness import Answer, Question
from Pyro5._objects import exposure
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon
from tests.support import daemon_thread

PATIENCE_SECONDS = 60.0
NOTHING: Any = frozenset()


class Network:
    """Stands in for the registrations, the network and the clock."""

    def __init__(self, **registrations: str) -> None:
        self.registrations: Dict[str, str] = registrations
        self.dead: Set[str] = set()         # locations
        self.unknown: Set[str] = set()      # object ids
        self.asked: List[str] = []
        self.now = 1000.0
        self.cleaner = AutoCleaner(self.registrations.copy, self.remove, 3.0, self, lambda: self.now)

    def ask(self, questions: Any) -> Iterator[Tuple[Question, Answer]]:
        for question in questions:
            location = str(question.uri.location)
            self.asked.append(location)
            if location in self.dead:
                yield question, Answer("no server there", NOTHING)
            else:
                yield question, Answer(None, question.object_ids & self.unknown)

    def remove(self, name: str, uri_text: str) -> bool:
        if self.registrations.get(name) != uri_text:
            return False
        del self.registrations[name]
        return True

    def clean_after(self, seconds: float) -> None:
        self.now += seconds
        self.cleaner.clean()


class RoundTests(unittest.TestCase):
    def check_removed(self, network: Network, name: str, uri: str, why: str) -> None:
        """Expect that a name is there for 20 seconds after it was first found missing, and then goes."""
        with self.assertLogs("Pyro5.autoclean", "INFO") as logged:
            network.clean_after(0)
            network.clean_after(19.9)
        self.assertIn(name, network.registrations)
        self.assertEqual(len(logged.output), 1)
        with self.assertLogs("Pyro5.autoclean", "WARNING") as logged:
            network.clean_after(0.1)
        self.assertNotIn(name, network.registrations)
        self.assertEqual(len(logged.output), 1)
        for text in (name, uri, "20 seconds", why):
            self.assertIn(text, logged.output[0])

    def test_unreachable_ones_go_after_twenty_seconds(self) -> None:
        network = Network(dead="PYRO:x@host:1", alive="PYRO:y@host:2")
        network.dead = {"host:1"}
        self.check_removed(network, "dead", "PYRO:x@host:1", "not reachable (no server there)")
        self.assertEqual(network.registrations, {"alive": "PYRO:y@host:2"})

    def test_objects_that_are_gone_go_after_twenty_seconds(self) -> None:
        network = Network(dead="PYRO:x@host:1", alive="PYRO:y@host:1")
        network.unknown = {"x"}
        self.check_removed(network, "dead", "PYRO:x@host:1", "no such object")
        self.assertEqual(network.registrations, {"alive": "PYRO:y@host:1"})

    def test_gone_for_one_reason_then_for_the_other(self) -> None:
        network = Network(name="PYRO:x@host:1")
        network.unknown = {"x"}
        network.clean_after(0)
        network.dead = {"host:1"}
        network.clean_after(10)
        with self.assertLogs("Pyro5.autoclean", "WARNING"):
            network.clean_after(10)
        self.assertEqual(network.registrations, {})

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

    def test_each_server_is_asked_once_for_all_its_names(self) -> None:
        network = Network(a="PYRO:a@host:1", b="PYRO:b@host:1", again="PYRO:a@host:1", c="PYRO:c@./u:/tmp/c")
        network.unknown = {"a"}
        network.clean_after(0)
        self.assertEqual(network.asked, ["host:1", "./u:/tmp/c"])
        with self.assertLogs("Pyro5.autoclean", "WARNING") as logged:
            network.clean_after(20)
        self.assertEqual(len(logged.output), 2)
        self.assertEqual(sorted(network.registrations), ["b", "c"])

    def test_what_is_not_checked(self) -> None:
        network = Network(alias="PYRONAME:other", tagged="PYROMETA:tag", broken="no uri at all")
        network.registrations["Pyro.NameServer"] = "PYRO:Pyro.NameServer@host:1"
        network.registrations["Pyro.Daemon"] = "PYRO:Pyro.Daemon@host:1"
        network.clean_after(0)
        self.assertEqual(network.asked, [])

    def test_registered_anew_during_the_round(self) -> None:
        network = Network(name="PYRO:x@host:1")
        network.dead = {"host:1"}
        network.clean_after(0)
        network.cleaner._registrations = lambda: {"name": "PYRO:x@host:1"}  # the snapshot is older
        network.registrations["name"] = "PYRO:x@host:2"
        network.clean_after(30)
        self.assertEqual(network.registrations, {"name": "PYRO:x@host:2"})

    def test_stopped_while_it_removes(self) -> None:
        network = Network(**{"name%d" % number: "PYRO:x@host:1" for number in range(10)})
        network.dead = {"host:1"}
        network.clean_after(0)
        network.stop = network.close = lambda: None  # type: ignore[attr-defined]
        network.cleaner._remove = lambda name, uri: network.cleaner.stop() or network.remove(name, uri)
        with self.assertLogs("Pyro5.autoclean", "WARNING"):
            network.clean_after(20)
        self.assertEqual(len(network.registrations), 9)

    def test_thousands_of_names(self) -> None:
        network = Network(**{"name%d" % number: "PYRO:obj%d@host:%d" % (number, number % 100 + 1) for number in range(5000)})
        network.dead = {"host:%d" % port for port in range(1, 51)}
        network.clean_after(0)
        self.assertEqual(len(network.asked), 100)
        with self.assertLogs("Pyro5.autoclean", "WARNING") as logged:
            network.clean_after(20)
        self.assertEqual((len(logged.output), len(network.registrations)), (2500, 2500))


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

    def test_stops_in_the_middle_of_a_round(self) -> None:
        """A server that says nothing is not waited for."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            silent.settimeout(PATIENCE_SECONDS)
            uris = {"name": "PYRO:x@127.0.0.1:%d" % silent.getsockname()[1]}
            cleaner = AutoCleaner(uris.copy, lambda name, uri: True, 0.001)
            cleaner.start()
            connection, _ = silent.accept()
            with connection:
                cleaner.stop()
        self.assertNotIn("Pyro5 name server autoclean", [thread.name for thread in threading.enumerate()])


@exposure.expose
class Thing:
    """Something to be registered."""


class RealTests(unittest.TestCase):
    """A name server and servers on real sockets; only the clock is not real."""

    def make_cleaner(self, nameserver: Any) -> Any:
        self.now = 0.0
        cleaner = AutoCleaner(nameserver.all_uris, nameserver.remove_unchanged, 3.0, clock=lambda: self.now)
        self.addCleanup(cleaner.stop)
        return cleaner

    def test_dead_and_alive(self) -> None:
        _, ns_daemon, _ = start_ns("127.0.0.1", 0)
        self.addCleanup(ns_daemon.close)
        ns = ns_daemon.nameserver
        cleaner = self.make_cleaner(ns)
        server = self.enter(daemon_thread(Daemon("127.0.0.1")))
        ns.register("alive", server.register(Thing(), "alive"))
        ns.register("unregistered", server.register(Thing(), "unregistered"))
        server.unregister("unregistered")
        with Daemon("127.0.0.1") as gone:
            ns.register("gone", gone.register(Thing(), "gone"))
        cleaner.clean()
        self.assertEqual(ns.count(), 4)
        self.now = 20.0
        with self.assertLogs("Pyro5.autoclean", "WARNING") as logged:
            cleaner.clean()
        self.assertEqual(set(ns.list()), {"Pyro.NameServer", "alive"})
        self.assertIn("no such object", next(line for line in logged.output if "unregistered" in line))

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
    def test_unix_sockets(self) -> None:
        directory = self.enter(tempfile.TemporaryDirectory())
        _, ns_daemon, _ = start_ns(unixsocket=os.path.join(directory, "ns"))
        self.addCleanup(ns_daemon.close)
        ns = ns_daemon.nameserver
        cleaner = self.make_cleaner(ns)
        server = self.enter(daemon_thread(Daemon(unixsocket=os.path.join(directory, "server"))))
        ns.register("alive", server.register(Thing(), "alive"))
        ns.register("gone", "PYRO:gone@./u:%s" % os.path.join(directory, "gone"))
        cleaner.clean()
        self.now = 20.0
        with self.assertLogs("Pyro5.autoclean", "WARNING"):
            cleaner.clean()
        self.assertEqual(set(ns.list()), {"Pyro.NameServer", "alive"})

    def enter(self, context: Any) -> Any:
        entered = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return entered


class PeriodTests(unittest.TestCase):
    def test_minimum(self) -> None:
        self.assertEqual([checked_period(seconds) for seconds in (0.0, 3.0, 60.0)], [0.0, 3.0, 60.0])
        for seconds in (1.0, 2.9, -5.0):
            with self.assertRaisesRegex(ValueError, "^NS_AUTOCLEAN cannot be smaller than 3$"):
                checked_period(seconds)

    def test_no_thread_can_wait_for_that_long(self) -> None:
        self.assertEqual(checked_period(threading.TIMEOUT_MAX), threading.TIMEOUT_MAX)
        for seconds in (float("nan"), float("inf"), 1e300, 2 * threading.TIMEOUT_MAX):
            with self.assertRaisesRegex(ValueError, "^NS_AUTOCLEAN cannot be %s: " % re.escape(str(seconds))):
                checked_period(seconds)
        with self.assertRaises(ValueError):
            checked_period(float("-inf"))


if __name__ == "__main__":
    unittest.main()
