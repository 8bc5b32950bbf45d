"""Recognize marshal data of ordinary values, which does not have to be examined object by object.

A regular expression passes over a thousand objects at a time, in 50 ns each; the loop of `check` takes 700 ns for each. In
marshal data, objects follow each other without separators, and each begins with what determines its size. So a match that
begins with an object ends with one.
"""
from __future__ import annotations

import functools
import re
import struct
from typing import Callable, Optional, Pattern, Tuple, Union

from ..containers import Data
from .reader import FLAG, begin_container, read_int

_SHORT, _SHORTER = 64, 32           # bytes; longer texts are not matched, but passed in a loop
_BYTE_SIZES, _INT_SIZES = frozenset(b"zZ\xfa\xda"), frozenset(b"uatAs\xf5\xe1\xf4\xc1\xf3")
_NUMBERED_TUPLES = b"\xa8", b"\xa9"
_TUPLES, _HEADS, _DICTS = frozenset(b"()"), frozenset(b"()[\xdb"), frozenset(b"{\xfb")
_REFERENCES_TO_FIRST = b"r\0\0\0\0", b"\xf2\0\0\0\0"
_FEW_TUPLES = 50    # are passed one by one
# Tuples may be keys with equal hashes: the same limits as in `reader`.
_MAX_TUPLES, _MAX_COMPARED = 1400, 4000000
# The head of a call, of a list of one argument, and an empty dict. Sizes of 2**31 and more, which the marshal module refuses,
# are larger than the data.
_CALL, _ONE_ARGUMENT, _NO_NAMES = b"(\4\0\0\0", b"[\1\0\0\0", b"{0"
_NAMES, _BLOBS = frozenset((b"u", b"t")), frozenset((b"u", b"s"))
_read_text: Callable[[Data, int], Tuple[bytes, int]] = struct.Struct("<cI").unpack_from
_read_head_and_text: Callable[[Data, int], Tuple[bytes, bytes, int]] = struct.Struct("<5scI").unpack_from


@functools.lru_cache(maxsize=None)
def _objects(with_tuples: bool, with_dicts: bool) -> Pattern[bytes]:
    """Return the pattern of some thousand objects that are harmless in any order. Compiling it takes some milliseconds.

    Args:
        with_tuples: tuples belong to them if they are not numbered, so that nothing refers to them.
    """
    # References and numbers, which take 5 bytes; constants, dicts and their ends; lists of up to 4095 elements. Two of the
    # former in one step, as in records whose keys are references, take a third less time.
    five_bytes, lists = rb"[ri\xf2\xe9]....", rb"[\[\xdb].[\0-\x0f]\0\0"
    one_byte = rb"[NTF0{\xfb]" if with_dicts else b"[NTF]"
    two_in_a_row = five_bytes + one_byte + b"{0,9}" + five_bytes
    short_texts = rb"[zZ\xfa\xda](?:%s)" % _sizes(_SHORT, b"")
    other_texts = rb"[uatAs\xf5\xe1\xf4\xc1\xf3](?:%s)" % _sizes(_SHORTER, b"\0\0\0")
    others = b"|".join([five_bytes, rb"[g\xe7].{8}", one_byte + b"+", lists])
    # integers of up to 60 bits, in digits of two bytes; the number of digits is negative if the integer is
    long_ints = rb"[l\xec](?:%s)" % b"|".join([re.escape(struct.pack("<i", sign * digits)) + b".{%d}" % (2 * digits)
                                             for digits in (1, 2, 3, 4) for sign in (1, -1)])
    tuples = [rb"\).|\(.[\0-\x0f]\0\0"] if with_tuples else []
    kinds = b"|".join([two_in_a_row, short_texts, others, *tuples, other_texts, long_ints])
    return re.compile(rb"(?:%s){1,1000}" % kinds, re.DOTALL)


