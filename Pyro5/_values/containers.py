"""
How many containers (lists, dicts, tuples, sets) serialized data holds, found without building any of them.

A container takes two bytes of a message and some hundred bytes of memory, and microseconds where it is read in Python: of
all that a message can hold, it costs most for its size.
"""
from __future__ import annotations

import re
from typing import Union

from .. import errors

__all__ = ["Data", "check_text", "too_many"]

Data = Union[bytes, bytearray, memoryview]

_TEXT_BUT_OPENINGS = bytes(code for code in range(256) if code not in b"[{(")
_TEXT_BUT_ELEMENTS = bytes(code for code in range(256) if code not in b"[{(,")
# Linear time: each character is matched by one part of the pattern only.
_STRING = re.compile(rb"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|['"].*""", re.DOTALL)


def check_text(data: Data, most: int, elements: bool = False) -> None:
    """
    Check the number of containers (and of commas, if elements is set) in JSON or Python literals.

    Raises:
        SerializeError: there are more than that.
    """
    others = _TEXT_BUT_ELEMENTS if elements else _TEXT_BUT_OPENINGS
    if len(data) <= most or len(bytes(data).translate(None, others)) <= most:
        return
    count = len(_STRING.sub(b"", bytes(data)).translate(None, others))  # what is in strings does not count
    if count > most:
        raise too_many(count, most)


def too_many(count: int, most: int) -> errors.SerializeError:
    """Build the error for data with more containers than are allowed."""
    return errors.SerializeError("the data has too many lists, dicts, tuples and sets: at least %d, and %d are allowed here"
                                 % (count, most))
