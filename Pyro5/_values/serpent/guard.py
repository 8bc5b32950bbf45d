"""Check serpent text before the slow reader passes it to the Python compiler."""
from __future__ import annotations

import re
import sys

from ... import errors
from .reader import depth, openings

__all__ = ["check_complexity", "STRING_OR_COMMENT"]

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
_BLANK = re.compile(r"[\s\\]+")
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
    if _chain_characters(text) <= _MAX_CHAIN and openings(text) <= _MAX_DEPTH:
        return
    code = _BLANK.sub("", STRING_OR_COMMENT.sub(_LITERAL, text))
    if depth(code) > _MAX_DEPTH or _SIGNS.search(code):
        raise errors.SerializeError("the data is nested too deeply")
    if _FORMATTED_STRING.search(code):
        raise errors.SerializeError("the data is not a literal: it contains a formatted string")
    # Numbers can contain the characters of operators (1e-5, 1+2j): remove them, but only if the first count is too high.
    if _links(code) > _MAX_CHAIN and _links(_COMPLEX.sub("0", _NUMBER.sub("0", code))) > _MAX_CHAIN:
        raise errors.SerializeError("the data is not a literal: it contains a long expression")


def _chain_characters(text: str) -> int:
    return sum(map(text.count, _CHAIN_CHARACTERS))


def _links(code: str) -> int:
    """Return how many times an operator, attribute, call or subscript follows an operand."""
    return len(_LINK.findall(code))
