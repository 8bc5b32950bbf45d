"""Msgpack data that announces more elements than it has: refused before the library reserves memory for them."""
from __future__ import annotations

import contextlib
import random
import struct
import tracemalloc
import unittest
from typing import Any, Iterator
from unittest import mock

import msgpack

from Pyro5 import errors
from Pyro5._values import msgpack_check
from Pyro5.serializers import get_serializer

ALLOWED = 1500000  # bytes; what the library may reserve without a check, and overhead


def filled_up(head: bytes, size: int) -> bytes:
    return (head * 500 + bytes(size))[:size]


def announcing(size: int) -> Iterator[bytes]:
    """Yield data of some size, in which each list or dict is the first element of the one around it."""
    yield filled_up(b"\xdd" + struct.pack(">I", size - 5), size)
    yield filled_up(b"\xdc" + struct.pack(">H", min(size - 3, 65535)), size)
    yield filled_up(b"\xde" + struct.pack(">H", min(size // 2 - 3, 65535)) + b"\xa1k", size)
    yield filled_up(b"\xdf" + struct.pack(">I", size // 2 - 5) + b"\xa1k", size)
    blob = b"\x92\xc6" + struct.pack(">I", size // 2) + bytes(size // 2)
    yield blob + filled_up(b"\xdd" + struct.pack(">I", size // 2 - 11), size // 2 - 6)
    yield blob + filled_up(b"\xdc\0\x80", size // 2 - 6)
    yield filled_up(b"\x92\xc4\x02\xdc\xdd\xdd" + struct.pack(">I", size - 9), size)


class AnnouncedTests(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(tracemalloc.stop)
        tracemalloc.start()

    def memory(self, action: Any, data: bytes) -> int:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with self.assertRaises((errors.SerializeError, ValueError)):
            action(data)
        return tracemalloc.get_traced_memory()[1] - before - 3 * len(data)

    @unittest.skipUnless(hasattr(tracemalloc, "reset_peak"), "needs Python 3.9")
    def test_the_memory_that_is_reserved_stays_small(self) -> None:
        serializer = get_serializer("msgpack")
        for size in (msgpack_check.HARMLESS_SIZE, 601, 3900, 16000, 100000):
            for number, data in enumerate(announcing(size)):
                with self.subTest(size=size, number=number):
                    self.assertLess(self.memory(serializer.loads, data), ALLOWED)
                    self.assertLess(self.memory(lambda each: serializer.check_containers(each, 1), data), ALLOWED)

    def test_memory_of_incomplete_data_is_freed(self) -> None:
        serializer = get_serializer("msgpack")
        for data in announcing(msgpack_check.HARMLESS_SIZE):
            for decode in (serializer.loads, serializer.loadsCall, lambda data: serializer.check_containers(data, 1)):
                before = tracemalloc.get_traced_memory()[0]
                for _ in range(5):
                    with contextlib.suppress(ValueError, errors.SerializeError):
                        decode(data)
                self.assertLess(tracemalloc.get_traced_memory()[0] - before, 100000)

    def test_the_error_says_what_is_wrong(self) -> None:
        for data in announcing(4000):
            with self.subTest(data[:10]), self.assertRaisesRegex(errors.SerializeError, "announce"):
                get_serializer("msgpack").loads(data)

    def test_the_elements_may_not_be_in_a_text_behind_them(self) -> None:
        with self.assertRaises(errors.SerializeError):
            get_serializer("msgpack").loads(b"\xdc\x10\0" * 100 + b"\xda\x0f\0" + b"x" * 0xF00)


class ValidDataTests(unittest.TestCase):
    def equal(self, value: Any) -> None:
        data = msgpack.packb(value)
        expected = msgpack.unpackb(data)
        for kind in (bytes, bytearray, memoryview):
            self.assertEqual(expected, get_serializer("msgpack").loads(kind(data)))

    def value(self, rng: random.Random, depth: int) -> Any:
        kind = rng.randrange(9 if depth else 6)
        if kind >= 6:
            count = rng.choice((0, 1, 3, 30, 100) if depth > 1 else (0, 1, 3))
            if kind == 6:
                return {str(number): self.value(rng, depth - 1) for number in range(count)}
            return [self.value(rng, depth - 1) for _ in range(count)]
        return (None, rng.getrandbits(rng.randrange(1, 64)), -rng.getrandbits(40), rng.random(), "\u0721" * rng.randrange(400),
                bytes(rng.choices(range(256), k=rng.randrange(400))))[kind]

    def test_random_values_are_as_the_library_decodes_them(self) -> None:
        rng = random.Random(5)
        for _ in range(40):
            self.equal(self.value(rng, 2))

    def test_long_values_of_many_kinds(self) -> None:
        for value in (b"\xdd" * 100000, [b"\xdc" * 70000, "\u0721" * 40000], [0xDDDDDDDD] * 20000,
                      [[[b"\xdd"] * 20] * 20] * 20,
                      {"k%d" % number: number * 0xDC for number in range(70000)}, [[]] * 70000, "x" * 100000,
                      ["\u0721" * count for count in range(100)], [msgpack.ExtType(0x31, b"12345")] * 1000):
            data = msgpack.packb(value)
            with self.subTest(data[:20]):
                hook = {"ext_hook": lambda code, text: int(text)}
                self.assertEqual(msgpack.unpackb(data, **hook), get_serializer("msgpack").loads(data))

    def test_malformed_data_is_refused_as_the_library_does(self) -> None:
        for data in (b"\xdc\x10\0" * 100 + b"\xc1" + bytes(9000), b"\xdc\xff\xff" + bytes(65535) + b"\xdd",
                     b"\xdc\x10\0" + b"\x91" * 5000 + bytes(9000)):
            with self.subTest(data[:10]):
                with self.assertRaises(ValueError) as expected:
                    msgpack.unpackb(data)
                with self.assertRaises(type(expected.exception)):
                    get_serializer("msgpack").loads(data)

    def test_ordinary_data_is_not_walked_through(self) -> None:
        class Library:
            Unpacker = None

        for value in (["x" * 1000] * 1000, [{"name": "value", "number": 1}] * 1000):
            data = msgpack.packb(value)
            msgpack_check.check_announced(data, Library)
            msgpack_check.check_announced(memoryview(data), Library)

    def test_blobs_need_no_check(self) -> None:
        serializer = get_serializer("msgpack")
        for value in (b"\xdd" * 100000, "x" * 100000, b"\xdd" * 20000, [[b"\xdc" * 1000] * 7, 1],
                      ("obj", "echo", [b"\xdd" * 100000, 1.5, None, True, -1, 1 << 40], {}),
                      ("obj", "echo", ["x" * 100000, [{"a": 1}] * msgpack_check.FEW_ELEMENTS], {"k": [b"\xdd" * 100] * 60})):
            data = msgpack.packb(value)
            for kind in (bytes, bytearray, memoryview):
                with mock.patch.object(msgpack_check, "check_announced", side_effect=AssertionError):
                    self.assertEqual(msgpack.unpackb(data), serializer.loads(kind(data)))

    def test_what_is_not_mostly_a_blob(self) -> None:
        for data in (b"", b"\xc6", b"\xdb\0", b"\x93" + bytes(1000), b"\xda\0\x50" + bytes(1000), bytes(200) + b"\xc6\0\1"):
            self.assertFalse(msgpack_check.is_mostly_blob(data + bytes(10 ** 5)), data[:10])

    def test_long_lists_beside_a_blob(self) -> None:
        self.equal(["x" * 100000, list(range(1000))])
        self.equal(["x" * 100000, [[["\u0721"] * 129] * 3] * 200])


if __name__ == "__main__":
    unittest.main()
