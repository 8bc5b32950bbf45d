"""Count the containers (lists, dicts, tuples, sets) in serialized data without decoding it.

A container takes two bytes of a message, but some hundred bytes of memory, and microseconds where it is decoded by Python
code. So of all values, empty containers cost the most for their size in a message.
"""
from __future__ import annotations

import re
from typing import Union

from .. import errors

Data = Union[bytes, bytearray, memoryview]

_TEXT_BUT_OPENINGS = bytes(range(256)).translate(None, b"[{(")
_TEXT_BUT_ELEMENTS = _TEXT_BUT_OPENINGS.translate(None, b",")
# Linear time: each character is matched by one part of the pattern only.
_STRING = rb"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|['"].*"""
# Removing the strings creates an object for each text between two of them, which takes up to 30 times the memory of the
# data. In pieces of 1000 strings, this memory is limited.
_PIECE = rb"(?:[^'\"]+|%s){1,1000}" % _STRING


def check_text(data: Data, most: int, elements: bool = False) -> None:
    """Check the number of containers in JSON or Python literals.

    Args:
        most: the maximum number.
        elements: count commas as well.

    Raises:
        SerializeError: there are more containers.
    """
    # First an upper limit, which is much faster to compute: brackets in strings are counted too. Nearly all data passes here.
    others = _TEXT_BUT_ELEMENTS if elements else _TEXT_BUT_OPENINGS
    if len(data) <= most or len(bytes(data).translate(None, others)) <= most:
        return
    # Without brackets in strings. Most programs never come here: the patterns are compiled when they are used.
    string = re.compile(_STRING, re.DOTALL)
    count = sum(len(string.sub(b"", piece.group()).translate(None, others))
                for piece in re.finditer(_PIECE, bytes(data), re.DOTALL))
    if count > most:
        raise too_many(count, most)


def too_many(count: int, most: int) -> errors.SerializeError:
    """Build the error for data with too many containers."""
    return errors.SerializeError("the data has too many lists, dicts, tuples and sets: at least %d, and %d are allowed here"
                                 % (count, most))
