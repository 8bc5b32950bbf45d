"""The order of ready connections, with a clock that the handlers advance."""
from __future__ import annotations

import types
import unittest
from typing import Any, Callable, List
from unittest import mock

from Pyro5._server import fair_order
from Pyro5._server.fair_order import FairOrder
from Pyro5._server.quotas import LoopAccount

from ..rawclient import Clock

TURN_SECONDS = 0.004


class Ready:
    """A connection that is always ready, and takes this long each time."""

    watched = 0  # it is not waited for in a turn

    def __init__(self, clock: Clock, name: str, seconds: float, served: List[str], account: Any = None) -> None:
        self._clock, self._name, self._seconds, self._served = clock, name, seconds, served
        self.loop_seconds = 0.0
        if account is not None:
            self.loop_account = account

    def on_ready(self, events: int) -> None:
        self._clock.now += self._seconds
        self._served.append(self._name)


class FairOrderTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        patched = mock.patch.object(fair_order, "time", self.clock)
        patched.start()
        self.addCleanup(patched.stop)
        self.order = FairOrder()
        self.order._processor = fair_order._Processor()
        self.order._processor.begin = lambda: None  # type: ignore[method-assign]
        self.served: List[str] = []

    def ready(self, name: str, seconds: float, account: Any = None) -> Any:
        return types.SimpleNamespace(data=Ready(self.clock, name, seconds, self.served, account), fd=-1), 1

    def turns(self, entries: Callable[[], List[Any]], count: int) -> None:
        for _ in range(count):
            self.order.turn_ends = self.clock.now + TURN_SECONDS
            self.order.handle_all(entries(), self.clock.now)


class Waiting(FairOrderTestCase):
    """One whose last request took a little longer than those of others is not left out while these are always ready."""

    def check(self, account: Any) -> None:
        others = [self.ready("other %d" % number, 0.005, account) for number in range(20)]
        slower = self.ready("slower", 0.009, account)
        slower[0].data.usual_seconds = 0.009
        self.turns(lambda: others + [slower], 300)
        self.assertIn("slower", self.served[:60])
        self.assertLessEqual(5, self.served.count("slower"))

    def test_with_accounts_of_their_own(self) -> None:
        self.check(None)

    def test_with_a_shared_account(self) -> None:
        self.check(LoopAccount())

    def test_others_of_the_account_that_keep_coming(self) -> None:
        account = LoopAccount()
        slower = self.ready("slower", 0.009, account)
        slower[0].data.usual_seconds = slower[0].data.shared_seconds = 0.009

        def entries() -> List[Any]:
            return [self.ready("new", 0.005, account) for _ in range(5)] + [slower]
        self.turns(entries, 200)
        self.assertIn("slower", self.served)

    def test_a_shared_account_and_a_connection_beside_it(self) -> None:
        account = LoopAccount()
        entries = [self.ready("new", 0.005, account) for _ in range(20)] + [self.ready("connected", 0.005)]
        self.turns(lambda: entries, 100)
        self.assertAlmostEqual(50, self.served.count("connected"), delta=6)

    def test_one_that_was_left_over_and_is_handled_alone(self) -> None:
        entries = [self.ready("first", 0.005), self.ready("left over", 0.0)]
        entries[1][0].data.usual_seconds = 1.0
        self.turns(lambda: entries, 1)
        self.assertIsNotNone(entries[1][0].data.waits_at)
        self.order.handle_one(entries[1], self.clock.now)
        self.assertIsNone(entries[1][0].data.waits_at)


@unittest.skipIf(fair_order._THIS_THREAD is None, "this system does not report the processor time of threads")
class Preemption(unittest.TestCase):
    """Time in which other processes have the processor is not charged."""

    def used(self, seconds: float, processor_seconds: float, waits: int) -> float:
        usages = [types.SimpleNamespace(ru_utime=5.0, ru_stime=1.0, ru_nvcsw=7),
                  types.SimpleNamespace(ru_utime=5.0 + processor_seconds, ru_stime=1.0, ru_nvcsw=7 + waits)]
        processor = fair_order._Processor()
        with mock.patch.object(fair_order.resource, "getrusage", lambda who: usages.pop(0)):
            processor.begin()
            return round(processor.seconds_used(seconds), 6)

    def test_only_what_was_used_is_charged(self) -> None:
        self.assertEqual(0.02, self.used(0.3, 0.02, waits=0))

    def test_waiting_is_charged(self) -> None:
        self.assertEqual(0.3, self.used(0.3, 0.02, waits=1))

    def test_never_more_than_has_passed(self) -> None:
        self.assertEqual(0.1, self.used(0.1, 0.2, waits=0))

    def test_without_a_beginning(self) -> None:
        self.assertEqual(0.1, fair_order._Processor().seconds_used(0.1))


class Cheap(FairOrderTestCase):
    """Clients with short requests are served as they come, until one of them takes long."""

    def cheap(self, name: str, seconds: float = 0.0001, usual: float = 0.0) -> Any:
        entry = self.ready(name, seconds)
        entry[0].data.is_plain, entry[0].data.usual_seconds, entry[0].data.waits_at = True, usual, None
        return entry

    def handle(self, *entries: Any) -> List[str]:
        self.served.clear()
        self.order.turn_ends = self.clock.now + TURN_SECONDS
        left = self.order.handle_all(list(entries), self.clock.now)
        self.assertEqual(len(entries), len(self.served) + len(left))
        return list(self.served)

    def test_as_they_come(self) -> None:
        a, b, c = (self.cheap(name) for name in "abc")
        b[0].data.loop_seconds = 100.0
        self.assertEqual(["b", "a", "c"], self.handle(b, a, c))
        self.assertEqual([0.0, 100.0], [a[0].data.loop_seconds, b[0].data.loop_seconds])
        self.assertTrue(self.order.is_shared)

    def test_one_that_takes_long(self) -> None:
        long, used, fresh = self.cheap("long", 0.002), self.cheap("used"), self.cheap("fresh")
        used[0].data.loop_seconds, fresh[0].data.loop_seconds = 3.0, 1.0
        self.assertEqual(["long", "fresh", "used"], self.handle(long, used, fresh))  # from here on by what they have used
        self.assertAlmostEqual(0.002, long[0].data.usual_seconds)
        self.assertEqual(["fresh", "long"], self.handle(long, fresh))

    def test_one_that_usually_takes_long(self) -> None:
        slow, quick = self.cheap("slow", 0.0001, usual=0.01), self.cheap("quick")
        self.assertEqual(["quick", "slow"], self.handle(slow, quick))
        for _ in range(10):
            self.handle(slow, quick)
        self.assertEqual(["slow", "quick"], self.handle(slow, quick))  # it has become cheap

    def test_the_turn_is_over(self) -> None:
        entries = [self.cheap("%d" % number, 0.00045) for number in range(20)]
        self.assertEqual([str(number) for number in range(9)], self.handle(*entries))


if __name__ == "__main__":
    unittest.main()
