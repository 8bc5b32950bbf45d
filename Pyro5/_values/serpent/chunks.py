"""Check serpent text for the slow reader, and evaluate long Python literals in chunks, container by container.

ast.literal_eval builds a syntax tree with an object for each number, which takes hundreds of times the memory of the text. No
other thread runs while the compiler works, and nested brackets take fifteen seconds per megabyte. So here the compiler gets
only numbers, strings and constants that are written in an unusual form, one by one. Brackets, commas and colons are parsed in
a loop, during which other threads can run.
"""
from __future__ import annotations

import ast
import itertools
import re
import sys
from typing import Any, Dict, List, Optional, Tuple

from ... import errors
from .. import hash_flooding
from .reader import depth, openings

_MAX_DEPTH = 200 if sys.version_info >= (3, 9) else 90       # limit of the parser
_MAX_CHAIN = 100        # operators, attributes, calls or subscripts in one expression
_CHAIN_CHARACTERS = "+-*/%@&|^<>=!~.(["
_LITERAL = "\1"         # replaces a string or a comment

# Linear time: a string without an end matches up to the end of the text, so the search for strings does not start again in it.
STRING_OR_COMMENT = re.compile(r"""
    \'\'\'[^'\\]*(?:(?:\\.|'(?!\'\'))[^'\\]*)*(?:\'\'\'|\\?\Z)
  | \"\"\"[^"\\]*(?:(?:\\.|"(?!\"\"))[^"\\]*)*(?:\"\"\"|\\?\Z)
  | '[^'\\\n\r]*(?:\\.[^'\\\n\r]*)*'
  | "[^"\\\n\r]*(?:\\.[^"\\\n\r]*)*"
  | ['"].*
  | \#[^\n\r]*""", re.VERBOSE | re.DOTALL)
_FORMATTED_STRING = re.compile("[fFtT][rR]?" + _LITERAL)
_WHITESPACE = re.compile(r"[\s\\]+")
_NUMBER = re.compile(r"(?:\b\d[\d_]*\.?[\d_]*|(?<!\w)\.\d[\d_]*)(?:[eE][-+]?\d[\d_]*)?")
_COMPLEX = re.compile(r"(?<![\w)\]}])0[-+]0[jJ]")
_SIGNS = re.compile(r"[-+~]{%d}" % _MAX_CHAIN)
_LINK = re.compile(r"[\w)\]}%s](?=[-+*/%%@&|^<>=!~(\[{]|\.(?!\d))" % _LITERAL)


def check_complexity(text: str) -> None:
    """Refuse Python source that can exhaust the memory of the compiler or crash it.

    A long chain of operators, attributes, calls or subscripts becomes a syntax tree as deep as the chain is long, and some
    versions of Python walk the tree without a limit for the depth. Literals contain no chains.

    Raises:
        SerializeError: the text contains a chain, or is nested too deeply.
    """
    # Two counts that are an upper limit for both decide for most texts.
    if sum(map(text.count, _CHAIN_CHARACTERS)) <= _MAX_CHAIN and openings(text) <= _MAX_DEPTH:
        return
    code = _WHITESPACE.sub("", STRING_OR_COMMENT.sub(_LITERAL, text))
    if depth(code) > _MAX_DEPTH or _SIGNS.search(code):
        raise errors.SerializeError("the data is nested too deeply")
    if _FORMATTED_STRING.search(code):
        raise errors.SerializeError("the data is not a literal: it contains a formatted string")
    # Numbers can contain the characters of operators (1e-5, 1+2j): remove them, but only if the first count is too high.
    if _links(code) > _MAX_CHAIN and _links(_COMPLEX.sub("0", _NUMBER.sub("0", code))) > _MAX_CHAIN:
        raise errors.SerializeError("the data is not a literal: it contains a long expression")


def _links(code: str) -> int:
    """Return how many times an operator, attribute, call or subscript follows an operand."""
    return len(_LINK.findall(code))


SHORT_CHARACTERS = 1024  # shorter texts are compiled as a whole, which takes at most 15 milliseconds

