"""Descriptions of values that a peer sent."""
from __future__ import annotations

import random
import unittest
from typing import Any

from Pyro5._values import plain


class Untouched(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        raise AssertionError("iterated")

    __repr__ = __iter__


class TextTests(unittest.TestCase):
    def test_text_as_it_is(self) -> None:
        self.assertEqual("x" * 5000, plain.text_of("x" * 5000))

    def test_the_repr_of_short_values(self) -> None:
        for value in (None, True, -5, 1.5, 2j, b"x", bytearray(b"y"), [], (), {}, set(), frozenset(), [1, "a'b"], (1,), (1, 2),
                      {"a": [1, {2: None}], (1, 2): "x"}, {3}, frozenset((3,)), [[[[]]], ["\n"]]):
            self.assertEqual(repr(value), plain.text_of(value))

    def test_long_values_are_cut(self) -> None:
        deep: Any = []
        for _ in range(100000):
            deep = [deep]
        wide: Any = ["x"] * 10
        for _ in range(60):
            wide = [wide] * 10  # walking through all of it would never end
        for value in (b"x" * 1000000, ["x" * 1000000], [1] * 1000000, deep, wide, {"x" * 1000: "y" * 1000}, [b"x" * 999] * 999,
                      {(number, "x" * 100): [number] for number in range(1000)}):
            text = plain.text_of(value)
            self.assertLessEqual(len(text), 200)
            self.assertEqual(repr(value)[:20] if value is not deep and value is not wide else "[" * 20, text[:20].rstrip("."))
            self.assertLessEqual(len(plain.text_of(value, 50)), 50)

    def test_long_numbers(self) -> None:
        self.assertEqual("an int of 16610 bits", plain.text_of(10**5000))
        self.assertEqual("[1, an int of 16610 bits]", plain.text_of([1, -10**5000]))

    def test_objects_are_not_touched(self) -> None:
        self.assertEqual("an object of class Untouched", plain.text_of(Untouched()))
        self.assertEqual("{1: [an object of class Untouched]}", plain.text_of({1: [Untouched()]}))

    def test_random_values(self) -> None:
        rng = random.Random(1)

        def value(depth: int) -> Any:
            if not depth or rng.random() < 0.3:
                return rng.choice((None, 1, -2.5, "text", b"bytes", "\u2028"))
            elements = [value(depth - 1) for _ in range(rng.randrange(4))]
            return rng.choice((elements, tuple(elements), dict(enumerate(elements))))
        for _ in range(300):
            each = value(4)
            if type(each) is not str:
                full = repr(each)
                shown = len(full) if len(full) <= 150 else 100
                self.assertEqual(full[:shown], plain.text_of(each)[:shown])


if __name__ == "__main__":
    unittest.main()
