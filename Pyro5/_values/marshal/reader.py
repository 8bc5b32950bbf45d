"""Read marshal data with large tables: dicts and sets whose keys an attacker can choose to have the same hash.

The marshal module would build these without a check, see `hash_flooding`. They are found by a walk over the data. All of the
data is then decoded in Python, which is much slower than the marshal module, but checks the keys of each dict and set before
it is built.
"""
from __future__ import annotations

import marshal
import re
import struct
from itertools import islice
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from .. import hash_flooding
from ..containers import Data

FLAG = 0x80        # in a type code: the object is numbered, so that later data can refer to it
_MAX_DEPTH = 200
_MARSHAL_DEPTH = 2000   # the limit of the marshal module
_NULL: Any = object()       # ends a dict
_UNFINISHED: Any = object()
_SINGLETONS: Dict[int, Any] = {ord("N"): None, ord("T"): True, ord("F"): False, ord("."): ..., ord("0"): _NULL}
SIZES = {ord("i"): 5, ord("g"): 9, ord("y"): 17}
_SIZES_IN_WALK = {**SIZES, **dict.fromkeys(b"NTF.", 1), ord("r"): 5}
_RUNS = {code: re.compile(b"(?:[%c%c].{%d}){1,1000}" % (code, code | FLAG, SIZES[code] - 1), re.DOTALL) for code in b"ig"}
_RISKY = frozenset(b"ly()<>r")      # types whose values can be chosen to have the same hash, and references to any type
_RISKY_BYTES = bytes(_RISKY) + bytes(code | FLAG for code in _RISKY)
_COMPARED_INSIDE = frozenset(b"()>r")   # types of keys with elements that have to be compared, and references
_TUPLE_CODES = b"(", b")", b"\xa8", b"\xa9"
_HASHABLE_BYTES = b"()>\xa8\xa9\xbe"
_DIGITS_OF_64_BITS, _TOP_DIGIT = 5, 15      # digits of 15 bits; of the ints below 2**64 at most 16 have the same hash
_LARGE_TABLE = 1400                 # this many keys with the same hash take about 20 milliseconds
_MAX_COMPARED = 4000000             # keys with elements, times elements or bytes: about 20 milliseconds
_COMPARED_PER_BYTE = 16             # of a message with many small tables
_LARGE_FROZENSET = 50                # elements; each is compared with all of another frozenset if all hash alike
_SHORT_TEXT, _LONG_INT, _REFERENCE = b"zZ", ord("l"), ord("r")
_SIMPLE = frozenset(b"igylzZsAatu")
read_int: Callable[[Data, int], Tuple[int]] = struct.Struct("<i").unpack_from


def has_costly_table(data: bytes, elements: int = 0) -> bool:
    """Return whether the data, which `check` has accepted, may contain a dict or set with expensive keys.

    Keys that are tuples or frozensets cost more: all of their elements may have to be compared with those of each other key.

    Args:
        elements: the elements of all containers, with those of shared containers counted at each place.

    Raises:
        ValueError: the data contains a type code that current versions of Python do not write.
    """
    # Counting the bytes that can be type codes of risky keys decides for most data.
    risky = len(data) - len(data.translate(None, _RISKY_BYTES))
    if risky <= _LARGE_TABLE:
        containers = len(data) - len(data.translate(None, _HASHABLE_BYTES)) - (data[:1] in _TUPLE_CODES)
        if containers < 2 or risky * max(len(data), elements) <= _MAX_COMPARED:
            return False
    try:
        return _find_costly_table(data, elements if elements > len(data) else 0)
    except (IndexError, struct.error):  # malformed: the marshal module will say so
        return False


