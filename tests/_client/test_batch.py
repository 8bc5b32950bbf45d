"""Batched calls."""
from __future__ import annotations

import copy
import unittest
from typing import Any, List, Optional

from Pyro5._client.batch import BatchProxy
from Pyro5._messages import replies


class FakeProxy:
    """Puts down what it was told to call."""

    def __init__(self, results: Optional[List[Any]] = None) -> None:
        self.results = results
        self.invoked: List[Any] = []

    def _pyroClaimOwnership(self) -> None:
        """It has no owner."""

    def _pyroInvokeBatch(self, *arguments: Any) -> Any:
        self.invoked.append(arguments)
        return self.results


class BatchTests(unittest.TestCase):
    def test_calls_are_collected_and_made_at_once(self) -> None:
        proxy = FakeProxy([3, "x"])
        batch = BatchProxy(proxy)
        self.assertIsNone(batch.add(1, b=2))
        self.assertIsNone(batch.echo("x"))
        self.assertEqual([], proxy.invoked)
        self.assertEqual(2, len(batch))
        results = batch()
        collected = [("add", (1,), {"b": 2}), ("echo", ("x",), {})]
        self.assertEqual([(collected, False)], proxy.invoked)
        self.assertEqual([3, "x"], list(results or ()))

    def test_results_are_returned_up_to_the_first_exception(self) -> None:
        batch = BatchProxy(FakeProxy([1, replies.ExceptionWrapper(ValueError("second"))]))
        results = iter(batch() or ())
        self.assertEqual(1, next(results))
        with self.assertRaisesRegex(ValueError, "second"):
            next(results)

    def test_oneway(self) -> None:
        proxy = FakeProxy()
        batch = BatchProxy(proxy)
        batch.add(1, 2)
        self.assertIsNone(batch(oneway=True))
        self.assertEqual([([("add", (1, 2), {})], True)], proxy.invoked)

    def test_a_batch_can_be_used_again(self) -> None:
        proxy = FakeProxy([])
        batch = BatchProxy(proxy)
        batch.add(1, 2)
        batch()
        batch()
        self.assertEqual([1, 0], [len(arguments[0]) for arguments in proxy.invoked])

    def test_there_is_no_asynchronous_batch(self) -> None:
        with self.assertRaises(TypeError):
            BatchProxy(FakeProxy())(asynchronous=True)  # type: ignore[call-arg]

    def test_private_names_are_refused(self) -> None:
        with self.assertRaises(AttributeError):
            BatchProxy(FakeProxy())._private()

    def test_a_copy_collects_its_own_calls(self) -> None:
        proxy = FakeProxy([])
        batch = BatchProxy(proxy)
        batch.add(1, 2)
        copied = copy.copy(batch)
        copied.add(3, 4)
        self.assertEqual((1, 2), (len(batch), len(copied)))

    def test_leaving_the_context_discards_the_calls(self) -> None:
        with BatchProxy(FakeProxy([])) as batch:
            batch.add(1, 2)
        self.assertEqual(0, len(batch))
        self.assertTrue(batch)


if __name__ == "__main__":
    unittest.main()