_TOKEN = re.compile("([][(){},:]) | %s" % STRING_OR_COMMENT.pattern, re.VERBOSE | re.DOTALL)
# A comment must extend to the end of its line: otherwise "####" could be matched in 8 ways, and longer ones in exponentially
# many.
_BLANK = re.compile(r"(?:[ \t\f\r\n]|\\\r?\n|#[^\n\r]*(?![^\n\r]))*\Z")
_SPACES = " \t\f\r\n"
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_MISSING: Any = object()
_UNUSUAL: Any = object()
_FEW_UNUSUAL = 20     # atoms; fewer are compiled one by one
_TOKENS_AHEAD = 300

# The usual forms of numbers and strings, evaluated without the compiler. The limits of the digits are far above those of
# repr(), and exclude long texts, for which int() takes quadratic time.
_INTEGER = re.compile(r"-?(?:[1-9][0-9]{0,99}|0)\Z")
_FLOAT = re.compile(r"-?(?:[1-9][0-9]{0,99}|0)\.[0-9]{1,99}(?:e[-+]?[0-9]{1,9})?\Z")
_IMAGINARY = re.compile(r"(?:[1-9][0-9]{0,99}|0)(?:\.[0-9]{1,99})?j\Z")
_PLAIN_STRING = re.compile(r"""'[^'\\\r\n\0]*'\Z|"[^"\\\r\n\0]*"\Z""")
_NAMES: Dict[str, Any] = {"None": None, "True": True, "False": False, **({"set": set} if sys.version_info >= (3, 9) else {})}
_MAX_CACHED_ATOMS = 5000
_CACHED_ATOM_CHARACTERS = 40


def evaluate(text: str) -> Any:
    """Return the value of a literal, as ast.literal_eval does. The text must have passed check_complexity.

    Raises:
        ValueError, SyntaxError, TypeError, MemoryError, RecursionError: the text is not a literal.
        SerializeError: the text has too many keys with the same hash.
    """
    return ast.literal_eval(text) if len(text) <= SHORT_CHARACTERS else _Evaluation(text).run()


