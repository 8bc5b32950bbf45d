"""Recognize marshal data of ordinary values, which does not have to be examined object by object.

A regular expression passes over a thousand objects at a time, in 50 ns each; the loop of `check` takes 700 ns for each. In
marshal data, objects follow each other without separators, and each begins with what determines its size. So a match that
begins with an object ends with one.
"""
from __future__ import annotations

import functools
import re
import struct
from typing import Callable, Optional, Pattern, Tuple

from ..containers import Data

__all__ = ["recognize"]

_SHORT, _SHORTER = 64, 32           # bytes; longer texts are not matched, but passed one by one
_MAX_TEXTS = 200
_BYTE_SIZES, _INT_SIZES = frozenset(b"zZ\xfa\xda"), frozenset(b"uatAs\xf5\xe1\xf4\xc1\xf3")
_NUMBERED_TUPLES, _SHORT_NUMBERED_TUPLE, _TUPLES = (b"\xa8", b"\xa9"), 0xA9, frozenset(b"()")
_FEW_ELEMENTS = frozenset(bytes((byte, 0, 0)) for byte in range(16))    # after the first byte of the number: less than 4096
_REFERENCES_TO_FIRST = b"r\0\0\0\0", b"\xf2\0\0\0\0"
# Tuples may be keys with equal hashes: the same limits as in `reader`.
_MAX_TUPLES, _MAX_COMPARED = 1400, 4000000
_read_int: Callable[[Data, int], Tuple[int]] = struct.Struct("<i").unpack_from


@functools.lru_cache(maxsize=None)
def _objects(with_tuples: bool) -> Pattern[bytes]:
    """Return the pattern of up to 1000 objects that are harmless in any order. Compiling it takes some milliseconds.

    Args:
        with_tuples: tuples belong to them if they are not numbered, so that nothing refers to them.
    """
    short_texts = rb"[zZ\xfa\xda](?:%s)" % _sizes(_SHORT, b"")
    other_texts = rb"[uatAs\xf5\xe1\xf4\xc1\xf3](?:%s)" % _sizes(_SHORTER, b"\0\0\0")
    # references, numbers, constants, dicts and their ends, lists of up to 4095 elements
    others = rb"[ri\xf2\xe9]....|[g\xe7].{8}|[NTF0{\xfb]|[\[\xdb].[\0-\x0f]\0\0"
    # integers of up to 60 bits, in digits of two bytes; the number of digits is negative if the integer is
    long_ints = rb"[l\xec](?:%s)" % b"|".join([re.escape(struct.pack("<i", sign * digits)) + b".{%d}" % (2 * digits)
                                             for digits in (1, 2, 3, 4) for sign in (1, -1)])
    tuples = [rb"\).|\(.[\0-\x0f]\0\0"] if with_tuples else []
    return re.compile(rb"(?:%s){1,1000}" % b"|".join([short_texts, others, *tuples, other_texts, long_ints]), re.DOTALL)


def _sizes(most: int, zeros: bytes) -> bytes:
    return b"|".join([re.escape(bytes((size,)) + zeros) + b".{%d}" % size for size in range(most)])


def recognize(data: Data) -> Optional[bool]:
    """Return whether containers in the data may be shared, if all its objects are known to be harmless; None if they are not.

    Harmless are strings, numbers, constants, lists, dicts, and tuples that are not shared. The first object may be a numbered
    tuple to which nothing refers.
    """
    try:
        return _recognize(data)
    except (IndexError, struct.error, ValueError):
        return None


def _recognize(data: Data) -> Optional[bool]:
    match = _objects(with_tuples=False).match
    forbidden = _REFERENCES_TO_FIRST if data[:1] in _NUMBERED_TUPLES else ()
    position, texts, tuples = _after_tuple(data) if forbidden else 0, 0, 0
    may_share = [False, False]  # there are references, and numbered containers
    while position < len(data):
        found = match(data, position)
        if found is not None:
            position, objects = found.end(), found.group()
            if any([reference in objects for reference in forbidden]):
                return None
            tuples += tuples and objects.count(b"(") + objects.count(b")")
            may_share[0] |= b"r" in objects or b"\xf2" in objects
            may_share[1] |= b"\xdb" in objects or b"\xfb" in objects
        elif data[position] in _TUPLES and not tuples:
            # From here on, all parentheses are counted, also those in texts.
            tuples, match = 1, _objects(with_tuples=True).match
        else:
            position = _after_text(data, position)
            texts += 1
        if texts > _MAX_TEXTS or tuples > _MAX_TUPLES:
            return None
    return all(may_share) if position == len(data) and tuples * len(data) <= _MAX_COMPARED else None


def _after_tuple(data: Data) -> int:
    """Return the position after the beginning of the first object, a tuple. Raises ValueError if it is large."""
    if data[0] == _SHORT_NUMBERED_TUPLE:
        return 2
    if bytes(data[2:5]) not in _FEW_ELEMENTS:
        raise ValueError("a large tuple")
    return 5


def _after_text(data: Data, position: int) -> int:
    """Return the position after a text. Raises ValueError: it is something else; IndexError, struct.error: the end."""
    code = data[position]
    if code in _BYTE_SIZES:
        return position + 2 + data[position + 1]
    size = _read_int(data, position + 1)[0] if code in _INT_SIZES else -1
    if size < 0:
        raise ValueError("not a text")
    return position + 5 + size
