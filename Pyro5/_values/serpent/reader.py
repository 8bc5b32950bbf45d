"""A fast reader of serpent text: Python literals, parsed by C code.

Compiling a literal, as ast.literal_eval does, is slow. The JSON scanner of the standard library is ten times faster. The
literals in messages differ from JSON only in the quotes, in the names of three constants, and in tuples. So these are
rewritten, and the JSON scanner parses the result. There are three methods. The first one that succeeds is used (for long
texts, the second one is tried first):

- rewrite the whole text by a few calls of replace(), in a way that the scanner refuses the result if this changes a string;
- remove long strings, if there are few strings, and insert them into the value that was read without them;
- separate strings from the text outside of strings, and rewrite only the latter.

Each function gives up if it cannot guarantee exactly the value that the serpent library would return. The caller then uses
the slow reader. Malformed text is left to the slow reader too, which raises the errors.
"""
from __future__ import annotations

import codecs
import functools
import json
import re
from itertools import accumulate, repeat
from typing import Any, Callable, Dict, List, Match, Optional, Pattern, Sequence, Set, Tuple

from .. import hash_flooding
from .writer import HEADER

NOT_FAST = object()     # result of a function that gives up

_MAX_FAST_DEPTH = 50    # no version of Python fails at this depth, and few values are deeper
LONG_BODY = 2000        # characters
_MARK = "\0"            # replaces a string in the text outside of strings

# A string as repr() writes it; or, not in a group, a string without an end. Linear time: each character is matched by one part
# of the pattern only, and a string without an end matches up to the end of the text.
_STRING = r"""(?s)('[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")|['"].*"""
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_BYTES_BUT_BRACKETS = bytes(range(256)).translate(None, b"()[]{}")
_LATIN_BUT_BRACKETS = dict.fromkeys(_BYTES_BUT_BRACKETS)


# ---------------------------------------------------------------- JSON, with tuples and sets

# A tuple is rewritten as a JSON object with two keys, one for each parenthesis; the second key says whether there is a comma
# before it. The keys contain NUL, which no string of the text does, so they cannot be keys of a dict. An object with only one
# of the keys, or with other keys, is the result of brackets that do not match. A set is rewritten as an object with one key.
# Only sets that contain no brackets are distinguished from dicts here.
_BEGIN, _END, _COMMA_END = "\0<", "\0>", "\0,>"
# The line breaks are needed by _read_at_once.
_BEGIN_JSON, _END_JSON, _COMMA_END_JSON = '{\n"\\u0000<":[', '],\n"\\u0000>":0}', '],\n"\\u0000,>":0}'
_SET = "\0{"
_SET_LITERAL, _SET_JSON = r"\{([^][(){}:]+)\}", r'{"\\u0000{":[\1]}'


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
        raise ValueError("not a set")  # but an empty dict with white space in it
    hash_flooding.check(elements)
    return set(elements)


def _make_scanner(strict: bool, object_hook: Optional[Callable[[Dict[str, Any]], Any]]) -> Callable[[str, int], Any]:
    """Return a function that parses the value at a position of a JSON text, and returns the value and its end."""
    decoder = json.JSONDecoder(strict=strict, parse_constant=_refuse_constant, object_hook=object_hook)
    scanner: Callable[[str, int], Any] = decoder.scan_once  # type: ignore[attr-defined]
    return scanner


_scan, _scan_with_hook = _make_scanner(False, None), _make_scanner(False, _dict_tuple_or_set)
# these refuse strings with control characters
_scan_strictly, _scan_strictly_with_hook = _make_scanner(True, None), _make_scanner(True, _dict_tuple_or_set)


def scan_list(json_text: str) -> Any:
    """Parse JSON without control characters in its strings. Raises ValueError or StopIteration if it is something else."""
    value, end = _scan_strictly(json_text, 0)
    if end != len(json_text):
        raise ValueError("more than one value")
    return value


# ---------------------------------------------------------------- documents

def fast_loads(text: str) -> Any:
    """Return the value of a serpent document; NOT_FAST if only the slow reader can read it."""
    value = read_long(text) if len(text) > LONG_BODY else NOT_FAST
    if value is not NOT_FAST:
        return value
    body = _cut_comment(text)
    return NOT_FAST if body is None else read_body(body)


def read_long(text: str) -> Any:
    """Return the value of a long document that consists mostly of a few long strings; NOT_FAST for others."""
    return NOT_FAST if _may_contain_bytes(text[len(HEADER):LONG_BODY]) else _attempt(_read_without_long_strings, text)


