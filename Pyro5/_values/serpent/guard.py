"""The guard of the slow way to read serpent text: Python source goes to the compiler only after a look at it."""
from __future__ import annotations

import re
import sys

from ... import errors
from .reader import depth, openings

__all__ = ["check_complexity", "STRING_OR_COMMENT"]

_MAX_DEPTH = 200 if sys.version_info >= (3, 9) else 90       # what the parser can take
_MAX_CHAIN = 100
_CHAIN_CHARACTERS = "+-*/%@&|^<>=!~.(["
_LITERAL = "\1"         # stands for a string, or a comment

# Linear time: nothing is left behind a string without an end, so no other one is looked for there.
STRING_OR_COMMENT = re.compile(r"""
    \'\'\'[^'\\]*(?:(?:\\.|'(?!\'\'))[^'\\]*)*(?:\'\'\'|\\?\Z)
  | \"\"\"[^"\\]*(?:(?:\\.|"(?!\"\"))[^"\\]*)*(?:\"\"\"|\\?\Z)
  | '[^'\\\n\r]*(?:\\.[^'\\\n\r]*)*'
  | "[^"\\\n\r]*(?:\\.[^"\\\n\r]*)*"
  | ['"].*
  | \#[^\n\r]*""", re.VERBOSE | re.DOTALL)
_FORMATTED_STRING = re.compile("[fFtT][rR]?" + _LITERAL)
_BLANK = re.compile(r"[\s\\]+")
_NUMBER = re.compile(r"(?:\b\d[\d_]*\.?[\d_]*|(?<!\w)\.\d[\d_]*)(?:[eE][-+]?\d[\d_]*)?")
_COMPLEX = re.compile(r"(?<![\w)\]}])0[-+]0[jJ]")
_SIGNS = re.compile(r"[-+~]{%d}" % _MAX_CHAIN)
_LINK = re.compile(r"[\w)\]}%s](?=[-+*/%%@&|^<>=!~(\[{]|\.(?!\d))" % _LITERAL)


def check_complexity(text: str) -> None:
    """
    Refuse Python source that can exhaust, or even crash, the interpreter that compiles it.

    Long chains of operators, attributes, calls or subscripts become syntax trees as deep as the chain is long, and some
    Python versions walk these without any limit. Literals have no chains.

    Raises:
        SerializeError: there is a chain, or too much nesting.
    """
    if _chain_characters(text) <= _MAX_CHAIN and openings(text) <= _MAX_DEPTH:
        return
    code = _BLANK.sub("", STRING_OR_COMMENT.sub(_LITERAL, text))
    if depth(code) > _MAX_DEPTH or _SIGNS.search(code):
        raise errors.SerializeError("the data is nested too deeply")
    if _FORMATTED_STRING.search(code):
        raise errors.SerializeError("the data is no literal: it holds a formatted string")
    if _links(code) > _MAX_CHAIN and _links(_COMPLEX.sub("0", _NUMBER.sub("0", code))) > _MAX_CHAIN:
        raise errors.SerializeError("the data is no literal: it holds a long expression")


def _chain_characters(text: str) -> int:
    return sum(map(text.count, _CHAIN_CHARACTERS))


def _links(code: str) -> int:
    """Count where an operator, or another thing that can go on and on, follows an operand."""
    return len(_LINK.findall(code))
