"""Looking up hosts in threads: each once, a few at a time, without blocking. The tests take the place of the name service."""
from __future__ import annotations

import itertools
import queue
import socket
import threading
import unittest
from typing import Any, List
from unittest import mock

from Pyro5._naming import host_lookup
from Pyro5._naming.host_lookup import KEPT_CALLS, LOOKUPS_AT_ONCE, HostLookups

PATIENCE_SECONDS = 60.0


class LookupTests(unittest.TestCase):
    def setUp(self) -> None:
        self.asked: queue.Queue[str] = queue.Queue()
        self.answers = threading.Semaphore(0)       # one for each answer that the name service may give
        self.results = threading.Semaphore(0)       # one for each result that was told
        self.outcome: Any = [(socket.AF_INET, ("192.0.2.7", 0))]
        patch = mock.patch.object(host_lookup.addresses, "resolve_host", self.resolve)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(self.end_threads)
        self.lookups = HostLookups(self.results.release)
        self.addCleanup(self.lookups.close)

    def end_threads(self) -> None:
        for _ in range(100):
            self.answers.release()
        for thread in threading.enumerate():
            if thread.name == "Pyro5 host lookup":
                thread.join(PATIENCE_SECONDS)

    def resolve(self, address: Any, family: int, socktype: int) -> Any:
        self.asked.put(address[0])
        self.answers.acquire(timeout=PATIENCE_SECONDS)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def next_asked(self, count: int) -> List[str]:
        return [self.asked.get(timeout=PATIENCE_SECONDS) for _ in range(count)]

    def let_answer(self, count: int) -> None:
        for _ in range(count):
            self.answers.release()
        for _ in range(count):
            self.assertTrue(self.results.acquire(timeout=PATIENCE_SECONDS))

    def test_the_answer_comes_later(self) -> None:
        self.assertIsNone(self.lookups.find("host"))
        self.assertIsNone(self.lookups.find("host"))
        self.let_answer(1)
        self.assertEqual(self.lookups.find("host"), self.outcome)
        self.assertEqual(self.next_asked(1), ["host"])
        self.lookups.forget()
        self.assertIsNone(self.lookups.find("host"))
        self.let_answer(1)
        self.assertTrue(self.asked.get_nowait())
        self.assertTrue(self.asked.empty())

    def test_errors_are_results(self) -> None:
        for error in (socket.gaierror(socket.EAI_NONAME, "no such host"), ValueError("embedded null character")):
            self.outcome = error
            self.assertIsNone(self.lookups.find("host"))
            self.let_answer(1)
            self.assertIs(self.lookups.find("host"), error)
            self.lookups.forget()

    def test_a_defect_is_a_result_too(self) -> None:
        self.outcome = ZeroDivisionError("oops")
        self.lookups.find("host")
        with self.assertLogs("Pyro5.resolving", "ERROR"):
            self.let_answer(1)
        self.assertRegex(str(self.lookups.find("host")), "^cannot look up the host 'host': oops$")

    def test_addresses_need_no_thread(self) -> None:
        for host in ("127.0.0.1", "::1", "fe80::1%lo"):
            self.answers.release()
            self.assertEqual(self.lookups.find(host), self.outcome)

    def test_a_few_at_a_time_in_order(self) -> None:
        hosts = ["host%d" % number for number in range(LOOKUPS_AT_ONCE + 3)]
        for host in hosts:
            self.lookups.find(host)
        self.assertEqual(set(self.next_asked(LOOKUPS_AT_ONCE)), set(hosts[:LOOKUPS_AT_ONCE]))
        self.assertTrue(self.asked.empty())
        for host in hosts[LOOKUPS_AT_ONCE:]:
            self.let_answer(1)
            self.assertEqual(self.next_asked(1), [host])

    def test_what_comes_too_late_is_for_the_next_one_who_asks(self) -> None:
        self.lookups.find("slow")
        self.next_asked(1)
        self.lookups.forget()
        self.assertIsNone(self.lookups.find("slow"))
        self.let_answer(1)
        self.assertEqual(self.lookups.find("slow"), self.outcome)
        self.assertTrue(self.asked.empty())

    def test_results_that_were_not_requested_are_kept_for_a_while(self) -> None:
        self.lookups.find("slow")
        self.let_answer(1)
        for _ in range(KEPT_CALLS):
            self.lookups.forget()
        self.assertEqual(self.lookups.find("slow"), self.outcome)
        self.lookups.forget()
        self.assertEqual({}, self.lookups._results)
        self.lookups.find("slow")
        self.let_answer(1)
        for _ in range(KEPT_CALLS + 1):
            self.lookups.forget()
        self.assertEqual(({}, {}), (self.lookups._results, self.lookups._unused))

    def test_hosts_without_answer_hold_up_no_others(self) -> None:
        self.lookups.find("prompt")
        self.let_answer(1)
        self.assertEqual(self.lookups.find("prompt"), self.outcome)
        self.lookups.forget()
        for number in range(LOOKUPS_AT_ONCE + 3):
            self.lookups.find("silent%d" % number)
        self.next_asked(1 + LOOKUPS_AT_ONCE)
        self.lookups.find("prompt")
        self.assertEqual(["prompt"], self.next_asked(1))

    def test_who_becomes_slow_is_no_longer_preferred(self) -> None:
        seconds = itertools.count()
        self.lookups = HostLookups(self.results.release, lambda: next(seconds))
        self.lookups.find("slow")
        self.let_answer(1)
        self.assertEqual(set(), self.lookups._prompt)

    def test_no_more_than_a_number_wait(self) -> None:
        with mock.patch.object(host_lookup, "MOST_WAITING", 5):
            found = [self.lookups.find("host%d" % number) for number in range(LOOKUPS_AT_ONCE + 20)]
        refused = [each for each in found if each is not None]
        self.assertIn(len(refused), range(15, LOOKUPS_AT_ONCE + 16))  # all threads have taken one, or none has yet
        self.assertEqual({socket.EAI_AGAIN}, {each.errno for each in refused if isinstance(each, OSError)})

    def test_threads_end(self) -> None:
        for host in ("one", "two"):
            self.lookups.find(host)
        self.let_answer(2)
        self.end_threads()
        self.assertNotIn("Pyro5 host lookup", [thread.name for thread in threading.enumerate()])

    def test_after_close_nothing_begins(self) -> None:
        for number in range(LOOKUPS_AT_ONCE + 3):
            self.lookups.find("host%d" % number)
        self.next_asked(LOOKUPS_AT_ONCE)
        self.lookups.close()
        self.assertIsNone(self.lookups.find("another"))
        self.end_threads()
        self.assertTrue(self.asked.empty())

    def test_no_more_threads(self) -> None:
        with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
            self.assertRegex(str(self.lookups.find("host")), "cannot look up the host 'host': can't start new thread")
            self.lookups.forget()
        self.assertIsNone(self.lookups.find("host"))
        self.let_answer(1)


if __name__ == "__main__":
    unittest.main()
