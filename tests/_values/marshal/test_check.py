"""Marshal data that would crash the interpreter, eat its memory, or make code objects, is refused before it can."""

from __future__ import annotations

import functools
import marshal
import random
import time
import unittest
from typing import Any, List

from Pyro5._values.marshal import check

from ...support import assert_linear

# a set that contains a tuple that contains itself: hashing it never ends
ENDLESS_HASH = b"<\x01\x00\x00\x00\xa9\x01r\x00\x00\x00\x00"
HUGE_TUPLE = b"(\xff\xff\xff\x0f"
HUGE_LIST = b"[\xff\xff\xff\x7f"


class Harm(unittest.TestCase):
    def test_tuples_that_contain_themselves(self) -> None:
        for data in (
            ENDLESS_HASH,
            b"\xa9\x02<\x01\x00\x00\x00r\x00\x00\x00\x00N",
            b"\xa8\x01\x00\x00\x00r\x00\x00\x00\x00",
            b"[\x02\x00\x00\x00\xfa\x01x\xa9\x01)\x01r\x01\x00\x00\x00",
            b"{\xa9\x01r\x00\x00\x00\x00N0",
            # a flag that counts for nothing, on a reference, does not shift the numbers
            b"\xdb\x02\x00\x00\x00N{\xf2\x00\x00\x00\x00>\x01\x00\x00\x00\xa9\x01r\x01\x00\x00\x00",
        ):
            with self.subTest(data), self.assertRaisesRegex(ValueError, "contains itself"):
                check.loads(data)

    def test_frozensets_whose_comparison_never_ends(self) -> None:
        """Each has the one before it twice; so have those of a second chain, of which each is equal, but another object."""
        parts, number = [], -1
        for _ in range(2):
            parts.append(b"\xbe\1\0\0\0N")
            number += 1
            for _ in range(60):
                before = b"r" + number.to_bytes(4, "little")
                parts.append(b"\xbe\2\0\0\0)\2" + before + b"T)\2" + before + b"F")
                number += 1
        keys = b"r\x3c\0\0\0Nr" + number.to_bytes(4, "little") + b"N"
        data = b")\2[" + len(parts).to_bytes(4, "little") + b"".join(parts) + b"{" + keys + b"0"
        with self.assertRaisesRegex(ValueError, "too many places"):
            check.loads(data)

    def test_containers_longer_than_the_data(self) -> None:
        nested = b"(\x00\x10\x00\x00" * 1000
        for data in (HUGE_TUPLE, HUGE_LIST, b"\xdb" + HUGE_LIST[1:], b"\xa8" + HUGE_TUPLE[1:], b")\x02" + HUGE_LIST, nested):
            begin = time.thread_time()
            with self.subTest(data), self.assertRaises(EOFError):
                check.loads(data)
            self.assertLess(time.thread_time() - begin, 1)

    def test_code_objects(self) -> None:
        code = compile("def f(a, b):\n return a + b", "name", "exec")
        for value in (code, [code], {"k": (1, code)}, code.co_consts[0]):
            with self.assertRaises(ValueError):
                check.loads(marshal.dumps(value))


