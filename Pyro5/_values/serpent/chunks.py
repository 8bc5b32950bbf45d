"""
Python literals that are long: evaluated piece by piece.

What ast.literal_eval makes on its way (a tree with an object for each number) takes hundreds of times the memory of the
text, and no other thread runs while the compiler is at work. In pieces both stay small.
"""
from __future__ import annotations

import ast
import re
from typing import Any, List, Optional

from ..hash_flooding import Hashes
from .guard import STRING_OR_COMMENT

__all__ = ["evaluate"]

PIECE_CHARACTERS = 8192

# What is skipped (strings, comments, short and simple containers), or, as a group, what makes the structure.
_SIMPLE = r"\[[^][(){}'\"\#]{0,100}\] | \([^][(){}'\"\#]{0,100}\) | \{[^][(){}'\"\#]{0,100}\}"
_TOKEN = re.compile("%s | %s | ([][(){},:])" % (STRING_OR_COMMENT.pattern, _SIMPLE), re.VERBOSE | re.DOTALL)
# A comment goes on to the end of its line, in one way only: else "####" could be split in 8 ways, and so on.
_BLANK = re.compile(r"(?:[ \t\f\r\n]|\\\r?\n|#[^\n\r]*(?![^\n\r]))*\Z")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_NOTHING: Any = object()


def evaluate(text: str) -> Any:
    """
    Give the value of a literal, as ast.literal_eval does. For text that literalguard.check_complexity has let through.

    Raises:
        ValueError, SyntaxError, TypeError, MemoryError, RecursionError: it is no literal.
        SerializeError: it has too many keys that hash alike.
    """
    return ast.literal_eval(text) if len(text) <= PIECE_CHARACTERS else _Evaluation(text).run()


class _Container:
    """A container (the whole, too, is one) whose end has not been reached.

    Of its elements, those before `piece` are in `values`; the one in progress begins at `element`. That one may have a part
    that is a long container itself, and was evaluated when it ended: `inner`, up to `inner_end`; or `key`, before the colon.
    """

    def __init__(self, bracket: str, start: int) -> None:
        self.bracket = bracket
        self.start = self.piece = self.element = start
        self.colon = -1
        self.has_comma = False
        self.values: Any = None     # a list, dict, or set, as soon as something is in it
        self.hashes: Optional[Hashes] = None
        self.begin_element(start)

    def begin_element(self, start: int) -> None:
        self.element = start
        self.colon = -1
        self.is_long = False
        self.key = self.inner = _NOTHING
        self.inner_end = start

    @property
    def is_text(self) -> bool:
        """Whether nothing of it has been evaluated."""
        return self.values is None and not self.is_long

    def add_all(self, values: Any) -> None:
        """Add elements: a list of them, or a dict or set if it is one."""
        if self.bracket == "{":
            self.hashes = self.hashes or Hashes()
            self.hashes.add(values)
        if self.values is None:
            self.values = values
        elif type(values) is not type(self.values):
            raise SyntaxError("a mixture of a dict and a set")
        elif type(values) is list:
            self.values += values
        else:
            self.values.update(values)

    def finished(self) -> Any:
        """Give the value, when all elements are there."""
        if self.bracket != "(":
            return self.values
        return tuple(self.values) if self.has_comma or len(self.values) != 1 else self.values[0]


class _Evaluation:
    """Goes through a text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._outer: List[_Container] = []
        self._here = _Container("(", 0)

    def run(self) -> Any:
        here = self._here
        for match in _TOKEN.finditer(self._text):
            character = match.group(1)
            if character is None:
                continue
            if character == ",":
                self._comma(here, match.start())
            elif character == ":":
                self._colon(here, match.start())
            elif character in _CLOSING:
                self._outer.append(here)
                here = _Container(character, match.end())
            else:
                here = self._close(here, character, match.start())
        if self._outer:
            raise SyntaxError("a bracket was never closed")
        return ast.literal_eval(self._text) if here.is_text else self._finish(here, len(self._text))

    def _comma(self, here: _Container, position: int) -> None:
        here.has_comma = True
        if here.is_long:
            self._end_long_element(here, position)
        elif position - here.piece >= PIECE_CHARACTERS:
            self._evaluate_piece(here, position)
        here.begin_element(position + 1)

    def _colon(self, here: _Container, position: int) -> None:
        if here.colon >= 0 or here.bracket != "{":
            if here.is_long:
                raise SyntaxError("a colon in the wrong place")
            return  # malformed, as will be found out
        if here.is_long:
            self._require_blank(here.inner_end, position)
            here.key, here.inner = here.inner, _NOTHING
        here.colon = position

    def _close(self, closed: _Container, character: str, position: int) -> _Container:
        """Leave a container; gives the one around it."""
        if not self._outer or _CLOSING[closed.bracket] != character:
            raise SyntaxError("brackets do not match")
        here = self._outer.pop()
        if closed.is_text and position - closed.start < PIECE_CHARACTERS:
            return here     # it is part of a piece of that one
        value = self._finish(closed, position)
        self._require_blank(max(here.element, here.colon + 1), closed.start - 1)
        if not here.is_long:
            self._begin_long_element(here)
        elif here.inner is not _NOTHING:
            raise SyntaxError("a comma is missing")
        here.inner, here.inner_end = value, position + 1
        return here

    def _begin_long_element(self, here: _Container) -> None:
        here.is_long = True
        if here.element > here.piece:
            self._evaluate_piece(here, here.element - 1)
        if here.colon >= 0:
            here.key = self._single(here.element, here.colon)

    def _end_long_element(self, here: _Container, end: int) -> None:
        if here.inner is _NOTHING:
            here.inner = self._single(here.colon + 1, end)
        else:
            self._require_blank(here.inner_end, end)
        if here.bracket != "{":
            here.add_all([here.inner])
        elif here.colon >= 0:
            here.add_all({here.key: here.inner})
        else:
            here.add_all({here.inner})
        here.piece = end + 1

    def _finish(self, here: _Container, end: int) -> Any:
        if here.is_long:
            self._end_long_element(here, end)
        elif here.values is None or not self._is_blank(here.piece, end):
            self._evaluate_piece(here, end, is_last=True)
        return here.finished()

    def _evaluate_piece(self, here: _Container, end: int, is_last: bool = False) -> None:
        """Evaluate the elements before `end` that have not been evaluated yet."""
        opening, closing = ("{", "}") if here.bracket == "{" else ("[", "]")
        comma = "" if is_last else ","  # which makes a second one, or one with nothing before it, a mistake
        # the line ends since the last of them may have a comment behind it
        here.add_all(ast.literal_eval("%s%s \n%s%s" % (opening, self._text[here.piece:end], comma, closing)))
        here.piece = end + 1

    def _single(self, start: int, end: int) -> Any:
        value, = ast.literal_eval("[%s \n]" % self._text[start:end])
        return value

    def _is_blank(self, start: int, end: int) -> bool:
        return _BLANK.match(self._text, start, end) is not None

    def _require_blank(self, start: int, end: int) -> None:
        if not self._is_blank(start, end):
            raise SyntaxError("a comma is missing")
