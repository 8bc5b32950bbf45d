"""
Python literals that are long: read container by container.

What ast.literal_eval makes on its way (a tree with an object for each number) takes hundreds of times the memory of the
text, no other thread runs while the compiler is at work, and nested brackets cost it fifteen seconds per megabyte.  So
only numbers, strings and constants that are not written in the usual way go to the compiler here, one by one; brackets,
commas and colons are read in a loop that other threads can interrupt.
"""
from __future__ import annotations

import ast
import re
import sys
from typing import Any, Dict, List, Optional, Tuple

from .. import hash_flooding
from .guard import STRING_OR_COMMENT

__all__ = ["evaluate"]

SHORT_CHARACTERS = 1024  # the compiler takes shorter texts at once; 15 milliseconds at most

_TOKEN = re.compile("([][(){},:]) | %s" % STRING_OR_COMMENT.pattern, re.VERBOSE | re.DOTALL)
# A comment goes on to the end of its line, in one way only: else "####" could be split in 8 ways, and so on.
_BLANK = re.compile(r"(?:[ \t\f\r\n]|\\\r?\n|#[^\n\r]*(?![^\n\r]))*\Z")
_SPACES = " \t\f\r\n"
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_MISSING: Any = object()

_INTEGER = re.compile(r"-?(?:[1-9][0-9]{0,99}|0)\Z")
_FLOAT = re.compile(r"-?(?:[1-9][0-9]{0,99}|0)\.[0-9]{1,99}(?:e[-+]?[0-9]{1,9})?\Z")
_IMAGINARY = re.compile(r"(?:[1-9][0-9]{0,99}|0)(?:\.[0-9]{1,99})?j\Z")
_PLAIN_STRING = re.compile(r"""'[^'\\\r\n\0]*'\Z|"[^"\\\r\n\0]*"\Z""")
_MOST_KNOWN_ATOMS = 5000
_KNOWN_ATOM_CHARACTERS = 40


def evaluate(text: str) -> Any:
    """
    Return the value of a literal, as ast.literal_eval does. For text that guard.check_complexity has let through.

    Raises:
        ValueError, SyntaxError, TypeError, MemoryError, RecursionError: it is no literal.
        SerializeError: it has too many keys that hash alike.
    """
    return ast.literal_eval(text) if len(text) <= SHORT_CHARACTERS else _Evaluation(text).run()


class _Container:
    """A container whose end has not been reached; so is the whole text.

    Attributes:
        elements: those read so far; of a dict, the values.
        keys: those of a dict; None for other containers, and as long as "{" may begin a set as well.
        key: of the element in progress, before its colon.
        value: the element in progress, if it is a container whose end was reached.
        is_call: it is the empty pair of parentheses of ``set()``.
    """

    __slots__ = ("bracket", "elements", "keys", "key", "value", "has_comma", "is_call")

    def __init__(self, bracket: str, is_call: bool = False) -> None:
        self.bracket = bracket
        self.elements: List[Any] = []
        self.keys: Optional[List[Any]] = None
        self.key = self.value = _MISSING
        self.has_comma = False
        self.is_call = is_call

    def add(self, element: Any) -> None:
        """Add the element in progress, whose end was reached."""
        key = self.key
        if key is not _MISSING:
            if self.keys is None:
                if self.elements:
                    raise SyntaxError("a mixture of a dict and a set")
                self.keys = []
            self.keys.append(key)
            self.key = _MISSING
        elif self.keys is not None:
            raise SyntaxError("a mixture of a dict and a set")
        self.elements.append(element)

    def finished(self) -> Any:
        """Return the value, when all elements are there."""
        elements = self.elements
        if self.bracket == "[":
            return elements
        if self.bracket == "(":
            return elements[0] if len(elements) == 1 and not self.has_comma else tuple(elements)
        keys = self.keys
        if keys is None:
            if len(elements) > hash_flooding.UNCHECKED_CONTAINERS:
                hash_flooding.check(elements)
            return set(elements) if elements else {}
        if len(keys) > hash_flooding.UNCHECKED_CONTAINERS:
            hash_flooding.check(keys)
        return dict(zip(keys, elements))


