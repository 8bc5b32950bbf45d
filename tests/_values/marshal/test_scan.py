"""What is recognized as harmless marshal data without examining every object."""
from __future__ import annotations

import marshal
import random
import unittest
from typing import Any, List

from Pyro5._values.marshal import check, reader, scan
from Pyro5.serializers import get_serializer

CODES = b"[({<>cr\xa9\xa8\xdb\xf2\0\x10z"
CODE = compile("1", "", "eval")
ROWS = [{"id": number, "name": "row %d" % number, "at": number / 7, "long": -0x5555555555 - number, "no": None, "yes": True,
         "tags": ["a", "b"]} for number in range(300)]


class Harmless(unittest.TestCase):
    def assert_harmless(self, value: Any) -> None:
        for version in (2, marshal.version):
            data = marshal.dumps(value, version)
            self.assertIsNotNone(scan.recognize(data), data[:100])
            self.assertIsNotNone(scan.recognize(memoryview(bytearray(data))))

    def test_ordinary_values(self) -> None:
        for value in (ROWS, ("object", "method", [ROWS, ROWS], {"a": 1}), [], {}, "", None,
                      [(number, "x") for number in range(20)], [2 ** 31, -2 ** 59]):
            self.assert_harmless(value)

    def test_texts_of_all_lengths(self) -> None:
        for text in ("a", "\u20ac", b"("):
            self.assert_harmless([text * length for length in range(100)])
            self.assert_harmless([text * 1000, text * 100000])

    def test_a_tuple_at_the_beginning(self) -> None:
        self.assertIs(False, scan.recognize(b"\xa9\x01i\0\0\0\0"))
        self.assertIs(False, scan.recognize(b"\xa8\x01\0\0\0i\0\0\0\0"))

    def test_calls_with_much_data(self) -> None:
        # Numbers and lengths of texts contain many bytes that could be parentheses.
        rows = [{"id": number * 10, "name": "(" * (number % 60), "at": number / 7} for number in range(2000)]
        self.assert_harmless(("object", "method", (rows, "x" * 500000), {"more": rows}))
        self.assert_harmless([(number, number / 7) for number in range(2000)])
        self.assert_harmless([list(range(10000)), ["x" * 100] * 5000, tuple(range(5000))])

    def test_containers_that_may_be_shared(self) -> None:
        tags = ["a"]
        self.assertIs(True, scan.recognize(marshal.dumps([tags, tags])))
        self.assertIs(False, scan.recognize(marshal.dumps([tags, tags], 2)))


class Blobs(unittest.TestCase):
    """Long texts and bytes objects, and calls with one, as the serializer writes them."""

    SIZE = 5000

    def blobs(self) -> List[bytes]:
        serializer, payloads = get_serializer("marshal"), []
        for value in (b"r" * 40000, "x" * 40000, "\u20ac" * 40000):
            payloads.append(serializer.value_payload(value))
            payloads += [serializer.call_payload(obj, method, (value,), {}) for obj in ("object", "\u20ac" * 200)
                         for method in ("echo", "m\xe9thod", "")]
        return [b"".join(payload) for payload in payloads]

    def test_they_are_recognized(self) -> None:
        for data in self.blobs():
            self.assertTrue(scan.is_blob(data), data[:50])
            self.assertTrue(scan.is_blob(memoryview(data)))
            self.assertEqual(marshal.loads(data), check.loads(data))

    def test_nothing_else_is(self) -> None:
        for value in (["x" * self.SIZE], ("o", "m", ["x" * self.SIZE, 1], {}), ("o", "m", ["x" * self.SIZE], {"a": 1}),
                      ("o", "m", [["x" * self.SIZE]], {}), ("o", 1, ["x" * self.SIZE], {}), ROWS, 5, None):
            for version in (2, marshal.version):
                self.assertFalse(scan.is_blob(marshal.dumps(value, version)), value)

    def test_mutations_have_the_same_form_or_are_not_recognized(self) -> None:
        rng = random.Random(11)
        for data in self.blobs():
            heads = 600 if data[0] == 40 else 10
            for _ in range(300):
                changed = bytearray(data)
                for _ in range(rng.randrange(1, 4)):
                    place = rng.choice((rng.randrange(heads), len(data) - 1 - rng.randrange(4))) % len(data)
                    changed[place] = rng.choice((rng.randrange(256), rng.choice(b"(){[<>cr\xe3\xdb\0us")))
                if rng.random() < 0.2:
                    del changed[rng.randrange(20)]
                self.assert_inert(bytes(changed))

    def assert_inert(self, data: bytes) -> None:
        if not scan.is_blob(data):
            return
        try:
            value = marshal.loads(data)
        except ValueError:
            return  # not UTF-8
        if type(value) is tuple:
            self.assertEqual([str, str, list, dict], list(map(type, value)))
            self.assertEqual((1, {}), (len(value[2]), value[3]))
            value = value[2][0]
        self.assertIn(type(value), (str, bytes))


