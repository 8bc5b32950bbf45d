"""The fast path for writing serpent text: it gives the very text of the serpent library, or none."""

from __future__ import annotations

import random
import sys
import unittest
from typing import Any, List, Optional

import serpent

from Pyro5._values.serpent import writer
from Pyro5._values.serpent.writer import HEADER

RECORD = {"id": 12345, "name": "Jane Doe", "active": True, "score": 3.25, "parent": None, "tags": ["a", "b"], "balance": -12.5}




class Writing(unittest.TestCase):
    def assert_fast(self, value: Any) -> None:
        text = writer.fast_dumps(value)
        self.assertIsNotNone(text, value)
        self.assertEqual(serpent.dumps(value).decode("utf-8"), HEADER + str(text))

    def test_values(self) -> None:
        for value in (
            None,
            True,
            0,
            -1,
            10**30,
            3.25,
            -0.0,
            1e300,
            "",
            "a, b: c",
            "it's",
            'say "hi"',
            "both ' and \"",
            "back\\slash\n",
            "\ud800",
            "\x00",
            "caf\xe9 \u20ac",
            [],
            (),
            {},
            (1,),
            [1, 2.5, "x", None],
            {"a, b": "c: d"},
            ((), [], {}, ((),)),
            {1: 2, False: 3, "k": [4]},
            RECORD,
            [RECORD, (RECORD,)],
            {"inf": "nan"},
            ["inf", 1e300],
            [{"a": "x, y", "b": ["'"]}],
        ):
            self.assert_fast(value)

    def test_calls(self) -> None:
        for args in ((), [], (1,), [1], (1, "x"), ["a, b", (1,)], tuple(range(20)), [[1]] * 20, "blob", b"x", None):
            for kwargs in ({}, {"k": [1]}, None):
                text = writer.fast_dumps_call("object", "it's", args, kwargs)
                self.assertEqual(serpent.dumps(("object", "it's", args, kwargs)).decode("utf-8"), HEADER + str(text))
        self.assertIsNone(writer.fast_dumps_call(1, "method", (), {}))
        self.assertIsNone(writer.fast_dumps_call("object", "method", (object(),), {}))
        self.assertIsNone(writer.fast_dumps_call("object", "method", (), {"k": 3j}))

    def test_tables(self) -> None:
        rows = [dict(RECORD, id=number, score=number / 7) for number in range(20)]
        for value in (
            rows,
            tuple(rows),
            dict(enumerate(rows)),
            [{"a%s": "%d", "b": ("%",)}] * 20,
            [{}] * 20,
            [[]] * 20,
            [()] * 20,
            [({}, [])] * 20,
            [(1,), (2,)] * 10,
            [(1, 2), [1, 2]] * 10,
            [[1, 2], [1]] * 10,
            [{"a": 1}, {"b": 1}] * 10,
            [{"a": 1, "b": 2}, {"b": 1, "a": 2}] * 10,
            [{1: "x"}, {True: "x"}] * 10,
            [{"a": 1}, {"a": None}, {"a": [2]}, {"a": "x"}, {"a": 2.5}] * 4,
            [{"a": {"b": {"c": number}}} for number in range(20)],
            [{"a": b"x", "b": {number}} for number in range(20)],
            [[number] * 100 for number in range(20)],
            [None, 1.5, "x", True] * 5,
            *([{"a": value} for value in values] * 10 for values in (
                [0.0], [-0.0], [0.0, -0.0], [1.5, -0.0], [1, True], [True, 1.0], ["%s"], ["it's"], ["x", None], [10**30])),
            [[(1,), {"a": ["b", {}]}]] * 20,
            [{"a": number // 8, "b": str(number // 8), "c": number / 3} for number in range(50)],
            ["x"] * 20,
            [["x", "y"][number % 2] for number in range(20)],
            {str(number): "x" for number in range(20)},
        ):
            self.assert_fast(value)

    def test_long_texts(self) -> None:
        for ending in ("", "'", '"', "\\", "\n", "\x7f", "\0", "\xe9", "\u20ac", "\ud800"):
            self.assert_fast("x" * 1000 + ending)

    def test_bytes(self) -> None:
        for value in (b"", b"x", bytes(range(256)), bytearray(b"x"), [b"x"] * 20, {"k": b"'\""}):
            self.assert_fast(value)
            text = writer.fast_dumps(value, bytes_repr=True)
            self.assertEqual(serpent.dumps(value, bytes_repr=True).decode("utf-8"), HEADER + str(text))

    def test_sets(self) -> None:
        for value in (set(), frozenset(), {1}, {"a", True, -2}, frozenset("xy"), [{1}] * 20):
            self.assert_fast(value)

    def test_shared_containers(self) -> None:
        shared = [1, {"k": 2}]
        self.assert_fast([shared, shared, (shared,)])

    def test_values_for_the_library(self) -> None:
        class Text(str):
            pass

        endless: List[Any] = []
        endless.append(endless)
        deep: Any = []
        for _ in range(60):
            deep = [deep]
        for value in (
            float("inf"),
            [float("nan")],
            {"k": -float("inf")},
            [1.5, float("nan")] * 10,
            ["inf", float("inf")] * 10,
            [{"k": 1.5}, {"k": float("inf")}] * 10,
            3j,
            memoryview(b"x"),
            {None},
            {2.5},
            {(1,)},
            frozenset((b"x",)),
            {None: 1},
            {(1,): 2},
            {2.5: 1},
            Text("x"),
            [Text("x")],
            {Text("x"): 1},
            [{"x": 1}, {Text("x"): 1}] * 10,
            [{"x": 1}, {"x": Text("x")}] * 10,
            [1, Text("x")] * 10,
            dict.fromkeys([*range(20), None]),
            {Text("x")},
            object(),
            endless,
            deep,
        ):
            self.assertIsNone(writer.fast_dumps(value))

    def test_huge_int(self) -> None:
        if hasattr(sys, "get_int_max_str_digits"):
            self.assertRaises(ValueError, writer.fast_dumps, [10**5000])


class Fuzz(unittest.TestCase):
    """Random values; the same ones every time."""

    texts = ("a", "%s", "%", ", ", ": ", "'", '"', "\\", "\n", "\xe9", "\ud800", "None", "inf", "{", ")")
    plain = (None, True, False, 0, 1, -7, 10**30, -0.0, 0.0, 1 / 3, 1e300)
    scalars = (*plain, float("inf"), 3 - 4j, b"x", bytearray(b"%"), {1, 2}, set())

    def setUp(self) -> None:
        self.random = random.Random(20240229)

    def text(self) -> str:
        return "".join(self.random.choice(self.texts) for _ in range(self.random.choice((0, 1, 2, 5))))

    def key(self) -> Any:
        return self.random.choice((1, True, "k", (1, 2), 2.5, None)) if self.random.random() < 0.02 else self.text()

    def value(self, depth: int = 0) -> Any:
        kind = self.random.randrange(12 if depth < 4 else 6)
        if kind < 3:
            return self.text()
        if kind < 6:
            return self.random.choice(self.plain if self.random.random() < 0.98 else self.scalars)
        if kind < 10:
            elements = [self.value(depth + 1) for _ in range(self.random.choice((0, 1, 2, 3, 3, 12)))]
            return elements if kind < 8 else tuple(elements) if kind < 9 else {self.key(): element for element in elements}
        return self.table(depth)

    def table(self, depth: int) -> Any:
        """Make rows that are much alike."""
        row: Any = self.value(depth + 1)
        rows = [row] * 12
        for _ in range(self.random.randrange(4)):
            number = self.random.randrange(12)
            rows[number] = self.changed(rows[number], depth)
        return rows

    def changed(self, row: Any, depth: int) -> Any:
        if isinstance(row, dict) and row:
            return {**row, self.random.choice(list(row)): self.value(depth + 1)}
        if isinstance(row, (list, tuple)) and row:
            return type(row)([self.value(depth + 1), *row[1:]])
        return self.value(depth + 1)

    def library_text(self, value: Any, bytes_repr: bool) -> Optional[bytes]:
        try:
            text: bytes = serpent.dumps(value, bytes_repr=bytes_repr)
        except TypeError:
            return None
        return text

    def test(self) -> None:
        fast = 0
        for number in range(1500):
            value = self.value()
            text = writer.fast_dumps(value, bool(number & 1))
            if text is not None:
                self.assertEqual(self.library_text(value, bool(number & 1)), (HEADER + text).encode("utf-8"))
                fast += 1
        self.assertGreater(fast, 1000)