def _find_costly_table(data: bytes, elements: int) -> bool:
    position, left = 0, 1       # objects that follow in the innermost container (negative: until a NULL)
    table = _Table(0)
    compared, most = 0, _MAX_COMPARED + _COMPARED_PER_BYTE * len(data)
    outer: List[Tuple[int, _Table]] = []
    while True:
        while not left:
            compared += table.hashable * max(elements, position - table.begin)
            if compared > most or table.is_costly():
                return True
            if not outer:
                return False
            left, table = outer.pop()
        left -= 1
        code = data[position] & ~FLAG
        # in a dict, keys and values alternate, and `left` counts down from -1: keys are at even numbers
        if code in _RISKY and (table.is_set or left < 0 and not left & 1) and _is_risky(data, position, code):
            table.risky += 1
            table.hashable += code in _COMPARED_INSIDE
            if table.risky > _LARGE_TABLE:
                return True
        if code in b"()[<>{":
            outer.append((left, table))
            if len(outer) > _MARSHAL_DEPTH:
                return True     # The marshal module refuses this, and so will `loads`; without walking through all levels.
            table = _Table(position, code)
            position, left = begin_container(data, position, code)
        elif code == ord("0"):
            position, left = position + 1, max(left, 0)
        else:
            position += _SIZES_IN_WALK.get(code) or _size_of_simple_object(data, position, code)
            if left > 0 and code in _RUNS:
                position, left = _skip_run(data, position, code, left)


class _Table:
    """A container: where it begins, how many keys are risky, and how many of these may be tuples or frozensets."""

    __slots__ = ("begin", "is_set", "is_frozenset", "risky", "hashable")

    def __init__(self, begin: int, code: int = ord("[")) -> None:
        self.begin, self.is_set, self.is_frozenset = begin, code in b"<>", code == ord(">")
        self.risky = self.hashable = 0

    def is_costly(self) -> bool:
        """Return whether it is a frozenset that takes long to compare; the times of frozensets in frozensets multiply."""
        return self.is_frozenset and (self.risky > _LARGE_FROZENSET or self.hashable > 1)


def count_containers(data: bytes, most: int) -> int:
    """Count the containers up to the first malformed object; stop when there are more than `most`."""
    # Malformed data is not refused here: the marshal module raises the errors that callers expect.
    count = 0
    try:
        for _ in islice(_containers(data), most + 1):
            count += 1
    except (IndexError, struct.error, ValueError):
        pass    # malformed: the marshal module will say so
    return count


def _containers(data: bytes) -> Iterator[int]:
    """Yield the position after the head of each container."""
    position, left = 0, 1       # objects that follow in the innermost container (negative: until a NULL)
    outer: List[int] = []
    while True:
        while not left:
            if not outer:
                return
            left = outer.pop()
        left -= 1
        code = data[position] & ~FLAG
        if code in b"()[<>{":
            outer.append(left)
            position, left = begin_container(data, position, code)
            yield position
        elif code == ord("0"):
            position, left = position + 1, max(left, 0)
        else:
            position += _SIZES_IN_WALK.get(code) or _size_of_simple_object(data, position, code)
            if left > 0 and code in _RUNS:
                position, left = _skip_run(data, position, code, left)


def _is_risky(data: bytes, position: int, code: int) -> bool:
    if code != _LONG_INT:
        return True
    digits = abs(read_int(data, position + 1)[0])
    return digits >= _DIGITS_OF_64_BITS and (
        digits > _DIGITS_OF_64_BITS or int.from_bytes(data[position + 13:position + 15], "little") > _TOP_DIGIT)


def begin_container(data: Data, position: int, code: int) -> Tuple[int, int]:
    """Return the position of the first object in a container, and the number of objects (-1: until a NULL)."""
    if code == ord("{"):
        return position + 1, -1
    if code == ord(")"):
        return position + 2, data[position + 1]
    count = read_int(data, position + 1)[0]
    if count < 0:
        raise ValueError("bad marshal data (size out of range)")
    return position + 5, count


