"""Batches with large results: the size of all types is counted; instances of mode percall are created one at a time."""
from __future__ import annotations

import unittest
import weakref
from typing import Any, List

from Pyro5 import errors, protocol
from Pyro5._objects.exposure import behavior, expose

from .test_dispatch import LOGGER, DispatchTestCase


class Cell:
    def __init__(self, content: Any) -> None:
        self.content = content


@expose
class Generous:
    """Returns large results for small requests."""

    calls = 0

    def deep(self) -> Any:
        Generous.calls += 1
        return [[[[[["x" * 10000]]]]]]

    def cell(self) -> Any:
        Generous.calls += 1
        return Cell("x" * 10000)

    def power(self, exponent: int) -> int:
        Generous.calls += 1
        return 1 << exponent

    def unsendable(self) -> Any:
        return [[print]]


@expose
@behavior(instance_mode="percall")
class Fleeting:
    """Counts the instances that exist at the same time."""

    living: List[Any] = []
    most = 0

    def __init__(self) -> None:
        Fleeting.living.append(weakref.ref(self))
        Fleeting.most = max(Fleeting.most, sum(each() is not None for each in Fleeting.living))

    def add(self, one: int, other: int) -> int:
        return one + other

    @property
    def attribute(self) -> int:
        return 7


class BatchCase(DispatchTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.objects.add(Generous(), "generous")
        self.objects.add(Fleeting, "fleeting")
        Generous.calls, Fleeting.most = 0, 0
        Fleeting.living.clear()

    def batch(self, object_id: str, *batched: Any, flags: int = 0) -> Any:
        message = self.message("<batch>", batched, flags=protocol.FLAGS_BATCH | flags, object_id=object_id)
        reply = self.answer(message)
        return reply if reply is None else self.parse(reply)


class LargeResults(BatchCase):
    def test_the_limit_applies_to_all_types(self) -> None:
        self.configure(max_size=100000)
        for call in (("deep", (), {}), ("cell", (), {}), ("power", (13000,), {})):
            Generous.calls = 0
            with self.subTest(call), self.assertLogs(LOGGER, "WARNING"):
                with self.assertRaisesRegex(errors.MessageTooLargeError, "MAX_MESSAGE_SIZE"):
                    self.batch("generous", *[call] * 1000)
                self.assertLess(Generous.calls, 80)

    def test_results_below_the_limit_are_sent(self) -> None:
        results = self.batch("generous", ("power", (3,), {}), ("power", (4000,), {}), *[("deep", (), {})] * 10)
        self.assertEqual([8, 1 << 4000] + [[[[[[["x" * 10000]]]]]]] * 10, results)

    def test_a_failure_behind_large_results(self) -> None:
        with self.assertLogs(LOGGER, "WARNING"):
            results = self.batch("generous", *[("deep", (), {})] * 20, ("power", (-1,), {}), ("deep", (), {}))
        self.assertEqual((21, 20), (len(results), Generous.calls - 1))
        with self.assertRaisesRegex(ValueError, "negative shift"):
            results[-1].raise_it()

    def test_a_result_that_cannot_be_sent(self) -> None:
        with self.assertLogs(LOGGER, "WARNING"), self.assertRaises((errors.SerializeError, AttributeError, TypeError)):
            self.batch("generous", ("power", (1,), {}), ("unsendable", (), {}), ("power", (1,), {}))

    def test_results_of_oneway_batches_are_not_counted(self) -> None:
        self.configure(max_size=100000)
        self.assertIsNone(self.batch("generous", *[("cell", (), {})] * 30, flags=protocol.FLAGS_ONEWAY))
        while self.aside:
            self.aside.pop()()
        self.assertEqual(30, Generous.calls)


class InstancesPerCall(BatchCase):
    def test_one_instance_at_a_time(self) -> None:
        self.assertEqual([number + 1 for number in range(50)],
                         self.batch("fleeting", *[("add", (number, 1), {}) for number in range(50)]))
        self.assertEqual((50, 1), (len(Fleeting.living), Fleeting.most))

    def test_one_instance_at_a_time_for_attributes(self) -> None:
        self.assertEqual([7] * 20, self.batch("fleeting", *[("__getattr__", ("attribute",), {})] * 20))
        self.assertEqual(1, Fleeting.most)

    def test_nothing_runs_if_one_is_not_allowed(self) -> None:
        with self.assertLogs(LOGGER, "WARNING"), self.assertRaisesRegex(AttributeError, "unknown"):
            self.batch("fleeting", ("add", (1, 2), {}), ("unknown", (), {}))
        self.assertEqual(1, len(Fleeting.living))


if __name__ == "__main__":
    unittest.main()
