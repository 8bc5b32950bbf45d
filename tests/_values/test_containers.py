"""The number of containers in serialized text."""
from __future__ import annotations

import random
import tracemalloc
import unittest

from Pyro5 import errors
from Pyro5._values.containers import check_text


def counted(data: bytes) -> int:
    """Count brackets outside of strings, character by character."""
    count, position, quote = 0, 0, b""
    while position < len(data):
        character = data[position:position + 1]
        if quote:
            position += character == b"\\"  # the next character is part of the string in any case
            if character == quote:
                quote = b""
        elif character in (b"'", b'"'):
            quote = character
        else:
            count += character in (b"[", b"{", b"(")
        position += 1
    return count


class CheckText(unittest.TestCase):
    def test_brackets_in_strings_do_not_count(self) -> None:
        source = random.Random(5)
        for _ in range(2000):
            data = bytes(source.choice(b"'\"[\\a{(,") for _ in range(source.randrange(30)))
            if source.random() < 0.1:
                data = data * 200
            count = counted(data)
            check_text(memoryview(data), count)
            if count:
                with self.assertRaisesRegex(errors.SerializeError, "at least %d, and" % count):
                    check_text(data, count - 1)

    def test_commas_count_if_requested(self) -> None:
        check_text(b"[1,2,',']", 1)
        check_text(b"[1,2,',']", 3, elements=True)
        with self.assertRaises(errors.SerializeError):
            check_text(b"[1,2,',']", 2, elements=True)

    def test_many_strings_take_no_memory(self) -> None:
        data = b'{"a":' * 20000
        tracemalloc.start()
        try:
            with self.assertRaises(errors.SerializeError):
                check_text(data, 10000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(peak, 10 * len(data))


if __name__ == "__main__":
    unittest.main()
