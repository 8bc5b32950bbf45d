"""Counting the work of regular expressions: a backtracking matcher over the parse tree, and texts that make it work hard.

The re module does not report how many steps a match takes, and times depend on the machine.  The matcher here tries the
same alternatives in the same order as the re module and counts what it tries, so that ambiguous patterns (nested
quantifiers that can split a text in many ways) are found by numbers that are the same everywhere.
"""
from __future__ import annotations

import importlib
import itertools
import re
import sys
from typing import Any, Callable, Iterator, List, Optional, Pattern, Sequence, Tuple, Union

parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

Text = Union[str, bytes]
Node = Tuple[Any, Any]
Continue = Callable[[int], Optional[int]]

MAX_STEPS = 8000
MAX_PUMPS = 20
MAX_PREFIXES = 4
SUFFIXES = ("", "\x00", "\n\x00", "]")
_CHARACTERS = "a0 \n\t.-_'\"#\\x(:é~"
_CATEGORIES = {"CATEGORY_DIGIT": r"\d", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S",
               "CATEGORY_WORD": r"\w", "CATEGORY_NOT_WORD": r"\W"}
_CHARACTER_NODES = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


class TooManySteps(Exception):
    """Raised when a match takes more than MAX_STEPS."""


class StepCounter:
    """Matches a pattern against texts and counts the steps.

    Args:
        pattern: a compiled pattern, of str or bytes.
    """

    def __init__(self, pattern: Pattern[Any]) -> None:
        self.nodes: List[Node] = list(parser.parse(pattern.pattern, pattern.flags))
        self.flags = pattern.flags
        self.steps = 0
        self._text = ""

    def search(self, text: str, anchored: bool) -> int:
        """Return the number of steps that a match (anchored) or a search through all of the text takes.

        Raises:
            TooManySteps: there are more than MAX_STEPS.
        """
        self.steps, self._text = 0, text
        start = 0
        while start <= len(text):
            end = self._sequence(self.nodes, 0, start, lambda position: position)
            if anchored:
                break
            start = start + 1 if end is None else max(end, start + 1)  # as finditer() and sub() go on
        return self.steps

    def _sequence(self, nodes: Sequence[Node], index: int, position: int, then: Continue) -> Optional[int]:
        if index == len(nodes):
            return then(position)
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooManySteps
        return self._node(nodes[index], position, lambda end: self._sequence(nodes, index + 1, end, then))

    def _node(self, node: Node, position: int, then: Continue) -> Optional[int]:
        name, argument = str(node[0]), node[1]
        if name in _CHARACTER_NODES:
            accepted = position < len(self._text) and accepts(node, self._text[position], self.flags)
            return then(position + 1) if accepted else None
        if name == "BRANCH":
            ends = (self._sequence(list(branch), 0, position, then) for branch in argument[1])
            return next((end for end in ends if end is not None), None)
        if name == "SUBPATTERN":
            return self._sequence(list(argument[-1]), 0, position, then)
        if name in _REPEATS:
            low, high, body = argument
            return self._repeat(list(body), low, high, position, then, name == "MIN_REPEAT")
        if name in ("ASSERT", "ASSERT_NOT"):
            return then(position) if self._looks(argument, position) is (name == "ASSERT") else None
        if name == "AT":
            return then(position) if self._at(str(argument), position) else None
        raise NotImplementedError(name)

    def _repeat(self, body: List[Node], low: int, high: Any, position: int, then: Continue, lazy: bool) -> Optional[int]:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooManySteps

        def more(end: int) -> Optional[int]:
            if end == position and low <= 0:
                return None  # an empty repetition is not repeated
            return self._repeat(body, low - 1, high - 1 if isinstance(high, int) else high, end, then, lazy)

        if low > 0:
            return self._sequence(body, 0, position, more)

        def again() -> Optional[int]:
            return self._sequence(body, 0, position, more) if high else None

        end = then(position) if lazy else again()
        if end is not None:
            return end
        return again() if lazy else then(position)

    def _looks(self, argument: Any, position: int) -> bool:
        direction, body = argument
        if direction < 0:
            position -= body.getwidth()[0]
        return position >= 0 and self._sequence(list(body), 0, position, lambda end: end) is not None

    def _at(self, where: str, position: int) -> bool:
        text = self._text
        if where in ("AT_BOUNDARY", "AT_NON_BOUNDARY"):
            words = [0 <= at < len(text) and re.match(r"\w", text[at]) is not None for at in (position - 1, position)]
            return (words[0] is not words[1]) is (where == "AT_BOUNDARY")
        if where in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return position == 0
        return position == len(text) or (where == "AT_END" and text[position:] == "\n")


