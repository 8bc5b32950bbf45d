"""Marshal data with large tables is read in Python: to the same values, and keys that hash alike take no time."""
from __future__ import annotations

import marshal
import random
import struct
import unittest
from typing import Any
from unittest import mock

from Pyro5 import errors
from Pyro5._values.marshal import check, reader

MERSENNE = (1 << 61) - 1  # its multiples all hash to 0
SHARED = ["shared"]


class Values(unittest.TestCase):
    def test_same_results_as_the_marshal_module(self) -> None:
        for value in (None, True, False, ..., 0, -1, 2 ** 31, -2 ** 100, 1.5, float("inf"), 1 - 2j, "", "é", "x" * 300,
                      "\ud800",
                      b"", b"x" * 300, [], [1, [2, "x"]], (), (1,), tuple(range(300)), {}, {"a": {1: (2,)}, (1, "b"): None},
                      set(), {1, "x", 2.5}, frozenset((1, (2, 3))), [SHARED, SHARED, (SHARED,)], {"k": "k", "l": ["k"]}):
            for version in (2, 3, 4):
                data = marshal.dumps(value, version)
                with self.subTest(value=value, version=version):
                    self.assertEqual(marshal.loads(data), reader.loads(data))
                    self.assertIs(type(marshal.loads(data)), type(reader.loads(data)))

    def test_shared_objects_stay_shared(self) -> None:
        first, second = reader.loads(marshal.dumps([SHARED, SHARED]))
        self.assertIs(first, second)

    def test_malformed(self) -> None:
        for data in (b"", b"0", b"[\1\0\0\0", b"[\1\0\0\0" b"0", b"r\0\0\0\0", b"z\5abc", b"c", b"\xdb\1\0\0\0r\0\0\0\0", b"?",
                     b"[\1\0\0\0" * 1000, b"{N"):
            with self.subTest(data), self.assertRaises((ValueError, EOFError, TypeError)):
                reader.loads(data)

    def test_random_damage(self) -> None:
        """It raises the documented errors only; and what both read is the same."""
        rng = random.Random(20240302)
        sound = [marshal.dumps(value) for value in ([1, "x", (2, 3.5)], {"a": [1], (1, 2): {3}}, [SHARED, SHARED],
                                                    (b"x", None, 10 ** 20))]
        same = 0
        for _ in range(5000):
            data = bytearray(rng.choice(sound))
            for _ in range(rng.randrange(1, 3)):
                data[rng.randrange(len(data))] = rng.choice(b"()[{<>0NizrlgyT\0\1\2\xdb\xe9\xfb")
            try:
                check.check(bytes(data))
                value = reader.loads(bytes(data))
            except (ValueError, EOFError, TypeError):
                continue
            self.assertEqual(repr(marshal.loads(data)), repr(value))
            same += 1
        self.assertGreater(same, 100)