def _sizes(most: int, zeros: bytes) -> bytes:
    return b"|".join([re.escape(bytes((size,)) + zeros) + b".{%d}" % size for size in range(most)])


def is_blob(data: Data) -> bool:
    """Return whether data is exactly one long text or bytes object, or a call with one as its only argument, in the form in
    which the serializer writes them. Saves 120 byte codes of a value, and 500 of a call.
    """
    try:
        code, size = _read_text(data, 0)
        if code in _BLOBS:
            return size + 5 == len(data)
        # (object id, method, [argument], {}): what is read from a wrong position does not count, as one of the codes is wrong
        call, code, size = _read_head_and_text(data, 0)
        method_code, method_size = _read_text(data, 10 + size)
        position = 15 + size + method_size
        arguments, blob_code, blob_size = _read_head_and_text(data, position)
    except struct.error:
        return False
    return (call == _CALL and code in _NAMES and method_code in _NAMES and arguments == _ONE_ARGUMENT and blob_code in _BLOBS
            and position + 10 + blob_size + len(_NO_NAMES) == len(data) and data[-len(_NO_NAMES):] == _NO_NAMES)


def recognize(data: Data) -> Optional[bool]:
    """Return whether containers in the data may be shared, if all its objects are known to be harmless; None if they are not.

    Harmless are strings, numbers, constants, lists, dicts, and tuples that are not shared. The first object may be a numbered
    tuple to which nothing refers.
    """
    try:
        return _recognize(bytes(data) if isinstance(data, memoryview) else data)  # a view has no search
    except (IndexError, struct.error, ValueError):
        return None


def _recognize(data: Union[bytes, bytearray]) -> Optional[bool]:
    begins_with_tuple = data[:1] in _NUMBERED_TUPLES
    position, elements = begin_container(data, 0, data[0] & ~FLAG) if begins_with_tuple else (0, 0)  # of large containers
    # Tuples before the first dict, such as the arguments of a call, are not parts of keys: any number is harmless. Then, a few
    # are passed one by one. If there are more, all parentheses are counted, also those in texts and numbers.
    match = _objects(with_tuples=True, with_dicts=False).match
    has_dicts, few, tuples = False, _FEW_TUPLES, 0
    while position < len(data):
        found, code = match(data, position), data[position]
        if found is not None:
            start, position = position, found.end()
            if begins_with_tuple and max([data.find(each, start, position) for each in _REFERENCES_TO_FIRST]) >= 0:
                return None
            if not few:
                tuples += found.group().count(b"(") + found.group().count(b")")
        elif code in _DICTS and not has_dicts:
            has_dicts, match = True, _objects(with_tuples=False, with_dicts=True).match
        elif code in _HEADS:
            position, count = begin_container(data, position, code & ~FLAG)
            elements += count
            if code in _TUPLES and has_dicts:
                few, tuples = max(few - 1, 0), tuples + 1
                match = match if few else _objects(with_tuples=True, with_dicts=True).match
        else:
            position = _after_texts(data, position)
        if tuples > _MAX_TUPLES:
            return None
    # The marshal module allocates a container at once: large ones must be possible in this data.
    if position != len(data) or elements > len(data) or tuples * len(data) > _MAX_COMPARED:
        return None
    # There are references, and numbered containers.
    return (b"r" in data or b"\xf2" in data) and (b"\xdb" in data or b"\xfb" in data)


def _after_texts(data: Data, position: int) -> int:
    """Return the position after a text of any length, and those that follow it.

    Raises ValueError: it is something else; IndexError, struct.error: the end.
    """
    start, end = position, len(data)
    while position < end:
        code = data[position]
        if code in _BYTE_SIZES:
            position += 2 + data[position + 1]
        elif code in _INT_SIZES and read_int(data, position + 1)[0] >= 0:
            position += 5 + read_int(data, position + 1)[0]
        elif position > start:
            break
        else:
            raise ValueError("not a text")
    return position
