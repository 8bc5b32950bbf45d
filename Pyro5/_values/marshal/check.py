"""Check marshal data from the network before the marshal module decodes it.

The marshal module is made for data that Python itself has written. A dozen bytes of an attacker can crash the interpreter (a
tuple that contains itself cannot be hashed), make it allocate gigabytes (lists and tuples are allocated with the size that the
data announces), or make it build code objects. A few hundred bytes can describe a value with exponentially many parts: a list
that contains the same list twice, which contains another list twice, and so on. All this is refused here. Other malformed data
is left to the marshal module, which raises its own errors.
"""
from __future__ import annotations

import functools
import gc
import marshal
import re
import struct
import sys
from typing import Any, Dict, List, Optional, Set, Tuple

from .. import containers
from ..containers import Data
from . import reader, scan
from .reader import FLAG, SIZES, read_int

if sys.version_info >= (3, 13):
    _loads = functools.partial(marshal.loads, allow_code=False)
else:
    _loads = marshal.loads

_LONG_DATA = 4096          # bytes
_FEW_OBJECTS = 50

# Patterns that may be harmful and that most data does not contain: a list or tuple of 4096 or more elements; the beginning
# of a code object (its type code, 3 small numbers, 2 or 3 others, then bytes or a reference). Numbers are assumed to be less
# than 2**24. A match can also be a part of a string, so a match only means that the data has to be examined more closely.
_LARGE_OR_CODE = (rb"(?<=[(\[\xdb\xa8])(?=.[^\0-\x0f]|..[^\0]|...[^\0])"
                  rb"|(?<=[c\xe3])(?=...\0...\0...\0.{8}(?:.{4})?[sr\xf3\xf2]...\0)")
_HARMFUL = re.compile(rb"[(\[\xdb\xa8c\xe3](?:" + _LARGE_OR_CODE + rb")", re.DOTALL)
# The same, and a tuple or frozenset that is numbered, so that later data can refer to it.
_SUSPECT = re.compile(rb"[\xa8\xa9\xbe(\[\xdbc\xe3](?:(?<=[\xa8\xa9\xbe])|" + _LARGE_OR_CODE + rb")", re.DOTALL)
_NUMBERS_CAN_BE_LARGER = 1 << 24
_REFERENCE_TO_FIRST = re.compile(rb"[r\xf2]\0\0\0\0")
_REFERENCE = re.compile(rb"[r\xf2]...\0", re.DOTALL)

# Limits of a value when a shared container is counted at each place that refers to it.
_MAX_CONTAINERS, _MAX_ELEMENTS = 100000, 4000000
_MORE_PER_BYTE = 16         # added to both limits for each byte of the data
_TOO_OFTEN = "the same containers are in too many places, or contain themselves"
_CONTAINERS_TO_SHARE = (b"\xdb", b"\xfb", b"\xa9", b"\xa8")   # lists, dicts, tuples; what is in a set is hashed
_CONTAINERS = frozenset((list, dict, tuple))
_BUT_CONTAINERS = bytes(code for code in range(256) if code & 0x7F not in b"()[<>{")


def check_containers(data: Data, most: int) -> None:
    """Check the number of containers in marshal data.

    Args:
        most: the maximum number.

    Raises:
        SerializeError: there are more containers.
    """
    # counting the bytes that can be type codes of containers is fast, and nearly all data has fewer than the limit
    if len(data) > most and len(bytes(data).translate(None, _BUT_CONTAINERS)) > most:
        count = reader.count_containers(bytes(data), most)
        if count > most:
            raise containers.too_many(count, most)