def read_body(body: str) -> Any:
    """Return the value of a document without its first line; NOT_FAST if only the slow reader can read it."""
    # Most small values differ from JSON in their quotes only: saves 130 byte codes.
    if len(body) < LONG_BODY and not ('"' in body or "\\" in body or "(" in body or "null" in body or "true" in body
                                      or "false" in body or "None" in body or "True" in body or "False" in body
                                      or "b'" in body and _may_contain_bytes(body) or "{" in body and ":" not in body):
        if len(body) <= 2 * _MAX_FAST_DEPTH or openings(body) <= _MAX_FAST_DEPTH:
            try:
                return scan_list(body.replace("'", '"'))
            except (ValueError, StopIteration, RecursionError):
                pass    # keys that are not strings
    if "\0" in body or "\n" in body or "\r" in body:
        return NOT_FAST     # serpent writes these characters as escapes
    if _may_contain_bytes(body[:LONG_BODY]):
        return _attempt(_read_with_bytes, body)
    value = _attempt(_read_at_once, body)
    if value is NOT_FAST:
        value = _attempt(_read_in_parts, body)
    if value is NOT_FAST and len(body) > LONG_BODY and _may_contain_bytes(body):
        value = _attempt(_read_with_bytes, body)
    return value


@functools.lru_cache(maxsize=None)
def _pattern(text: str) -> Pattern[str]:
    """Compile a regular expression that few texts need, when it is first used."""
    return re.compile(text)


def _attempt(method: Callable[[str], Any], body: str) -> Any:
    try:
        return method(body)
    except (ValueError, StopIteration, RecursionError, Warning):  # Python warns of unknown escapes
        return NOT_FAST


def _cut_comment(text: str) -> Optional[str]:
    if text.startswith(HEADER):
        return text[len(HEADER):]
    if not text.startswith("#"):
        return text
    comment, _, body = text.partition("\n")
    return None if "\r" in comment or "\0" in comment else body


# ---------------------------------------------------------------- first method: all at once

_SAMPLES = 3    # capital letters that are examined before all are assumed to begin the words True or False


def _read_at_once(body: str) -> Any:
    """Rewrite the whole text, including its strings, and give up if this has changed a string.

    Each replacement contains a line break. Outside of strings it has no meaning. Inside of a string the scanner refuses it,
    so a string that contains one of the replaced texts is detected.
    """
    if '"' in body or ("(" in body and " (" in body):     # most likely in a string
        return NOT_FAST
    # These escapes have another meaning in JSON. The scanner refuses the other escapes of Python that JSON does not have.
    if "\\" in body and _has_any(body, ("\\'", "\\/", "\\u")):
        return NOT_FAST
    # constants of JSON that are not valid in Python
    if "null" in body or "true" in body or "false" in body or may_be_deep(body):
        return NOT_FAST
    json_text = body.replace("'", '"')
    if len(body) < LONG_BODY:
        return _scan_rewritten(json_text.replace("None", "null\n").replace("True", "true\n").replace("False", "false\n"))
    json_text = "null\n".join(json_text.split("None"))      # faster than replace(), which searches the text twice
    if _all_begin(json_text, "T", "True") and _all_begin(json_text, "F", "False"):
        # searching for a single letter takes a tenth of the time of searching for a word
        value = _attempt(_scan_rewritten, json_text.replace("T", "\nt").replace("F", "\nf"))
        if value is not NOT_FAST:
            return value
    return _scan_rewritten("false\n".join("true\n".join(json_text.split("True")).split("False")))


def _all_begin(text: str, letter: str, word: str) -> bool:
    """Return whether each of the first few occurrences of a letter begins this word. Then all others are likely to."""
    place = -1
    for _ in range(_SAMPLES):
        place = text.find(letter, place + 1)
        if place < 0:
            break
        if not text.startswith(word, place):
            return False
    return True


def _scan_rewritten(json_text: str) -> Any:
    """Rewrite tuples, and parse the text, in which everything else has been rewritten."""
    scan = _scan_strictly
    if "(" in json_text:
        scan = _scan_strictly_with_hook
        json_text = json_text.replace("(", _BEGIN_JSON).replace(",)", _COMMA_END_JSON).replace(")", _END_JSON)
    value, end = scan(json_text, 0)
    return value if end == len(json_text) or json_text[end:] == "\n" else NOT_FAST


def may_be_deep(body: str) -> bool:
    """Return whether the text may be nested too deeply for the scanner. Brackets in strings are counted too."""
    if len(body) < LONG_BODY and openings(body) <= _MAX_FAST_DEPTH:
        return False
    brackets = body.encode("utf-8", "surrogatepass").translate(None, _BYTES_BUT_BRACKETS)
    for _ in range(_MAX_FAST_DEPTH // 3):
        if not brackets:
            return False
        # this removes one to three levels
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"").replace(b"()", b"")
    return bool(brackets)


# ---------------------------------------------------------------- second method: without long strings

_MAX_STRINGS = 20
_MAX_OUTSIDE = 1000         # characters outside of strings; limits the number of values that _put_strings() visits


