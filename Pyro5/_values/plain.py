"""Check that values are plain data: values of exact builtin types, which run no other code when they are used.

A value that was received may be an object such as a proxy, which connects to some address when it is iterated, compared or
asked for its length. Code of this package that uses a received value checks it with these functions first.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

# Functions that convert an instance of a subclass to one of the base class, without running code of the subclass.
_BASE_VALUES: Tuple[Tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__), (float, float.__float__), (str, str.__str__))

SEQUENCES = frozenset((list, tuple))
COLLECTIONS = SEQUENCES | {set, frozenset}
_SCALARS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray))
_TEXTS = frozenset((str, bytes, bytearray))
_BRACKETS: Dict[type, Tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), dict: ("{", "}"), set: ("{", "}"),
                                         frozenset: ("frozenset({", "})")}
_LONGEST_TEXT = 200  # characters
_LONGEST_BITS = 1000


class Verbatim:
    """A text whose repr() is the text itself, for the parts of a signature."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def base_value(value: Any) -> Any:
    """Convert an instance of a subclass of int, float or str (such as numpy.float64) to that; return others unchanged."""
    for base, convert in _BASE_VALUES:
        if isinstance(value, base):
            return convert(value)
    return value


def is_texts(value: Any) -> bool:
    """Return whether a value is a list, tuple or set that contains only instances of str."""
    # a list is faster here than a generator: most collections are short, and all elements are texts
    return type(value) in COLLECTIONS and all([type(element) is str for element in value])


def item(value: Any, *keys: str) -> Any:
    """Return the item of nested dicts that these keys lead to, one after the other; None if it does not exist."""
    for key in keys:
        value = value.get(key) if type(value) is dict else None
    return value


def is_plain(value: Any) -> bool:
    """Return whether a value and everything in it is of an exact builtin type."""
    waiting: List[Any] = [value]  # a stack instead of recursion: the value may be nested deeply
    while waiting:
        each = waiting.pop()
        kind = type(each)
        if kind in COLLECTIONS:
            waiting.extend(each)
        elif kind is dict:
            waiting.extend(each)
            waiting.extend(each.values())
        elif kind not in _SCALARS:
            return False
    return True


def dict_in(values: Any, key: str) -> Dict[str, Any]:
    """Return the dict under a key of a received value; an empty one if there is none."""
    found = values.get(key) if type(values) is dict else None
    return found if type(found) is dict else {}


def text_in(values: Mapping[str, Any], key: str) -> Optional[str]:
    """Return the text under a key of a received dict; None if there is none, or it is empty."""
    found = values.get(key)
    return found if type(found) is str and found else None


def text_of(value: Any, most_chars: int = _LONGEST_TEXT) -> str:
    """Return a received text, or a short description of another received value, for the text of an error.

    The description is the beginning of the repr, where the value is plain. The time that it takes does not depend on the size
    of the value.

    Args:
        most_chars: of the description.
    """
    return value if type(value) is str else _short_repr(value, most_chars)[:most_chars]


def _short_repr(value: Any, room: int) -> str:
    """Return as much of the repr of a value as there is room for, and perhaps a little more."""
    # Cut before repr(): the text may have megabytes.
    kind = type(value)
    if kind in _TEXTS:
        return repr(value[:max(room, 0)]) + ("..." if len(value) > room else "")
    if kind is int and value.bit_length() > _LONGEST_BITS:  # Python may refuse to convert it, and takes quadratic time
        return "an int of %d bits" % value.bit_length()
    if kind in _SCALARS:
        return repr(value)
    if kind is not dict and kind not in COLLECTIONS:  # its repr() would run its code, and a proxy would connect
        return "an object of class %s" % kind.__name__
    begin, end = _BRACKETS[kind]
    parts: List[str] = []
    for element in value.items() if kind is dict else value:
        if room <= len(begin):
            parts.append("...")
            break
        if kind is dict:
            key = _short_repr(element[0], room)
            text = "%s: %s" % (key, _short_repr(element[1], room - len(key)))
        else:
            text = _short_repr(element, room - len(begin))
        parts.append(text)
        room -= len(text) + len(", ")
    if not parts and kind in (set, frozenset):
        return "%s()" % kind.__name__
    return begin + ", ".join(parts) + ("," if kind is tuple and len(value) == 1 else "") + end