class _Container:
    """A container whose closing bracket has not been read yet. The whole text is treated as one too.

    Attributes:
        elements: the elements read so far; the values of a dict.
        keys: the keys of a dict; None for other containers, and while "{" may still begin a set.
        key: the key of the current element of a dict.
        value: the current element if it is a container that was closed.
        is_call: whether these are the parentheses of ``set()``.
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
        """Add the current element, which is complete."""
        key = self.key
        if key is not _MISSING:
            if self.keys is None:
                if self.elements:
                    raise SyntaxError("dict and set elements in one container")
                self.keys = []
            self.keys.append(key)
            self.key = _MISSING
        elif self.keys is not None:
            raise SyntaxError("dict and set elements in one container")
        self.elements.append(element)

    def finished(self) -> Any:
        """Return the value of the container. Called when it is complete."""
        elements = self.elements
        if self.bracket == "[":
            return elements
        if self.bracket == "(":  # (1) is a number in parentheses, (1,) is a tuple
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
    """Evaluates one text, in one pass."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._outer: List[_Container] = []
        self._compiled_ahead: Dict[str, Any] = {}
        self._unusual = 0   # number of atoms that were compiled one by one
        self._atoms: Dict[str, Any] = {"": _MISSING, **_NAMES}

    def run(self) -> Any:
        # `before` is the atom (number, string or constant) before the current bracket, comma or colon. Nested containers are
        # kept in a list and not on the stack of the interpreter, so the nesting is limited by check_complexity only.
        text, here, start = self._text, _Container("("), 0
        for match in _TOKEN.finditer(text):
            character = match.group(1)
            # `here` is the innermost open container; its state changes only at commas, colons and brackets
            if character is None:
                continue  # a string or comment: part of the atom that ends at the next comma, colon or bracket
            position = match.start()
            before = _MISSING if start == position else self._atom(text[start:position], start)
            start = position + 1
            if character == ",":
                here.add(self._element(here, before))
                here.value, here.has_comma = _MISSING, True
            elif character == ":":
                if here.bracket != "{" or here.key is not _MISSING:
                    raise SyntaxError("unexpected colon")
                here.key, here.value = self._element(here, before), _MISSING
            elif character in _CLOSING:
                here = self._open(here, character, before)
            else:
                here = self._close(here, character, before)
        # The whole text is treated as the content of parentheses: "1, 2" is a tuple, as for the compiler.
        if self._outer:
            raise SyntaxError("a bracket was never closed")
        before = self._atom(text[start:], start)
        if before is not _MISSING or here.value is not _MISSING:
            here.add(self._element(here, before))
        if not here.elements:
            raise SyntaxError("the text is empty")
        return here.finished()

    def _open(self, here: _Container, bracket: str, before: Any) -> _Container:
        """Open a container and return it."""
        # a literal has nothing before an opening bracket but separators, except for the name in set()
        is_call = before is set and bracket == "("
        if here.value is not _MISSING or before is not _MISSING and not is_call:
            raise SyntaxError("missing comma")
        self._outer.append(here)
        return _Container(bracket, is_call)

    def _close(self, closed: _Container, bracket: str, before: Any) -> _Container:
        """Close a container and return the one around it."""
        if not self._outer or _CLOSING[closed.bracket] != bracket:
            raise SyntaxError("brackets do not match")
        if bracket == "]":  # a list has no keys: this does what the lines below do, and saves two calls
            if before is not _MISSING or closed.value is not _MISSING:
                closed.elements.append(self._element(closed, before))
            here = self._outer.pop()
            here.value = closed.elements
            return here
        if before is not _MISSING or closed.value is not _MISSING or closed.key is not _MISSING:
            closed.add(self._element(closed, before))  # otherwise there is nothing after the last comma
        here = self._outer.pop()
        if closed.is_call:
            if closed.elements:
                raise ValueError("calls are not allowed")
            here.value = set()
        else:
            here.value = closed.finished()
        return here

    @staticmethod
    def _element(here: _Container, before: Any) -> Any:
        """Return the element or key that ends here: an atom or a closed container, but not both."""
        value = here.value
        if (value is _MISSING) is (before is _MISSING) or before is set:
            raise SyntaxError("missing element or comma")
        return before if value is _MISSING else value

    def _atom(self, text: str, begin: int) -> Any:
        """Return the value of the text between brackets, commas and colons, which begins there; _MISSING if it is blank."""
        # Long literals often contain the same atoms many times. All atoms are immutable, so the values can be shared.
        cached = self._atoms
        if text in cached:
            return cached[text]
        if text in self._compiled_ahead:
            return self._compiled_ahead[text]
        value = _usual_atom(text)
        if value is _UNUSUAL:
            self._unusual += 1
            if self._unusual > _FEW_UNUSUAL:
                self._compiled_ahead = self._compile_ahead(begin)
            value = self._compiled_ahead[text] if text in self._compiled_ahead else _compiled_atom(text)
        if len(text) < _CACHED_ATOM_CHARACTERS and len(cached) < _MAX_CACHED_ATOMS:
            cached[text] = value
        return value

    def _compile_ahead(self, begin: int) -> Dict[str, Any]:
        """Return the values of the next unusual atoms; empty if not all of them are valid.

        The compiler takes ten times as long for atoms one by one as for the same atoms in one list.
        """
        atoms: Dict[str, Any] = {}
        start, size = begin, 0
        for match in itertools.islice(_TOKEN.finditer(self._text, begin), _TOKENS_AHEAD):
            if match.group(1) is None:
                continue    # as in run()
            atom, start = self._text[start:match.start()], match.end()
            if atom not in self._atoms and _usual_atom(atom) is _UNUSUAL:
                atoms[atom], size = None, size + len(atom)
                if size > SHORT_CHARACTERS:
                    break
        try:
            values: List[Any] = ast.literal_eval("[%s \n]" % " \n,".join(atoms)) if size <= 2 * SHORT_CHARACTERS else []
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            values = []
        if len(values) != len(atoms):
            self._unusual = -_TOKENS_AHEAD    # one of them is invalid: its error is raised before that number of atoms
            return {}
        return dict(zip(atoms, values))


def _usual_atom(text: str) -> Any:
    """Evaluate an atom if it has a usual form, otherwise return _UNUSUAL. The name ``set`` is the class: it may be called."""
    # The usual forms are evaluated here; the compiler is for the others (escapes, underscores in numbers, bytes, ...).
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
    return _NAMES.get(stripped, _UNUSUAL)


def _compiled_atom(text: str) -> Any:
    """Evaluate an atom of any form."""
    # the line break is for a comment at the end of the text
    elements: Tuple[Any, ...] = tuple(ast.literal_eval("[%s \n]" % text))
    value, = elements
    return value