class _Evaluation:
    """Goes through a text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._outer: List[_Container] = []
        self._atoms: Dict[str, Any] = {"": _MISSING, "None": None, "True": True, "False": False}

    def run(self) -> Any:
        text, here, start = self._text, _Container("("), 0
        for match in _TOKEN.finditer(text):
            character = match.group(1)
            if character is None:
                continue  # a string or comment: part of what ends at the next comma, colon or bracket
            position = match.start()
            before = _MISSING if start == position else self._atom(text[start:position])
            start = position + 1
            if character == ",":
                here.add(self._element(here, before))
                here.value, here.has_comma = _MISSING, True
            elif character == ":":
                if here.bracket != "{" or here.key is not _MISSING:
                    raise SyntaxError("a colon in the wrong place")
                here.key, here.value = self._element(here, before), _MISSING
            elif character in _CLOSING:
                here = self._open(here, character, before)
            else:
                here = self._close(here, character, before)
        if self._outer:
            raise SyntaxError("a bracket was never closed")
        before = self._atom(text[start:])
        if before is not _MISSING or here.value is not _MISSING:
            here.add(self._element(here, before))
        if not here.elements:
            raise SyntaxError("there is nothing in the text")
        return here.finished()

    def _open(self, here: _Container, bracket: str, before: Any) -> _Container:
        """Enter a container; returns it."""
        is_call = before is set and bracket == "("
        if here.value is not _MISSING or before is not _MISSING and not is_call:
            raise SyntaxError("a comma is missing")
        self._outer.append(here)
        return _Container(bracket, is_call)

    def _close(self, closed: _Container, bracket: str, before: Any) -> _Container:
        """Leave a container; returns the one around it."""
        if not self._outer or _CLOSING[closed.bracket] != bracket:
            raise SyntaxError("brackets do not match")
        if before is not _MISSING or closed.value is not _MISSING or closed.key is not _MISSING:
            closed.add(self._element(closed, before))  # else there is nothing behind the last comma
        here = self._outer.pop()
        if closed.is_call:
            if closed.elements:
                raise ValueError("malformed: a call")
            here.value = set()
        else:
            here.value = closed.finished()
        return here

    @staticmethod
    def _element(here: _Container, before: Any) -> Any:
        """Return the element, or key, that ends here."""
        value = here.value
        if (value is _MISSING) is (before is _MISSING) or before is set:
            raise SyntaxError("an element or a comma is missing")
        return before if value is _MISSING else value

    def _atom(self, text: str) -> Any:
        """Return the value of what stands between brackets, commas and colons; _MISSING if it is blank."""
        known = self._atoms
        if text in known:
            return known[text]
        value = _atom(text)
        if len(text) < _KNOWN_ATOM_CHARACTERS and len(known) < _MOST_KNOWN_ATOMS:
            known[text] = value  # immutable, all of them
        return value


def _atom(text: str) -> Any:
    """As _Evaluation._atom; returns the class set for its name, which is the only one that can be called."""
    stripped = text.strip(_SPACES)
    if _INTEGER.match(stripped):
        return int(stripped)
    if _PLAIN_STRING.match(stripped):
        return stripped[1:-1]
    if _FLOAT.match(stripped):
        return float(stripped)
    if _IMAGINARY.match(stripped):
        return complex(stripped)
    if not stripped or _BLANK.match(text):
        return _MISSING
    if stripped == "set" and sys.version_info >= (3, 9):
        return set
    if stripped in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[stripped]
    # the line ends since it may have a comment behind it
    elements: Tuple[Any, ...] = tuple(ast.literal_eval("[%s \n]" % text))
    value, = elements
    return value
