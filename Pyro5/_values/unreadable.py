"""Explain why received data cannot be converted to objects: build an error that names the place and a remedy.

This runs only after the conversion has failed, on data that was decoded again.
"""
from __future__ import annotations

from typing import Any, Callable, Iterable, List, Optional, Tuple, TypeVar

from .. import errors
from . import plain
from .classes import TAG

__all__ = ["explain"]

_Refusal = TypeVar("_Refusal", bound=errors.PyroError)
_BEGINNINGS = ("unsupported serialized class: ", "refused to deserialize types with double underscores in their name: ")
_MAX_VISITED = 10000  # values
_MAX_LEVELS = 100
_MAX_KEY_CHARS = 60
_ADVICE = ("send plain data instead, or register the type in both programs with register_types, or with "
           "register_class_to_dict and register_dict_to_class")


def explain(error: _Refusal, decode: Callable[[], List[Tuple[str, Any]]]) -> _Refusal:
    """Return the error for data with a class that is not accepted; the given error if the place is not found.

    Args:
        error: that of the conversion.
        decode: decodes the data again; returns its values, each with a description such as "argument 1".
    """
    text = str(error)
    beginning = next((each for each in _BEGINNINGS if text.startswith(each)), None)
    if beginning is None:
        return error
    tag, _, hint = text[len(beginning):].partition(" (")
    place = _place_of(tag, decode())
    if place is None:
        return error
    return type(error)("%s, in %s%s" % (text, place, "" if hint else ": " + _ADVICE))


def _place_of(tag: str, level: List[Tuple[str, Any]]) -> Optional[str]:
    """Return the path of the first dict with this tag; None if it is not among the first values."""
    # Level by level, so that a path is built for few values only, and without recursion: the data may be nested deeply.
    visited = 0
    for _ in range(_MAX_LEVELS):
        for path, value in level:
            if type(value) is dict and value.get(TAG) == tag:
                return path
        visited += len(level)
        if not level or visited > _MAX_VISITED:
            return None
        level = [part for path, value in level for part in _parts_of(path, value)]
    return None


def _parts_of(path: str, value: Any) -> Iterable[Tuple[str, Any]]:
    if type(value) is dict:
        for key, element in value.items():
            if type(element) is dict or type(element) in plain.SEQUENCES:
                key_text = '"%s"' % key[:_MAX_KEY_CHARS] if type(key) is str else plain.text_of(key, _MAX_KEY_CHARS)
                yield "%s[%s]" % (path, key_text), element
    elif type(value) in plain.SEQUENCES:
        for index, element in enumerate(value):
            if type(element) is dict or type(element) in plain.SEQUENCES:
                yield "%s[%d]" % (path, index), element