def loads(data: Data) -> Any:
    """Deserialize untrusted marshal data.

    Raises:
        ValueError, EOFError, TypeError: the data is malformed or harmful.
        SerializeError: the data has too many keys with the same hash.
    """
    if len(data) > _LONG_DATA and scan.is_blob(data):
        return _loads(data)
    # Most small messages match none of the patterns. For these the check costs two searches: nothing in them can refer to a
    # container, since the number of an object in so few bytes is less than 2**24.
    may_share: Optional[bool] = False
    has_few_objects, elements = True, 0
    if len(data) > _LONG_DATA or _HARMFUL.search(data) or _REFERENCE.search(data):
        may_share = scan.recognize(data)
        if may_share is None:
            has_few_objects, elements = _examine(data)
    try:
        # The marshal module would build dicts and sets before their keys can be checked, so large ones are read in Python.
        has_much = not has_few_objects and len(data) > _LONG_DATA or elements > len(data)
        if has_much and reader.has_costly_table(bytes(data), elements):
            value = reader.loads(bytes(data))
        else:
            value = _loads(data)
    except SystemError as x:  # a malformed code object, which does not match the pattern of a valid one
        raise ValueError("bad marshal data (%s)" % x) from x
    if _may_share(data) if may_share is None else may_share:
        _check_sharing(value, len(data))
    return value


def _may_share(data: Data) -> bool:
    """Return whether there may be containers that several places refer to."""
    if isinstance(data, memoryview):  # it has no search
        data = bytes(data)
    return (b"r" in data or b"\xf2" in data) and any([code in data for code in _CONTAINERS_TO_SHARE])


def _check_sharing(value: Any, size: int) -> None:
    """Refuse a value that contains itself, or that is much larger than its data because of shared containers."""
    # Budgets that are used up by walking the value as a tree. A value that contains itself exceeds every budget.
    containers, elements = _MAX_CONTAINERS + _MORE_PER_BYTE * size, _MAX_ELEMENTS + _MORE_PER_BYTE * size
    waiting = [value] if type(value) in _CONTAINERS else []
    while waiting:
        # a level of the tree at a time: half the time of one container after the other
        containers -= len(waiting)
        elements -= sum(map(len, waiting))
        if containers < 0 or elements < 0:
            raise ValueError("bad marshal data (%s)" % _TOO_OFTEN)
        waiting = [each for each in gc.get_referents(*waiting) if type(each) in _CONTAINERS]


def check(data: Data) -> bool:
    """Refuse data that is harmful for the marshal module.

    Returns:
        Whether the data is known to have few objects.

    Raises:
        ValueError, EOFError: the data is harmful.
    """
    return _examine(data)[0]


def _examine(data: Data) -> Tuple[bool, int]:
    """Refuse data as `check` does.

    Returns:
        The result of `check`, and the number of elements of all containers, with those of shared containers counted at each
        place; 0 if nothing is shared that could be a part of a key.
    """
    # Walking the objects is exact, but slow if there are many. Searching is slow if there are many bytes. So large data is
    # first walked with a small budget: often it is a few large objects.
    if len(data) > _LONG_DATA:
        walk = _Walk(data)
        if _walk(walk, _FEW_OBJECTS):
            return True, walk.elements
    data = bytes(data)      # indexing bytes is faster than indexing other buffers
    if not _is_suspect(data):
        return False, 0
    walk = _Walk(data)
    _walk(walk, len(data) + 1)
    return False, walk.elements


def _is_suspect(data: Data) -> bool:
    """Return whether the data contains bytes that are harmful if they are not a part of a string."""
    if len(data) >= _NUMBERS_CAN_BE_LARGER:
        return True
    # The whole is often a numbered tuple. This is harmful only if something in it refers to it.
    if data[:1] in (b"\xa8", b"\xa9") and _REFERENCE_TO_FIRST.search(data):
        return True
    has_references = _REFERENCE.search(data) is not None
    elements = 0
    for match in _SUSPECT.finditer(data):
        position = match.start()
        code = data[position]
        if code in b"c\xe3" or (code in b"\xa8\xa9\xbe" and has_references and position > 0):
            return True
        if code not in b"\xa9\xbe":
            elements += int.from_bytes(data[position + 1:position + 5], "little")
            if elements > len(data):
                return True
    return False


_REFERENCES = frozenset(b"r\xf2")
_SHORT_TEXT = frozenset(b"zZ\xfa\xda")
_SIMPLE = {**SIZES, **dict.fromkeys(b"NTFS.", 1)}
_SIZES = [_SIMPLE.get(code & ~FLAG, 0) for code in range(256)]      # by type code, including it; 0: not a simple object
_NUMBERED = [code >= FLAG and code & ~FLAG not in b"NTFS.0r" for code in range(256)]      # the flag has no effect on these


