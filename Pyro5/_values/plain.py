"""
Check that values are plain data: values of exact builtin types, which run no other code when they are used.

A value that was received may be an object such as a proxy, which connects to some address when it is iterated, compared or
asked for its length. Code of this package that uses a received value checks it with these functions first.
"""
from __future__ import annotations

from typing import Any, Callable, List, Tuple

__all__ = ["SEQUENCES", "COLLECTIONS", "base_value", "item", "is_plain", "is_texts", "text_of"]

# Functions that convert an instance of a subclass to one of the base class, without running code of the subclass.
_BASE_VALUES: Tuple[Tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__), (float, float.__float__), (str, str.__str__))

SEQUENCES = frozenset((list, tuple))
COLLECTIONS = SEQUENCES | {set, frozenset}
_SCALARS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray))
_LONGEST_TEXT = 200  # characters


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


def text_of(value: Any) -> str:
    """Return a received text, or a short description of another received value, for the text of an error."""
    if type(value) is str:
        return value
    # repr() of any other object would run its code, and a proxy in a list would connect
    return repr(value)[:_LONGEST_TEXT] if is_plain(value) else "an object of class %s" % type(value).__name__