class NoHarm(unittest.TestCase):
    def test_values(self) -> None:
        shared: Any = ("t", 1)
        for value in (
            None,
            0,
            -(2**70),
            1.5,
            2j,
            "caf\xe9",
            "x" * 300,
            b"abc",
            [shared, shared, {"k": shared}],
            {1, 2},
            frozenset((3,)),
            (),
            [()] * 3,
            list(range(5000)),
            tuple(range(70000)),
            {"a": {"b": [1, {"c": ()}]}},
            bytes(range(256)) * 100,
            "the cat (sat) [on] c; " * 300,
            [b"(((("] * 5,
            {("a", 1): "tuple key"},
        ):
            for version in (2, 3, 4):
                self.assertEqual(value, check.loads(marshal.dumps(value, version)))

    def test_malformed(self) -> None:
        for data, error in (
            (b"", EOFError),
            (b"#text", ValueError),
            (b"[\x05\x00\x00\x00N", EOFError),
            (b"z\x05abc", EOFError),
            (b"[\x01\x00\x00\x000", TypeError),
            (b"r\x07\x00\x00\x00", ValueError),
            (b"s\xff\xff\xff\xff", ValueError),
            (b"\xe3" + b"N" * 60, ValueError),  # a code object that consists of None
        ):
            with self.subTest(data), self.assertRaises(error):
                check.loads(data)

    def test_containers_shared_at_exponentially_many_places(self) -> None:
        """What doubles with every level takes ages to walk through; to hash it takes the marshal module that long."""
        doubled: Any = ["__class__"]
        wide: Any = ()
        tuples: Any = ("a",)
        tables: Any = {"a": 1}
        for _ in range(60):
            doubled, tuples, tables = [doubled, doubled], (tuples, tuples), {"a": tables, "b": tables}
        for _ in range(4):
            wide = (wide,) * 200
        endless: List[Any] = []
        endless.append(endless)
        # a tuple of twice itself, 60 levels deep, the outermost one a key
        levels = b"\xa9\1z\1a" + b"".join(b"\xa9\2r" + bytes((number + 1, 0, 0, 0)) + b"r" + bytes((number + 1, 0, 0, 0))
                                           for number in range(60))
        key = b"\xdb\x3e\0\0\0" + levels + b"{r\x3d\0\0\0N0"
        for data in (*map(marshal.dumps, (doubled, tuples, tables, wide, endless, [[tables, doubled]])), key):
            begin = time.thread_time()
            with self.subTest(data[:20]), self.assertRaisesRegex(ValueError, "too many places"):
                check.loads(data)
            self.assertLess(time.thread_time() - begin, 5)

    def test_shared_rows(self) -> None:
        row: List[Any] = [0] * 1000
        pair = (1, "x")
        for value in ([row] * 1000, dict.fromkeys(range(1000), row), [pair] * 5000,
                      {(pair, number): pair for number in range(999)}):
            self.assertEqual(value, check.loads(marshal.dumps(value)))

    def test_buffers(self) -> None:
        data = marshal.dumps([1, "x"])
        for received in (bytearray(data), memoryview(data)):
            self.assertEqual([1, "x"], check.loads(received))

    def test_linear_time(self) -> None:
        for piece, count in (
            (b"\xa9", 300000),
            (b"\xa9\x01", 200000),
            (b"r", 300000),
            (b"c", 300000),
            (b"(", 300000),
            (b"\xa9r\x00\x00\x00", 50000),
            (b"[\xff\x00\x00\x00", 50000),
        ):
            assert_linear(self, functools.partial(self.refuse, piece), count, piece)

    def refuse(self, piece: bytes, times: int) -> None:
        self.assertRaises((ValueError, EOFError), check.loads, piece * times)

    def test_random_data(self) -> None:
        choose = random.Random(20240229)
        pieces = (
            b"\xa9\x01",
            b"\xa8\x01\0\0\0",
            b"<\x01\0\0\0",
            b">\x01\0\0\0",
            b"\xbe\x02\0\0\0",
            b"{",
            b"\xfb",
            b"0",
            b"r\0\0\0\0",
            b"r\1\0\0\0",
            b"\xf2\0\0\0\0",
            b"N",
            b"i\1\0\0\0",
            b"\xe9\1\0\0\0",
            b"[\1\0\0\0",
            b"\xdb\2\0\0\0",
            b"z\1a",
            b"\xfa\1b",
            HUGE_TUPLE,
            HUGE_LIST,
            b")\2",
            b"c",
            b"s\1\0\0\0a",
            b"l\1\0\0\0\1\0",
            b"\xff",
            b"g" + b"\0" * 8,
            b"x\1a\1b",
            b":",
        )
        accepted = 0
        for _ in range(2000):
            data = b"".join(choose.choice(pieces) for _ in range(choose.randrange(1, 15)))
            try:
                check.loads(data)
            except (ValueError, EOFError, TypeError):
                continue
            accepted += 1
        self.assertGreater(accepted, 40)