def _size_of_simple_object(data: bytes, position: int, code: int) -> int:
    if code in SIZES:
        return SIZES[code]
    if code not in _SIMPLE:
        raise ValueError("bad marshal data (unknown type code)")
    if code in _SHORT_TEXT:
        return 2 + data[position + 1]
    size = read_int(data, position + 1)[0]
    return 5 + (2 * abs(size) if code == _LONG_INT else max(size, 0))


def _skip_run(data: bytes, position: int, code: int, left: int) -> Tuple[int, int]:
    """Skip the following numbers of the same type, which long lists often consist of, by one regular expression match."""
    # One match skips up to 1000 numbers at the speed of C; the loop of the caller would take a step for each.
    run = _RUNS[code].match(data, position)
    if run is None:
        return position, left
    count = min(left, (run.end() - position) // SIZES[code])
    return position + count * SIZES[code], left - count


def loads(data: bytes) -> Any:
    """Deserialize data that `check` has accepted.

    Raises:
        ValueError, EOFError, TypeError: the data is malformed or nested too deeply.
        SerializeError: the data has too many keys with the same hash.
    """
    try:
        value = _Reader(data).read(0)
    except (IndexError, struct.error) as x:
        raise EOFError("marshal data too short") from x
    if value is _NULL:
        raise TypeError("bad marshal data (NULL object)")
    return value


class _Reader:
    """Reads a value object by object, with the same results as the marshal module."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._comparisons = 0
        self._references: List[Any] = []

    def read(self, depth: int) -> Any:
        """Read the next object."""
        code = self._data[self._position]
        kind = code & ~FLAG
        if kind in _SINGLETONS:
            self._position += 1
            return _SINGLETONS[kind]
        if kind == _REFERENCE:
            return self._refer()
        # The number is assigned before the elements are read, as in the marshal module; until then nothing can refer to it.
        number: Optional[int] = None
        if code & FLAG:
            number = len(self._references)
            self._references.append(_UNFINISHED)
        value = self._container(kind, depth) if kind in b"()[<>{" else self._simple(kind)
        if number is not None:
            self._references[number] = value
        return value

    def _refer(self) -> Any:
        number = read_int(self._data, self._position + 1)[0]
        self._position += 5
        if not 0 <= number < len(self._references) or self._references[number] is _UNFINISHED:
            raise ValueError("bad marshal data (invalid reference)")
        return self._references[number]

    def _simple(self, kind: int) -> Any:
        """Read a number or a text by the marshal module, which is not harmful for a single simple object."""
        start, data = self._position, self._data
        self._position += _size_of_simple_object(data, start, kind)
        if self._position > len(data):
            raise EOFError("marshal data too short")
        return marshal.loads(data[start:self._position])

    def _container(self, kind: int, depth: int) -> Any:
        if depth > _MAX_DEPTH:  # recursive: the limit keeps it below that of the interpreter
            raise ValueError("bad marshal data (nested too deeply)")
        self._position, count = begin_container(self._data, self._position, kind)
        if kind == ord("{"):
            return self._dict(depth)
        # `check` has made sure that the data has at least one byte for each element, so the list cannot be too long
        elements = [self.read(depth + 1) for _ in range(count)]
        if any([element is _NULL for element in elements]):
            raise TypeError("bad marshal data (NULL object)")
        if kind == ord("["):
            return elements
        if kind in b"()":
            return tuple(elements)
        self._comparisons = hash_flooding.check(elements, self._comparisons)  # before the set is built
        return set(elements) if kind == ord("<") else frozenset(elements)

    def _dict(self, depth: int) -> Dict[Any, Any]:
        keys: List[Any] = []
        values: List[Any] = []
        key = self.read(depth + 1)
        while key is not _NULL:
            value = self.read(depth + 1)
            if value is _NULL:
                break  # the marshal module also ignores a key without a value
            keys.append(key)
            values.append(value)
            key = self.read(depth + 1)
        self._comparisons = hash_flooding.check(keys, self._comparisons)
        return dict(zip(keys, values))