class LargeTables(unittest.TestCase):
    def read(self, value: Any) -> bool:
        """Return whether a value is read in Python."""
        with mock.patch.object(reader, "loads", wraps=reader.loads) as loads:
            self.assertEqual(value, check.loads(marshal.dumps(value)))
        return loads.called

    def test_which_data_is_read_in_python(self) -> None:
        """Only what might be a dict, or set, of keys that hash alike."""
        numbers = range(20000)
        for value in ({(number, "x"): 1 for number in numbers}, {number << 100 for number in numbers},
                      [{"a": frozenset(complex(number, 1) for number in numbers)}],
                      {number << 100: [number] for number in numbers}):
            self.assertTrue(self.read(value))
        for value in (list(map(float, numbers)), list(numbers), [(number, "x") for number in numbers],
                      {n: str(n) for n in numbers},
                      {"k%d" % number: (number, [1, 2.5]) for number in numbers}, [{"a": 1, "b": (1, 2)} for _ in numbers],
                      {number << 32: 1.5 for number in numbers}, [{1.5, 2.5}, b"()" * 50000, "lyry" * 50000],
                      set(map(str, numbers)),
                      {"a": {"b": list(numbers)}, "c": {(1, 2): "x" * 100000}}, [None, True] * 40000):
            self.assertFalse(self.read(value))

    def test_keys_that_hash_alike(self) -> None:
        """The data is put together by hand: making the set, or dict, would take as long as reading it."""
        count = (5000).to_bytes(4, "little")
        numbers = [marshal.dumps(number * MERSENNE, 2) for number in range(5000)]
        complexes = [marshal.dumps(complex(1000003 * number, -number), 2) for number in range(5000)]
        pairs = [b")\2z\1x" + number for number in numbers]
        in_shared = b"\xfa\1s" + b"".join(b")\2r\0\0\0\0" + number + b"N" for number in numbers)
        for data in (b"<" + count + b"".join(numbers), b">" + count + b"".join(complexes), b"{" + b"N".join(pairs) + b"N0",
                     b"[\1\0\0\0{z\1a{" + b"z\1y".join(numbers) + b"N00", b"{" + in_shared[:3] + b"N" + in_shared[3:] + b"0"):
            with self.subTest(data[:20]), self.assertRaisesRegex(errors.SerializeError, "same hash"):
                check.loads(data)

    def test_half_the_limit_of_numbers_is_checked_in_small_data_too(self) -> None:
        numbers = b"".join(marshal.dumps(number * MERSENNE, 2) + b"N" for number in range(1500))
        self.assertLess(len(numbers), 25000)
        with self.assertRaisesRegex(errors.SerializeError, "same hash"):
            check.loads(b"{" + numbers + b"0")

    def test_long_tuples_that_hash_alike(self) -> None:
        """Each is compared with the others, element by element."""
        tuples = [b"(" + struct.pack("<i", 1001) + b"N" * 1000 + marshal.dumps(number * MERSENNE, 2) for number in range(100)]
        for data in (b"{" + b"N".join(tuples) + b"N0", b"<" + struct.pack("<i", 100) + b"".join(tuples)):
            with self.assertRaisesRegex(errors.SerializeError, "same hash"):
                check.loads(data)

    def test_nested_tuples_that_hash_alike(self) -> None:
        """Their elements are equal, but not the same objects, on each level; nothing but a reference is repeated."""
        tuples, keys, number = [], [], -1
        for key in range(300):
            tuples.append(b"\xa9\2NN")
            tuples += [b"\xa9\2" + b"r" + struct.pack("<i", number + level) + b"r" + struct.pack("<i", number + level)
                       for level in range(1, 8)]
            number += 8
            keys.append(b")\2r" + struct.pack("<i", number) + marshal.dumps(key * MERSENNE, 2) + b"N")
        data = b")\2[" + struct.pack("<i", len(tuples)) + b"".join(tuples) + b"{" + b"".join(keys) + b"0"
        with self.assertRaisesRegex(errors.SerializeError, "same hash"):
            check.loads(data)

    def test_frozensets_that_hash_alike(self) -> None:
        """Each element of one is looked up in the other, where all have the same hash."""
        sets = [b">" + struct.pack("<i", 200) + b"".join([marshal.dumps((200 * number + index) * MERSENNE, 2)
                                                           for index in range(200)]) for number in range(60)]
        with self.assertRaisesRegex(errors.SerializeError, "same hash"):
            check.loads(b"{" + b"N".join(sets) + b"N0")

    def test_frozensets_that_are_almost_equal(self) -> None:
        """Each element is found in the other set, but only after all the others were compared with it."""
        numbers = b"".join([marshal.dumps(number * MERSENNE, 2) for number in range(1389)])
        sets = [b">" + struct.pack("<i", 1390) + numbers + marshal.dumps((5000 + number) * MERSENNE, 2) for number in range(5)]
        with self.assertRaisesRegex(errors.SerializeError, "same hash"):
            check.loads(b"{" + b"N".join(sets) + b"N0")

    def test_frozensets_in_frozensets_in_frozensets(self) -> None:
        """Each level multiplies the time of the one below by 1000 or so."""
        parts = [b"\xec" + marshal.dumps(number * MERSENNE, 2)[1:] for number in range(60)]
        for level in range(3):
            for left_out in range(60 if level < 2 else 1):
                chosen = [60 * level + index for index in range(60) if index % 30 != left_out % 30][:50 - left_out // 30]
                references = [b"r" + struct.pack("<i", each) for each in chosen]
                parts.append(b"\xbe" + struct.pack("<i", len(chosen)) + b"".join(references))
        with self.assertRaisesRegex(errors.SerializeError, "same hash"):
            check.loads(b"[" + struct.pack("<i", len(parts)) + b"".join(parts))

    def test_many_small_tables_add_up(self) -> None:
        tuples = [b")\x64" + b"N" * 99 + marshal.dumps(number * MERSENNE, 2) for number in range(40)]
        one = b"{" + b"N".join(tuples) + b"N0"
        self.assertEqual(40, len(check.loads(one)))
        with self.assertRaisesRegex(errors.SerializeError, "same hash"):
            check.loads(b"[\x64\0\0\0" + one * 100)

    def test_small_tables_of_tuples_are_left_to_the_marshal_module(self) -> None:
        for value in ({(number, number % 7): 1.5 for number in range(300)}, [{(1, 2): ("x", 3)} for _ in range(5000)],
                      ["the (rare) error is %d" % number for number in range(3000)]):
            self.assertFalse(self.read(value))

    def test_truncated_data(self) -> None:
        data = marshal.dumps({(number, "x"): 1 for number in range(20000)})
        for end in (70000, 70001, 70002, 70003, 70004, 70005, 70006, 70007, len(data) - 1):
            with self.assertRaises((ValueError, EOFError, TypeError)):
                check.loads(data[:end])


if __name__ == "__main__":
    unittest.main()
