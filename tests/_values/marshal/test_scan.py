"""What is recognized as harmless marshal data without examining every object."""
from __future__ import annotations

import marshal
import random
import unittest
from typing import Any

from Pyro5._values.marshal import check, reader, scan

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