def accepts(node: Node, character: str, flags: int) -> bool:
    """Return whether a node that stands for one character matches this one."""
    name, argument = str(node[0]), node[1]
    if name == "ANY":
        return character != "\n" or bool(flags & re.DOTALL)
    if name == "LITERAL":
        return ord(character) == argument
    if name == "NOT_LITERAL":
        return ord(character) != argument
    negated = bool(argument) and str(argument[0][0]) == "NEGATE"
    return any([_in_set(item, character) for item in argument[negated:]]) is not negated


def _in_set(item: Node, character: str) -> bool:
    name, argument = str(item[0]), item[1]
    if name == "LITERAL":
        return ord(character) == argument
    if name == "RANGE":
        return bool(argument[0] <= ord(character) <= argument[1])
    return re.match(_CATEGORIES[str(argument)], character) is not None


def attacks(pattern: Pattern[Any], count: int) -> Iterator[str]:
    """Yield texts in which a piece of what the pattern matches is repeated, between beginnings and ends of all kinds."""
    nodes = list(parser.parse(pattern.pattern, pattern.flags))
    pumps, prefixes = _pieces(nodes, pattern.flags)
    for pump, prefix, suffix in itertools.product(pumps, prefixes, SUFFIXES):
        yield prefix + pump * count + suffix


def _pieces(nodes: List[Node], flags: int) -> Tuple[List[str], List[str]]:
    """Return what is repeated, and what stands before it."""
    found: List[str] = []
    _collect(nodes, flags, found)
    pumps = list(dict.fromkeys([piece for piece in found if 0 < len(piece) < 12]))
    pumps.sort(key=len)
    prefixes = [""] + [_sample(nodes[:index], flags) for index in range(1, len(nodes))]
    prefixes += [piece for piece in pumps if len(piece) == 1]
    return pumps[:MAX_PUMPS], list(dict.fromkeys(prefixes))[:MAX_PREFIXES]


def _collect(nodes: Sequence[Node], flags: int, found: List[str]) -> None:
    for node in nodes:
        name, argument = str(node[0]), node[1]
        found.append(_sample([node], flags))
        if name == "IN":
            found += _members(node, flags)
        elif name == "BRANCH":
            for branch in argument[1]:
                _collect(list(branch), flags, found)
                found.append(_sample(list(branch), flags))
        elif name == "SUBPATTERN":
            _collect(list(argument[-1]), flags, found)
        elif name in _REPEATS:
            _collect(list(argument[2]), flags, found)
            found.append(_sample(list(argument[2]), flags))
        elif name in ("ASSERT", "ASSERT_NOT"):
            _collect(list(argument[1]), flags, found)


def _members(node: Node, flags: int) -> List[str]:
    """Return a few characters that a node matches: those of the set itself, or, of a negated one, ordinary ones."""
    own = [chr(item[1]) for item in node[1] if str(item[0]) == "LITERAL"]
    own += [chr(item[1][0]) for item in node[1] if str(item[0]) == "RANGE"]
    return [character for character in own + list(_CHARACTERS) if accepts(node, character, flags)][:4]


def _sample(nodes: Sequence[Node], flags: int) -> str:
    """Return a short text that the nodes match, each repetition at least once."""
    text = ""
    for node in nodes:
        name, argument = str(node[0]), node[1]
        if name == "LITERAL":
            text += chr(argument)
        elif name in ("ANY", "NOT_LITERAL"):
            text += next(character for character in _CHARACTERS if accepts(node, character, flags))
        elif name == "IN":
            text += (_members(node, flags) or [""])[0]
        elif name == "BRANCH":
            text += _sample(list(argument[1][0]), flags)
        elif name == "SUBPATTERN":
            text += _sample(list(argument[-1]), flags)
        elif name in _REPEATS:
            text += _sample(list(argument[2]), flags) * max(1, argument[0])
    return text


def _longest_count(nodes: Any) -> int:
    """Return the largest finite number of repetitions in a pattern: so many steps may each start of a search take."""
    longest = 0
    for node in nodes:
        name, argument = str(node[0]), node[1]
        if name in _REPEATS:
            high = int(argument[1])
            longest = max(longest, high if high < 5000 else 0, _longest_count(argument[2]))
        elif name == "BRANCH":
            longest = max([longest, *map(_longest_count, argument[1])])
        elif name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
            longest = max(longest, _longest_count(argument[-1]))
    return longest


def growth(pattern: Pattern[Any], anchored: bool, count: int = 16) -> Optional[str]:
    """Search for a text on which the work grows faster than the text does.

    Returns:
        that text, or None.
    """
    counter = StepCounter(pattern)
    per_character = 6 + _longest_count(counter.nodes)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100000)
    try:
        for short, long in zip(attacks(pattern, count), attacks(pattern, 2 * count)):
            steps = counter.search(short, anchored)
            if steps > per_character * len(short) and counter.search(long, anchored) > 3 * steps:
                return long
    except TooManySteps:
        return short
    finally:
        sys.setrecursionlimit(limit)
    return None
