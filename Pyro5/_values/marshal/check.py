"""
Marshal data from somebody else: a look at it before the marshal module gets it.

That module is made for data that Python itself wrote. A dozen bytes from somebody else can crash the interpreter (a tuple
that contains itself cannot be hashed), have it allocate gigabytes (lists and tuples are made as long as the data says), or
make it build code objects; and some hundred can make a value in which everything is there twice, in something that is there
twice, and so on, which nobody can walk through to the end. Such data is refused here; everything else that is malformed is
left to that module.
"""
from __future__ import annotations

import functools
import marshal
import re
import struct
import sys
from typing import Any, Dict, List, Set, Tuple

from .. import containers
from ..containers import Data
from . import reader

__all__ = ["loads", "check", "check_containers"]

if sys.version_info >= (3, 13):
    _loads = functools.partial(marshal.loads, allow_code=False)
else:
    _loads = marshal.loads

_LONG_DATA = 4096          # bytes
_FEW_OBJECTS = 50

# What could do harm, and most data has not got. A list or tuple of 4096 elements and more; the beginning of a code object
# (its type, 3 small numbers, 2 or 3 others, then bytes or a reference). Numbers are taken to be less than 2**24. All of it
# may be found in the middle of strings, too.
_LARGE_OR_CODE = (rb"(?<=[(\[\xdb\xa8])(?=.[^\0-\x0f]|..[^\0]|...[^\0])"
                  rb"|(?<=[c\xe3])(?=...\0...\0...\0.{8}(?:.{4})?[sr\xf3\xf2]...\0)")
_HARMFUL = re.compile(rb"[(\[\xdb\xa8c\xe3](?:" + _LARGE_OR_CODE + rb")", re.DOTALL)
# The same, and a tuple or frozenset that later data may refer to.
_SUSPECT = re.compile(rb"[\xa8\xa9\xbe(\[\xdbc\xe3](?:(?<=[\xa8\xa9\xbe])|" + _LARGE_OR_CODE + rb")", re.DOTALL)
_NUMBERS_CAN_BE_LARGER = 1 << 24
_REFERENCE_TO_FIRST = re.compile(rb"[r\xf2]\0\0\0\0")
_REFERENCE = re.compile(rb"[r\xf2]...\0", re.DOTALL)

# What a value may come to when all that is shared in it is counted as often as it occurs.
_MOST_CONTAINERS, _MOST_ELEMENTS = 100000, 4000000
_MOST_TIMES = 16            # so many more of both for each byte of the data
_TOO_OFTEN = "the same containers are in too many places"
_CONTAINERS_TO_SHARE = (b"\xdb", b"\xfb", b"\xa9", b"\xa8")   # lists, dicts, tuples; what is in a set is hashed
_CONTAINERS = frozenset((list, dict, tuple))
_BUT_CONTAINERS = bytes(code for code in range(256) if code & 0x7F not in b"()[<>{")


def check_containers(data: Data, most: int) -> None:
    """
    Check the number of containers in marshal data.

    Raises:
        SerializeError: there are more than that.
    """
    if len(data) > most and len(bytes(data).translate(None, _BUT_CONTAINERS)) > most:
        count = reader.count_containers(bytes(data), most)
        if count > most:
            raise containers.too_many(count, most)


def loads(data: Data) -> Any:
    """
    Deserialize marshal data that may be hostile.

    Raises:
        ValueError, EOFError, TypeError: it is malformed, or would do harm.
        SerializeError: it has too many keys that hash alike.
    """
    if len(data) > _LONG_DATA or _HARMFUL.search(data) or _REFERENCE.search(data):  # hardly ever in small messages
        has_few_objects, elements = _look(data)
    else:
        has_few_objects, elements = True, 0
    try:
        has_much = not has_few_objects and len(data) > _LONG_DATA or elements > len(data)
        if has_much and reader.has_costly_table(bytes(data), elements):
            value = reader.loads(bytes(data))
        else:
            value = _loads(data)
    except SystemError as x:  # a code object whose parts make no sense at all: too unlike a real one to be found above
        raise ValueError("bad marshal data (%s)" % x) from x
    if _may_share(data):
        _check_sharing(value, len(data))
    return value


def _may_share(data: Data) -> bool:
    """Tell whether there may be containers that are in several places."""
    if isinstance(data, memoryview):  # in which nothing can be looked for
        data = bytes(data)
    return (b"r" in data or b"\xf2" in data) and any([code in data for code in _CONTAINERS_TO_SHARE])


def _check_sharing(value: Any, size: int) -> None:
    """Refuse a value that is endless, or in effect much larger than its data, since the same containers are everywhere."""
    containers, elements = _MOST_CONTAINERS + _MOST_TIMES * size, _MOST_ELEMENTS + _MOST_TIMES * size
    waiting = [value] if type(value) in _CONTAINERS else []
    while waiting:
        container = waiting.pop()
        containers -= 1
        elements -= len(container)
        if containers < 0 or elements < 0:
            raise ValueError("bad marshal data (%s)" % _TOO_OFTEN)
        inside = container.values() if type(container) is dict else container
        waiting += [element for element in inside if type(element) in _CONTAINERS]


