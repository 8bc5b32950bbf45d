"""
A fast path for serpent text: Python literals, read and written at the speed of C.

Compiling a literal, as ast.literal_eval does, is slow. The JSON scanner of the standard library is ten times faster, and
the literals that messages carry differ from JSON only in their quotes, in the names of three constants, and in tuples. So
what lies inside of strings is told from what lies outside; the outside is rewritten; the scanner reads the whole. In the
same way repr() writes what the serpent library writes, but for blanks outside of strings.

Every function here gives up where it cannot guarantee the very value, or the very text, that the serpent library would
come to; the caller then takes the slow way. All that is malformed is left to the slow way, and to its errors.
"""
from __future__ import annotations

import json
import re
import sys
from itertools import accumulate, repeat
from math import isfinite
from typing import Any, Dict, List, Match, Optional, Sequence, Set, Tuple

from .. import errors

__all__ = ["HEADER", "NOT_FAST", "fast_loads", "fast_dumps", "fast_dumps_each", "check_complexity"]

HEADER = "# serpent utf-8 python3.2\n"
NOT_FAST = object()     # what fast_loads returns instead of guessing

_MAX_FAST_DEPTH = 50    # no Python version has trouble with this, and hardly a value has more
_MARK = "\0"            # stands for a string in the text outside of strings

# A string, as repr writes it; or, not in a group, one without an end. Linear time: every character is looked at by one
# part of the pattern only, and nothing is left behind a string without an end.
_STRING = re.compile(r"""('[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")|['"].*""", re.DOTALL)
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_ASCII_BUT_BRACKETS = {code: None for code in range(128) if chr(code) not in _BRACKETS}


# ---------------------------------------------------------------- text -> value

# In JSON a tuple is written as an object with two keys, one for each parenthesis; the second one tells whether there is a
# comma before it. No string of the text can be one of these keys: it has no NUL. An object that has but one of them, or
# anything else, comes of brackets that do not match. A set becomes an object with one key. Only sets without brackets in
# them are told from dicts here.
_BEGIN, _END, _COMMA_END = "\0<", "\0>", "\0,>"
_BEGIN_JSON, _END_JSON, _COMMA_END_JSON = r'{"\u0000<":[', r'],"\u0000>":0}', r'],"\u0000,>":0}'
_SET = "\0{"
_SET_LITERAL, _SET_JSON = re.compile(r"\{([^][(){}:]+)\}"), r'{"\\u0000{":[\1]}'


def _refuse_constant(name: str) -> Any:
    raise ValueError("not a Python literal: " + name)


def _dict_tuple_or_set(data: Dict[str, Any]) -> Any:
    if _END not in data and _COMMA_END not in data and _BEGIN not in data:
        return _nonempty_set(data[_SET]) if _SET in data else data
    elements = data.get(_BEGIN)
    if elements is None or len(data) != 2 or (len(elements) < 2 and (len(elements) == 1) is not (_COMMA_END in data)):
        raise ValueError("not a tuple")
    return tuple(elements)


def _nonempty_set(elements: List[Any]) -> Set[Any]:
    if not elements:
        raise ValueError("not a set")  # but a dict, with a blank in it
    return set(elements)


_scan = json.JSONDecoder(strict=False, parse_constant=_refuse_constant).raw_decode
_scan_with_hook = json.JSONDecoder(strict=False, parse_constant=_refuse_constant,
                                   object_hook=_dict_tuple_or_set).raw_decode


def fast_loads(text: str) -> Any:
    """Read a serpent document; gives NOT_FAST where that takes the slow way."""
    body = _cut_comment(text)
    if body is None or "\0" in body or "\n" in body or "\r" in body:
        return NOT_FAST
    split = _split_escaped(body) if "\\" in body or '"' in body else _split_plain(body)
    if split is None:
        return NOT_FAST
    try:
        return _read(*split)
    except (ValueError, RecursionError):
        return NOT_FAST


def _cut_comment(text: str) -> Optional[str]:
    if text.startswith(HEADER):
        return text[len(HEADER):]
    if not text.startswith("#"):
        return text
    comment, _, body = text.partition("\n")
    return None if "\r" in comment or "\0" in comment else body


