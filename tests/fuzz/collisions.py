"""Marshal data with dicts and sets whose keys have the same hash, or are compared with each other for another reason.

The bytes are put together here: building such a table as a value would take as long as decoding it without protection.
"""
from __future__ import annotations

import marshal
import random
import struct
from typing import Callable, List

MERSENNE = (1 << 61) - 1  # its multiples all have the hash 0
COUNTS = (2, 10, 50, 100, 700, 1500, 3000)
_FLAG = 0x80  # the value gets a number, by which later data can refer to it


def _length(count: int) -> bytes:
    return struct.pack("<i", count)


def _numbers(rng: random.Random, count: int) -> List[bytes]:
    first = rng.choice((0, 1, 2 ** 40))
    return [marshal.dumps((first + number) * MERSENNE, 2) for number in range(count)]


def _tuples(rng: random.Random, count: int) -> List[bytes]:
    others = [marshal.dumps(rng.choice((0, "x", None, 2.5)), 2) for _ in range(rng.choice((0, 1, 3, 40)))]
    return [b"(" + _length(1 + len(others)) + b"".join(others) + key for key in _numbers(rng, count)]


def _nested_tuples(rng: random.Random, count: int) -> List[bytes]:
    depth = rng.choice((1, 5, 30))
    return [(b"(" + _length(1)) * depth + key for key in _numbers(rng, count)]


def _frozensets(rng: random.Random, count: int) -> List[bytes]:
    size = rng.choice((1, 5, 60, 200))
    elements = b"".join(_numbers(rng, size))
    return [b">" + _length(size + 1) + elements + marshal.dumps(number, 2) for number in range(max(1, count // size))]


def _equal_frozensets(rng: random.Random, count: int) -> List[bytes]:
    """Frozensets of frozensets, which are equal, but not the same objects."""
    key = marshal.dumps("x", 2)
    for _ in range(rng.choice((1, 3, 12))):
        key = b">" + _length(1) + key
    return [key] * min(count, 100)


def _references(rng: random.Random, count: int) -> List[bytes]:
    """The first key, and references to it (or to what is not there)."""
    first = bytes([b"("[0] | _FLAG]) + _length(1) + _numbers(rng, 1)[0]
    return [first] + [b"r" + _length(rng.choice((0, 0, 0, 1, 9)))] * (count - 1)


_KEYS: List[Callable[[random.Random, int], List[bytes]]] = [_numbers, _tuples, _nested_tuples, _frozensets, _equal_frozensets,
                                                            _references]


def table(rng: random.Random) -> bytes:
    """Return the data of a dict, set or frozenset with keys of one kind, sometimes of two."""
    keys = rng.choice(_KEYS)(rng, rng.choice(COUNTS))
    if rng.random() < 0.2:
        keys += rng.choice(_KEYS)(rng, rng.choice(COUNTS[:4]))
    kind = rng.choice((b"{", b"<", b">"))
    if kind == b"{":
        return b"{" + b"".join(key + rng.choice((b"N", b"i" + _length(1))) for key in keys) + b"0"
    announced = len(keys) if rng.random() < 0.9 else rng.choice((0, len(keys) - 1, len(keys) + 1, 0x7fffffff))
    return kind + _length(announced) + b"".join(keys)


def call(rng: random.Random) -> bytes:
    """Return the payload of a call with such a table as its argument, or as a key or an element within it."""
    value = table(rng)
    for _ in range(rng.choice((0, 0, 1, 3))):
        value = rng.choice((b"[" + _length(1) + value, b"(" + _length(2) + value + b"N", b"<" + _length(1) + value,
                            b"{" + marshal.dumps("a", 2) + value + b"0"))
    return (b"(" + _length(4) + marshal.dumps("calls", 2) + marshal.dumps("echo", 2) + b"(" + _length(1) + value
            + marshal.dumps({}, 2))