def check(data: Data) -> bool:
    """
    Refuse data that the marshal module must not see.

    Returns:
        whether there are certainly few objects in it.

    Raises:
        ValueError, EOFError: the data would do harm.
    """
    return _look(data)[0]


def _look(data: Data) -> Tuple[bool, int]:
    """Refuse data as `check` does.

    Returns:
        what `check` returns, and the number of elements of all containers, those of shared ones as often as they occur; 0 if
        nothing is shared that could be in a key.
    """
    # looking at objects one by one is exact, but slow if there are many; so is searching if there are many bytes
    if len(data) > _LONG_DATA:
        walk = _Walk(data)
        if _walk(walk, _FEW_OBJECTS):
            return True, walk.elements
    data = bytes(data)      # of which single bytes are got faster than of other buffers
    if not _is_suspect(data):
        return False, 0
    walk = _Walk(data)
    _walk(walk, len(data) + 1)
    return False, walk.elements


def _is_suspect(data: Data) -> bool:
    """Search for bytes that would do harm if they were what they look like."""
    if len(data) >= _NUMBERS_CAN_BE_LARGER:
        return True
    # often the whole is a tuple that could be referred to
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


_FLAG = 0x80                # in a type code: later data may refer to the object, by its number among those with the flag
_REFERENCES = frozenset(b"r\xf2")
_SHORT_TEXT = frozenset(b"zZ\xfa\xda")


def _sizes_of_simple_objects() -> List[int]:
    sizes = [0] * 256
    for kinds, size in ((b"NTFS.", 1), (b"i", 5), (b"g", 9), (b"y", 17)):
        for kind in kinds:
            sizes[kind] = sizes[kind | _FLAG] = size
    return sizes


_SIZES = _sizes_of_simple_objects()     # by type code, which is included; 0: not a simple object
_NUMBERED = [code >= _FLAG and code & ~_FLAG not in b"NTFS.0r" for code in range(256)]      # these have the flag in vain


def _walk(walk: _Walk, budget: int) -> bool:
    """
    Go from object to object as the marshal module would, as far as that would get.

    Args:
        budget: the number of objects after which to give up.

    Returns:
        False if it gave up.
    """
    try:
        return _walk_on(walk, walk.data, budget)
    except (IndexError, struct.error):
        return True


def _walk_on(walk: _Walk, data: Data, budget: int) -> bool:
    left, position = 1, 0       # objects to come in the innermost container (negative: until a NULL)
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
_read_int = struct.Struct("<i").unpack_from


class _Walk:
    """What a walk has to keep in mind."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self._elements_allowed = len(data)              # an object has one byte at least
        self._most_elements = _MOST_CONTAINERS + _MOST_TIMES * len(data)
        self.elements = 0                              # those of shared tuples as often as they occur
        self._sizes: Dict[bytes, int] = {}              # of finished tuples and frozensets, by number
        self.numbers = 0                                # of the objects with the flag
        # containers: objects to come, number of the one in there, elements before it
        self.outer: List[Tuple[int, bytes, int]] = []
        self._unfinished: Set[bytes] = set()     # by number

    def leave(self) -> int:
        """Finish the innermost container; gives the number of objects to come in the one around it."""
        left, number, elements = self.outer.pop()
        if number:
            self._unfinished.discard(number)
            self._sizes[number] = self.elements - elements
        return left

    def reference(self, number: bytes) -> None:
        """Deal with a reference to an earlier object."""
        if number in self._unfinished:
            raise ValueError("bad marshal data (a tuple that contains itself)")
        self.elements += self._sizes.get(number, 0)
        if self.elements > self._most_elements:  # hashing it would take as many steps
            raise ValueError("bad marshal data (%s)" % _TOO_OFTEN)

    def special_object(self, position: int, left: int) -> Tuple[int, int]:
        """Deal with an object that is not simple; gives the position behind it, and the objects to come there."""
        kind = self.data[position] & ~_FLAG
        if kind in _LONG_TEXT or kind == _LONG_INT:
            size = _read_int(self.data, position + 1)[0]
            return position + 5 + (2 * abs(size) if kind == _LONG_INT else max(size, 0)), left
        if kind == _NULL:
            return position + 1, max(left, 0)       # the end of a dict; elsewhere the marshal module complains
        if kind == _DICT:
            self.outer.append((left, b"", 0))
            return position + 1, -1
        if kind in _SEQUENCES:
            return self._enter_sequence(position, left)
        raise ValueError("bad marshal data (unknown type code)")

    def _enter_sequence(self, position: int, left: int) -> Tuple[int, int]:
        code = self.data[position]
        short = code & ~_FLAG == ord(")")
        count = self.data[position + 1] if short else _read_int(self.data, position + 1)[0]
        self._elements_allowed -= count
        if count < 0 or self._elements_allowed < 0:
            raise EOFError("marshal data too short")
        number = b""
        if code & _FLAG and code & ~_FLAG in _HASHABLE:
            number = (self.numbers - 1).to_bytes(4, "little")
            self._unfinished.add(number)
        self.outer.append((left, number, self.elements))
        self.elements += count
        return position + (2 if short else 5), count