def _split_plain(body: str) -> Optional[Tuple[str, List[str]]]:
    """Give the text outside of strings, with a mark for each, and their contents in JSON's form; or None."""
    parts = body.split("'")
    return (_MARK.join(parts[::2]), parts[1::2]) if len(parts) & 1 else None


def _split_escaped(body: str) -> Optional[Tuple[str, List[str]]]:
    """As _split_plain, where there are backslashes or double quotes."""
    parts = _split_single_quoted(body) or _split_any(body)
    if parts is None:
        return None
    try:
        # all strings at once: what costs is the number of escapes, not that of strings
        contents = _json_contents(_MARK.join(parts[1::2]))
    except KeyError:
        return None
    return _MARK.join(parts[::2]), contents.split(_MARK) if len(parts) > 1 else []


# Stand for an escaped backslash and an escaped single quote, so that all other quotes are where strings begin and end.
_BACKSLASH, _QUOTE = "\1", "\2"


def _split_single_quoted(body: str) -> Optional[List[str]]:
    """Split into strings and what is outside of them; None if not all of the strings are in single quotes."""
    if _BACKSLASH in body or _QUOTE in body:
        return None
    parts = body.replace("\\\\", _BACKSLASH).replace("\\'", _QUOTE).split("'")
    return parts if len(parts) & 1 and not _has_any("".join(parts[::2]), ('"', "\\", _BACKSLASH, _QUOTE)) else None


def _split_any(body: str) -> Optional[List[str]]:
    """As _split_single_quoted, with both kinds of quotes; None if a string has no end."""
    parts = _STRING.split(body)
    if None in parts or "\\" in "".join(parts[::2]) or _has_any(body, (_BACKSLASH, _QUOTE)):
        return None
    parts[1::2] = [string[1:-1] for string in parts[1::2]]
    return parts


def _has_any(text: str, characters: Sequence[str]) -> bool:
    return any([character in text for character in characters])


def _json_contents(contents: str) -> str:
    """Rewrite the escapes in strings; KeyError if that cannot be done."""
    if contents.count("\\") != contents.count("\\n") + contents.count("\\t") + contents.count("\\r"):
        contents = contents.replace(_BACKSLASH, "\\\\").replace(_QUOTE, "\\'")
        return _ESCAPE.sub(_json_escape, contents)
    return contents.replace('"', '\\"').replace(_BACKSLASH, "\\\\").replace(_QUOTE, "'")


# Where Python and JSON mean the same by an escape, and write it the same, or need not escape at all. The \u of a
# surrogate is not here: JSON joins pairs of them. Nor is NUL, see above.
_ESCAPE = re.compile(r'"|\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)')
_ESCAPES = {'"': '\\"', '\\"': '\\"', "\\'": "'", "\\\\": "\\\\", "\\n": "\\n", "\\r": "\\r", "\\t": "\\t"}
_ESCAPES.update(("\\x%02x" % code, "\\u%04x" % code) for code in range(1, 256))


def _json_escape(match: Match[str]) -> str:
    escape = match.group()
    if len(escape) < 6:
        return _ESCAPES[escape]
    code = int(escape[2:], 16)
    if code < 0x80 or 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        raise KeyError(escape)
    return chr(code)


def _read(outside: str, strings: List[str]) -> Any:
    if "null" in outside or "true" in outside or "false" in outside:
        return NOT_FAST     # JSON's words are not Python's
    if _openings(outside) > _MAX_FAST_DEPTH and _depth(outside) > _MAX_FAST_DEPTH:
        return NOT_FAST
    outside = outside.replace("None", "null").replace("True", "true").replace("False", "false")
    scan = _scan
    if _SET_LITERAL.search(outside):
        scan = _scan_with_hook
        outside = _SET_LITERAL.sub(_SET_JSON, outside)
    if "(" in outside:
        scan = _scan_with_hook
        outside = outside.replace("(", _BEGIN_JSON).replace(",)", _COMMA_END_JSON).replace(")", _END_JSON)
    json_text = _put_back(outside, strings, '"')
    value, end = scan(json_text)
    return value if end == len(json_text) else NOT_FAST


def _put_back(outside: str, strings: List[str], quote: str) -> str:
    parts = [""] * (2 * len(strings) + 1)
    parts[::2] = outside.split(_MARK)
    parts[1::2] = strings
    return quote.join(parts)