def _read_without_long_strings(text: str) -> Any:
    """Read a document that consists mostly of a few long strings, which are copied only once."""
    header_size = len(HEADER) if text.startswith(HEADER) else 0
    if max(text.find("\n", header_size), text.find("\r"), text.find("\0")) >= 0:
        return NOT_FAST
    plain = "\\" not in text and '"' not in text
    parts = _split_at_quotes(text) if plain else _pattern(_STRING).split(text, _MAX_STRINGS)
    if not len(parts) & 1 or None in parts or sum(map(len, parts[::2])) > _MAX_OUTSIDE:
        return NOT_FAST
    outside = _MARK.join(parts[::2])[header_size:]
    if _has_any(outside, ("'", '"', "\\")):
        return NOT_FAST
    # ValueError for characters that are not in latin-1
    strings = parts[1::2] if plain else [part[1:-1].encode("latin-1").decode("unicode_escape") for part in parts[1::2]]
    value = _read_parts(outside, [r"\u0000%d" % index for index in range(len(strings))])
    return _put_strings(value, {"\0%d" % index: string for index, string in enumerate(strings)})


def _split_at_quotes(text: str) -> List[str]:
    """Split as text.split("'", 2 * _MAX_STRINGS), which looks at each character: 5 instead of 35 us for 100 KB."""
    quotes = [-1]
    while len(quotes) <= 2 * _MAX_STRINGS and (quote := text.find("'", quotes[-1] + 1)) >= 0:
        quotes.append(quote)
    return [text[start + 1:end] for start, end in zip(quotes, [*quotes[1:], len(text)])]


def _put_strings(value: Any, strings: Dict[str, str]) -> Any:
    """Return a value in which the placeholders are replaced by the strings."""
    kind = type(value)
    if kind is str:
        return strings[value]
    if kind is dict:
        return {_put_strings(key, strings): _put_strings(element, strings) for key, element in value.items()}
    if kind is list:
        return [_put_strings(element, strings) for element in value]
    if kind is tuple:
        return tuple([_put_strings(element, strings) for element in value])
    if kind is set:
        raise ValueError("the order of the elements would change")
    return value


# ---------------------------------------------------------------- third method: inside and outside of strings

def _read_in_parts(body: str) -> Any:
    split = _split_escaped(body) if "\\" in body or '"' in body else _split_plain(body)
    return NOT_FAST if split is None else _read_parts(*split)


def _split_plain(body: str) -> Optional[Tuple[str, List[str]]]:
    """Return the text outside of strings, with a mark for each string, and their contents as in JSON; None on failure."""
    parts = body.split("'")
    return (_MARK.join(parts[::2]), parts[1::2]) if len(parts) & 1 else None


def _split_escaped(body: str) -> Optional[Tuple[str, List[str]]]:
    """Split as _split_plain a text with backslashes or double quotes."""
    parts = _split_single_quoted(body) or _split_any(body)
    if parts is None:
        return None
    try:
        # all strings in one call: then the time depends on the number of escapes and not on that of strings
        contents = _json_contents(_MARK.join(parts[1::2]))
    except KeyError:
        return None
    return _MARK.join(parts[::2]), contents.split(_MARK) if len(parts) > 1 else []


# Replace an escaped backslash and an escaped single quote, so that all remaining quotes begin or end a string.
_BACKSLASH, _QUOTE = "\1", "\2"


def _split_single_quoted(body: str) -> Optional[List[str]]:
    """Split into strings and the text outside of them; None if a string is not in single quotes."""
    if _BACKSLASH in body or _QUOTE in body:
        return None
    parts = body.replace("\\\\", _BACKSLASH).replace("\\'", _QUOTE).split("'")
    return parts if len(parts) & 1 and not _has_any("".join(parts[::2]), ('"', "\\", _BACKSLASH, _QUOTE)) else None


def _split_any(body: str) -> Optional[List[str]]:
    """Split as _split_single_quoted a text with both kinds of quotes; None if a string has no end."""
    parts = _pattern(_STRING).split(body)
    if None in parts or "\\" in "".join(parts[::2]) or _has_any(body, (_BACKSLASH, _QUOTE)):
        return None
    parts[1::2] = [string[1:-1] for string in parts[1::2]]
    return parts


def _has_any(text: str, characters: Sequence[str]) -> bool:
    return any([character in text for character in characters])


def _json_contents(contents: str) -> str:
    """Rewrite the escapes in strings as those of JSON. Raises KeyError if that is not possible."""
    if contents.count("\\") != contents.count("\\n") + contents.count("\\t") + contents.count("\\r"):
        contents = contents.replace(_BACKSLASH, "\\\\").replace(_QUOTE, "\\'")
        return _pattern(_ESCAPE).sub(_json_escape, contents)
    return contents.replace('"', '\\"').replace(_BACKSLASH, "\\\\").replace(_QUOTE, "'")


