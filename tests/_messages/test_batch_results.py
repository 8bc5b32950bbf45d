"""Results of batches: what is counted is what is sent, whatever the results are."""
from __future__ import annotations

import unittest
from typing import Any, Callable, Dict, List, Optional
from unittest import mock

from Pyro5 import errors
from Pyro5._messages.batch_results import MAX_COUNTED_VALUES, MAX_UNSERIALIZED_BYTES, BatchResults, estimated_size
from Pyro5._messages.replies import ExceptionWrapper
from Pyro5.serializers import SerializerBase, get_serializer

NAMES = ("serpent", "json", "marshal", "msgpack")


class Thing:
    """An object that serializers turn into a dict of its attributes."""

    def __init__(self, text: str) -> None:
        self.text = text


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


class ResultTests(unittest.TestCase):
    def results(self, name: str, values: List[Any], max_size: int = 0) -> Any:
        results = BatchResults(get_serializer(name), max_size)
        for value in values:
            results.add(value)
        self.assertEqual(len(values), len(results))
        payload = results.payload()
        return b"".join(payload) if isinstance(payload, list) else payload

    def test_small_results_are_serialized_together(self) -> None:
        values = [1, "two", None, [3.5, {"four": b""}], (5,)]
        for name in NAMES:
            serializer = get_serializer(name)
            small = values if name != "json" else values[:3]
            with mock.patch.object(serializer, "dumps_element", side_effect=AssertionError):
                self.assertEqual(serializer.loads(serializer.dumps(small)), serializer.loads(self.results(name, small)))

    def test_large_results_have_the_same_payload(self) -> None:
        long = list(range(MAX_COUNTED_VALUES + 1))
        for name in NAMES:
            serializer = get_serializer(name)
            for values in ([long, 1, "x"], ["x" * 40000] * 5, [1, long, {"a": long}], [[], long], [long] * 70):
                with self.subTest(name):
                    data = self.results(name, values)
                    self.assertEqual(serializer.loads(serializer.dumps(values)), serializer.loads(data))
                    if name != "marshal":
                        self.assertEqual(serializer.dumps(values), data)

    def test_objects_and_exceptions(self) -> None:
        for name in NAMES:
            data = self.results(name, [Thing("hello"), ExceptionWrapper(ValueError("no"))])
            with self.subTest(name):
                values = get_serializer(name)._decode(data)[0]
                self.assertEqual(["hello", "Pyro5.core._ExceptionWrapper"], [values[0]["text"], values[1]["__class__"]])

    def test_the_limit(self) -> None:
        """Results of every kind are refused when they are too large, and not much later."""
        made = 0

        def make(value: Callable[[], Any]) -> Any:
            nonlocal made
            made += 1
            return value()
        kinds: Dict[str, Callable[[], Any]] = {
            "text": lambda: "x" * 1000, "deep": lambda: nested(20, "x" * 1000), "object": lambda: Thing("x" * 1000),
            "objects": lambda: [[[[Thing("x" * 1000)]]]], "long integer": lambda: 1 << 3300,
            "many": lambda: [1.125] * 1000, "deep integers": lambda: nested(6, [1 << 3300])}
        for name, (kind, value) in ((name, item) for name in NAMES for item in kinds.items()):
            if name in ("msgpack", "json") and "integer" in kind:
                continue  # msgpack has none, and json is the same as serpent
            made = 0
            results = BatchResults(get_serializer(name), 100000)
            with self.subTest(name, kind=kind), self.assertRaises(errors.MessageTooLargeError):
                for _ in range(1000):
                    results.add(make(value))
            self.assertLess(made, 400)

    def test_serializers_of_programs(self) -> None:
        class Own(SerializerBase):
            def dumps(self, data: Any) -> bytes:
                return get_serializer("json").dumps(data)
        results = BatchResults(Own(), 100000)
        values = [list(range(MAX_COUNTED_VALUES + 1)), "x" * 70000, 5]
        for value in values:
            results.add(value)
        self.assertEqual(values, get_serializer("json").loads(results.payload()))
        with self.assertRaises(errors.MessageTooLargeError):
            results.add("x" * 40000)
        Own().check_containers(b"[[[[", 1)

    def test_without_a_limit(self) -> None:
        self.assertEqual(["x" * 1000] * 1000, get_serializer("json").loads(self.results("json", ["x" * 1000] * 1000)))

    def test_results_are_serialized_in_parts(self) -> None:
        """So other threads run in between, and no more objects are kept than necessary."""
        results = BatchResults(get_serializer("serpent"), 0)
        most = 0
        for _ in range(2000):
            results.add(1 << 14000)
            most = max(most, len(results.values))
        self.assertLess(most * (14000 // 3), MAX_UNSERIALIZED_BYTES + 14000)

    def test_results_that_cannot_be_serialized(self) -> None:
        for name in NAMES:
            results = BatchResults(get_serializer(name), 0)
            with self.subTest(name), self.assertRaises((errors.SerializeError, TypeError, ValueError)):
                results.add([1, {2: object.__new__}])
                results.payload()

    def test_estimates(self) -> None:
        cases: List[Any] = [(None, 4), ("x" * 100, 102), (1 << 3000, 1002), ([1.5, 2.5], 18), ({"a": "b"}, 8)]
        for value, expected in cases:
            self.assertEqual(expected, estimated_size(value))
        unknown: Optional[SerializerBase] = get_serializer("json")
        for value in (unknown, [unknown], list(range(MAX_COUNTED_VALUES + 1)), nested(MAX_COUNTED_VALUES + 1, 1)):
            self.assertEqual(-1, estimated_size(value))


if __name__ == "__main__":
    unittest.main()