def _openings(outside: str) -> int:
    return outside.count("[") + outside.count("{") + outside.count("(")


def _depth(outside: str) -> int:
    return max(accumulate(map(_BRACKETS.get, outside.translate(_ASCII_BUT_BRACKETS), repeat(0))), default=0)


# ---------------------------------------------------------------- value -> text

_SCALARS = frozenset((type(None), bool, int, float, str))
_KEYS = frozenset((bool, int, str))
_CONTAINERS = frozenset((list, tuple, dict))
_PLAIN = _SCALARS | _CONTAINERS
_LONG_ELEMENTS = 50     # characters
_FEW_ELEMENTS = 8


class _NotPlain(Exception):
    """There is something in a value that repr writes in another way than serpent."""


def fast_dumps(value: Any) -> Optional[str]:
    """Write a value as serpent does, without the first line; None where that takes the slow way."""
    kind = type(value)
    if kind not in _CONTAINERS:
        return repr(value) if kind in _SCALARS and (kind is not float or isfinite(value)) else None
    if not value:
        return repr(value)
    try:
        separators = _count_separators(value, _MAX_FAST_DEPTH)
    except _NotPlain:
        return None
    text = repr(value)
    # looking for words and blanks in all of the text is faster than taking it to pieces, if it has many and small ones
    if len(text) > _LONG_ELEMENTS * (separators + 10):
        return _without_blanks(text)
    if "inf" in text or "nan" in text or text.count(", ") + text.count(": ") != separators:
        return _without_blanks(text)
    return text.replace(", ", ",").replace(": ", ":")


def fast_dumps_each(values: Sequence[Any]) -> Optional[str]:
    """As fast_dumps for a tuple or list, but long strings that are its elements are written without being copied."""
    if len(values) > _FEW_ELEMENTS:
        return fast_dumps(values)
    texts = [fast_dumps(value) for value in values]
    if None in texts:
        return None
    joined = ",".join(texts)  # type: ignore[arg-type]
    if type(values) is list:
        return "[%s]" % joined
    if type(values) is not tuple:
        return None
    return "(%s,)" % joined if len(texts) == 1 else "(%s)" % joined


def _count_separators(container: Any, depth_left: int) -> int:
    """
    Count the commas and colons that stand between elements; look at the types of these on the way.

    Raises:
        _NotPlain: an element, or an element's element, is no exact builtin, or there is too much nesting (or a cycle).
    """
    count = len(container) - 1 if container else 0
    elements = container
    if type(container) is dict:
        count += len(container)
        if not _KEYS.issuperset(map(type, container)):
            raise _NotPlain
        elements = container.values()
    if _SCALARS.issuperset(map(type, elements)):
        return count
    if not depth_left or not _PLAIN.issuperset(map(type, elements)):
        raise _NotPlain
    for element in elements:
        if type(element) in _CONTAINERS:
            count += _count_separators(element, depth_left - 1)
    return count


def _without_blanks(text: str) -> Optional[str]:
    """Drop the blanks outside of strings from what repr wrote; None if there are words that are no literals."""
    if '"' in text or "\\" in text:
        parts, quote = _STRING.split(text), ""
    else:
        parts, quote = text.split("'"), "'"
    outside = _MARK.join(parts[::2])
    if "inf" in outside or "nan" in outside:
        return None
    return _put_back(outside.replace(" ", ""), parts[1::2], quote)


# ---------------------------------------------------------------- guard of the slow way

_MAX_DEPTH = 200 if sys.version_info >= (3, 9) else 90       # what the parser can take
_MAX_CHAIN = 100
_CHAIN_CHARACTERS = "+-*/%@&|^<>=!~.(["
_LITERAL = "\1"         # stands for a string, or a comment

_STRING_OR_COMMENT = re.compile(r"""
    \'\'\'[^'\\]*(?:(?:\\.|'(?!\'\'))[^'\\]*)*\'\'\'
  | \"\"\"[^"\\]*(?:(?:\\.|"(?!\"\"))[^"\\]*)*\"\"\"
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
    if _chain_characters(text) <= _MAX_CHAIN and _openings(text) <= _MAX_DEPTH:
        return
    code = _BLANK.sub("", _STRING_OR_COMMENT.sub(_LITERAL, text))
    if _depth(code) > _MAX_DEPTH or _SIGNS.search(code):
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