# Escapes that have the same meaning in Python and JSON, or that JSON does not need. Without those of surrogates, because JSON
# joins pairs of them, and without NUL, see above.
_ESCAPE = r'"|\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)'
_ESCAPES = {'"': '\\"', '\\"': '\\"', "\\'": "'", "\\\\": "\\\\", "\\n": "\\n", "\\r": "\\r", "\\t": "\\t"}


def _json_escape(match: Match[str]) -> str:
    escape = match.group()
    if len(escape) <= 2:
        return _ESCAPES[escape]
    if len(escape) == 4 and escape != "\\x00":
        return "\\u00" + escape[2:]
    code = int(escape[2:], 16)
    if code < 0x80 or 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        raise KeyError(escape)
    return chr(code)


# ---------------------------------------------------------------- literals of bytes

# In the JSON text, a literal of bytes becomes an object with a single key and the number of the bytes, which the JSON scanner
# passes to a function.
_BEGIN_OF_BYTES = r"""(?:^|[\[(,:])b['"]"""
_BYTES = "\0b"
_BYTES_JSON = r"\u0000b"


def _may_contain_bytes(body: str) -> bool:
    return ("b'" in body or 'b"' in body) and _pattern(_BEGIN_OF_BYTES).search(body) is not None


def _read_with_bytes(body: str) -> Any:
    """Read a text in parts, as _read_in_parts, in which there may be literals of bytes."""
    parts = _split_single_quoted(body) or _split_any(body)
    if parts is None:
        return NOT_FAST
    # A result, or the only argument of a call: in a fourth of the time.
    if parts[0] == "b" and parts[2:] == [""]:
        return _bytes_of(parts[1])
    if parts[0] == "[b" and parts[2:] == ["]"]:
        return [_bytes_of(parts[1])]
    outside, contents = [parts[0]], []
    found: List[bytes] = []
    for content, after in zip(parts[1::2], parts[2::2]):
        if outside[-1].endswith("b"):
            outside[-1] = outside[-1][:-1] + "{"
            after = ":%d}%s" % (len(found), after)
            found.append(_bytes_of(content))
            content = _BYTES
        outside.append(after)
        contents.append(content)
    try:
        strings = _json_contents(_MARK.join(["" if content is _BYTES else content for content in contents])).split(_MARK)
    except KeyError:
        return NOT_FAST
    strings = [_BYTES_JSON if content is _BYTES else string for content, string in zip(contents, strings)]

    def hook(data: Dict[str, Any]) -> Any:
        return found[data[_BYTES]] if _BYTES in data else _dict_tuple_or_set(data)
    return _read_parts(_MARK.join(outside), strings, _make_scanner(False, hook))


def _bytes_of(contents: str) -> bytes:
    """Return the value of a literal. Raises ValueError if it contains characters that are not in ASCII."""
    data = contents.replace(_BACKSLASH, "\\\\").replace(_QUOTE, "\\'").encode("ascii")
    if b"\\" not in data:
        return data
    value: bytes = codecs.escape_decode(data)[0]  # what the compiler of Python does with a literal
    return value


def _read_parts(outside: str, strings: List[str], scan: Optional[Callable[[str, int], Any]] = None) -> Any:
    """Read a text whose strings are given as contents of JSON strings, with this scanner if there are bytes in it."""
    if "null" in outside or "true" in outside or "false" in outside:
        return NOT_FAST     # constants of JSON that are not valid in Python
    if openings(outside) > _MAX_FAST_DEPTH and depth(outside) > _MAX_FAST_DEPTH:
        return NOT_FAST
    outside = outside.replace("None", "null").replace("True", "true").replace("False", "false")
    may_have_bytes, scan = scan is not None, scan or _scan
    if _pattern(_SET_LITERAL).search(outside):
        scan = scan if may_have_bytes else _scan_with_hook
        outside = _pattern(_SET_LITERAL).sub(_SET_JSON, outside)
    if "(" in outside:
        scan = scan if may_have_bytes else _scan_with_hook
        outside = outside.replace("(", _BEGIN_JSON).replace(",)", _COMMA_END_JSON).replace(")", _END_JSON)
    parts = [""] * (2 * len(strings) + 1)
    parts[::2] = outside.split(_MARK)
    parts[1::2] = strings
    json_text = '"'.join(parts)
    value, end = scan(json_text, 0)
    return value if end == len(json_text) else NOT_FAST


def openings(text: str) -> int:
    """Return the number of opening brackets."""
    return text.count("[") + text.count("{") + text.count("(")


def depth(text: str) -> int:
    """Return the maximum depth of the brackets in a text."""
    return max(accumulate(map(_BRACKETS.get, text.translate(_LATIN_BUT_BRACKETS), repeat(0))), default=0)
