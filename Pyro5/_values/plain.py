"""
Check plain data: values of exact builtin types, which run no code of their own when they are used.

A value that came over the network may be an object, such as a proxy, that connects to some address when it is iterated,
compared or measured. Code that uses such a value itself checks it with these functions first.
"""
from __future__ import annotations

from typing import Any, Callable, List, Tuple

__all__ = ["SEQUENCES", "COLLECTIONS", "base_value", "item", "is_plain", "is_texts", "text_of"]

# Functions that return the value of an instance of a subclass as the base class has it, without code of the subclass.
_BASE_VALUES: Tuple[Tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__), (float, float.__float__), (str, str.__str__))

SEQUENCES = frozenset((list, tuple))
COLLECTIONS = SEQUENCES | {set, frozenset}
_SCALARS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray))
_LONGEST_TEXT = 200  # characters


def base_value(value: Any) -> Any:
    """Return an instance of a subclass of int, float or str (such as numpy.float64) as that; any other value as it is."""
    for base, convert in _BASE_VALUES:
        if isinstance(value, base):
            return convert(value)
    return value


def is_texts(value: Any) -> bool:
    """Return whether a value is a list, tuple or set, and has only texts in it."""
    return type(value) in COLLECTIONS and all([type(element) is str for element in value])


def item(value: Any, *keys: str) -> Any:
    """Return what is found in nested dicts by these keys, one after the other; None if there is no such item."""
    for key in keys:
        value = value.get(key) if type(value) is dict else None
    return value


def is_plain(value: Any) -> bool:
    """Return whether a value, and everything in it, is of an exact builtin type."""
    waiting: List[Any] = [value]
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
    """Return the text that a peer sent, or a short description of what it sent instead."""
    if type(value) is str:
        return value
    return repr(value)[:_LONGEST_TEXT] if is_plain(value) else "an object of class %s" % type(value).__name__