class NotKnown(unittest.TestCase):
    def assert_not_known(self, data: bytes) -> None:
        self.assertIsNone(scan.recognize(data), data[:100])

    def test_what_may_be_harmful(self) -> None:
        for data in (b"\xa9\x01r\0\0\0\0",              # a tuple that contains itself
                     b"\xa9\x01\xf2\0\0\0\0", b"\xa8\x01\0\0\0r\0\0\0\0",
                     b"[\x01\0\0\0\xa9\x00",            # a numbered tuple, to which later data can refer
                     b"\xa8\0\x10\0\0", b"\xa8\0\0\0\x80", b"[\0\x10\0\0", b"(\0\0\0\xff", b"\xdb\0\0\x01\0",     # large
                     b"c" + bytes(20), b"\xe3" + bytes(20), b"?", b"<\0\0\0\0", b">\0\0\0\0", b"\xbe\0\0\0\0",
                     marshal.dumps(1j), marshal.dumps(1 << 80), marshal.dumps(CODE),
                     marshal.dumps([CODE])):
            self.assert_not_known(data)

    def test_many_tuples_that_may_be_keys(self) -> None:
        self.assert_not_known(marshal.dumps({(number,): None for number in range(2000)}))
        self.assert_not_known(marshal.dumps([{(number,): None for number in range(1000)}, "x" * 5000]))
        self.assert_not_known(marshal.dumps([{(number,): None for number in range(40)}, "x" * 200000]))
        self.assert_not_known(marshal.dumps([{}, *[(number,) for number in range(2000)]]))

    def test_large_containers_that_are_longer_than_the_data(self) -> None:
        for head in (b"[\0\x20\0\0", b"\xdb\0\x20\0\0", b"(\0\x20\0\0"):
            self.assertIsNotNone(scan.recognize(head + b"N" * 8192))
            self.assert_not_known(head + b"N" * 8000)
            self.assert_not_known(head * 3 + b"N" * 16000)

    def test_incomplete_data(self) -> None:
        for data in (b"z", b"z\x05abcd", b"u\x05\0\0", b"u\xff\xff\xff\xff", b"[\x01\0", b"i\0\0\0", b")",
                     b"s\xff\xff\xff\x7f"):
            self.assert_not_known(data)

    def test_damaged_data_that_is_harmless_is_not_refused(self) -> None:
        chance, known = random.Random(5), 0
        whole = marshal.dumps(("object", "method", [ROWS[:8], [1, 2]], {}))
        for _ in range(600):
            data = bytearray(whole)
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] = chance.choice(CODES + bytes([chance.randrange(256)]))
            if scan.recognize(bytes(data)) is not None:
                known += 1
                try:
                    check.check(bytes(data))
                except EOFError:
                    pass    # only found when containers are entered; the marshal module finds it, too
                self.assertFalse(reader.has_costly_table(bytes(data)))
                try:
                    marshal.loads(bytes(data))
                except (ValueError, EOFError, TypeError):
                    pass
        self.assertGreater(known, 30)


if __name__ == "__main__":
    unittest.main()