def _walk(walk: _Walk, budget: int) -> bool:
    """Walk from object to object as the marshal module would, up to the end or the first malformed object.

    Args:
        budget: the maximum number of objects.

    Returns:
        False if the budget was used up.
    """
    try:
        return _walk_on(walk, walk.data, budget)
    except (IndexError, struct.error):
        return True


def _walk_on(walk: _Walk, data: Data, budget: int) -> bool:
    # Iterative, because the data decides how deep it is nested. One branch per kind of object, the most frequent ones first.
    left, position = 1, 0       # objects that follow in the innermost container (negative: until a NULL)
    for _ in range(budget):
        while not left:
            if not walk.outer:
                return True
            left = walk.leave()
        left -= 1
        code = data[position]
        walk.numbers += _NUMBERED[code]
        if _SIZES[code]:
            position += _SIZES[code]
        elif code in _SHORT_TEXT:
            position += 2 + data[position + 1]
        elif code in _REFERENCES:
            walk.reference(bytes(data[position + 1:position + 5]))
            position += 5
        else:
            position, left = walk.special_object(position, left)
    return False


# The type codes of the other objects, without the flag.
_LONG_TEXT, _LONG_INT = b"sAatu", ord("l")
_HASHABLE, _SEQUENCES, _DICT, _NULL = b"()>", b"()[<>", ord("{"), ord("0")


class _Walk:
    """The state of a walk: open containers, and what is known about numbered objects."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self._elements_allowed = len(data)              # an object takes at least one byte
        self._max_elements = _MAX_CONTAINERS + _MORE_PER_BYTE * len(data)
        self.elements = 0                               # those of shared tuples are counted at each place
        self._sizes: Dict[bytes, int] = {}              # of finished tuples and frozensets, by number
        self.numbers = 0                                # how many objects have been numbered
        # The containers around the innermost one: the objects that follow there, and for the container in it its number and
        # the elements before it.
        self.outer: List[Tuple[int, bytes, int]] = []
        self._unfinished: Set[bytes] = set()            # numbers of tuples and frozensets

    def leave(self) -> int:
        """Finish the innermost container; return the number of objects that follow in the one around it."""
        left, number, elements = self.outer.pop()
        if number:
            self._unfinished.discard(number)
            self._sizes[number] = self.elements - elements
        return left

    def reference(self, number: bytes) -> None:
        """Process a reference to an earlier object."""
        if number in self._unfinished:
            raise ValueError("bad marshal data (a tuple that contains itself)")
        self.elements += self._sizes.get(number, 0)
        if self.elements > self._max_elements:  # hashing the tuple would take as many steps
            raise ValueError("bad marshal data (%s)" % _TOO_OFTEN)

    def special_object(self, position: int, left: int) -> Tuple[int, int]:
        """Process an object that is not simple; return the next position, and the number of objects that follow there."""
        kind = self.data[position] & ~FLAG
        if kind in _LONG_TEXT or kind == _LONG_INT:
            size = read_int(self.data, position + 1)[0]
            return position + 5 + (2 * abs(size) if kind == _LONG_INT else max(size, 0)), left
        if kind == _NULL:
            return position + 1, max(left, 0)       # the end of a dict; the marshal module refuses it anywhere else
        if kind == _DICT:
            self.outer.append((left, b"", 0))
            return position + 1, -1
        if kind in _SEQUENCES:
            return self._enter_sequence(position, left)
        raise ValueError("bad marshal data (unknown type code)")

    def _enter_sequence(self, position: int, left: int) -> Tuple[int, int]:
        code = self.data[position]
        short = code & ~FLAG == ord(")")
        count = self.data[position + 1] if short else read_int(self.data, position + 1)[0]
        # The marshal module allocates the whole container at once: all sizes together must be possible for this data.
        self._elements_allowed -= count
        if count < 0 or self._elements_allowed < 0:
            raise EOFError("marshal data too short")
        number = b""
        if code & FLAG and code & ~FLAG in _HASHABLE:
            number = (self.numbers - 1).to_bytes(4, "little")
            self._unfinished.add(number)
        self.outer.append((left, number, self.elements))
        self.elements += count
        return position + (2 if short else 5), count
