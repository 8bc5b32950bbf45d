"""Calls as serpent text: those that servers read, and batches of them.

A batch is hundreds of small tuples, for which the general reader and writer are slow. Calls with short arguments (numbers,
texts and constants) are written by filling in a form, in a third of the time. They are read as JSON lists, in a fifth of the
time: the general reader calls a function for each tuple, because it has to distinguish tuples from lists. If all are calls of
one method, only their arguments are read, which may contain lists and dicts. Other batches are left to the general functions.
"""
from __future__ import annotations

import re
from itertools import chain
from math import isfinite
from typing import Any, List, Optional, Sequence

from .. import classes
from . import reader
from .writer import HEADER

_AFTER_CALLS = "],None)"
END_OF_BATCH = ",{})" + _AFTER_CALLS    # if the last call has no keyword arguments
_BEGINNING = re.escape(HEADER) + r"""\('([^'"\\\0\r\n]*)','([^'"\\\0\r\n]*)',"""    # up to the arguments
# A call with numbers, texts without escapes, and lists of these: which JSON writes in the same way, but for the quotes.
PLAIN_CALL = re.compile(_BEGINNING + r"""\(((?:[-0-9.,\[\]]|'[^'"\\\0-\x1f]*'){0,46})\),\{\}\)""")
_CALL, _BATCH = re.compile(_BEGINNING + r"\("), re.compile(_BEGINNING + r"\[")
_END_OF_CALL = "),{})"  # without keyword arguments
_FIRST_CALL = re.compile(r"""\('([^'"\\\0\r\n]*)',\(""")
_SCALARS = frozenset((type(None), bool, int, float, str))
# Escapes, and what JSON and Python read in different ways.
_NOT_FAST = ('"', "\\", "\0", "\n", "\r", "null", "true", "false")


def fast_dumps_calls(calls: Sequence[Any]) -> Optional[str]:
    """Return the text of a list of calls, tuples of (method, args, kwargs); None if they are left to the general writer."""
    if type(calls) is not list or {tuple} != set(map(type, calls)) or {3} != set(map(len, calls)):
        return None
    names, arguments, named = zip(*calls)
    if any(named) or [set(map(type, column)) for column in (names, arguments, named)] != [{str}, {tuple}, {dict}]:
        return None
    values = tuple(chain.from_iterable(arguments))
    kinds = set(map(type, values))
    if not kinds <= _SCALARS or (float in kinds and not all([isfinite(value) for value in values if type(value) is float])):
        return None     # the library writes inf and nan in other ways
    lengths = tuple(map(len, arguments))
    if names.count(names[0]) == len(names) == lengths.count(lengths[0]):  # saves a fifth of the time
        return "[%s]" % ",".join([_form_text(names[0], lengths[0])] * len(names)) % values
    forms = list(zip(names, lengths))
    texts = {form: _form_text(*form) for form in set(forms)}
    return "[%s]" % ",".join(map(texts.__getitem__, forms)) % values


def _form_text(name: str, length: int) -> str:
    """Return the text of the calls of a method with this number of arguments; %r stands for each argument."""
    places = "%r," if length == 1 else ",".join(["%r"] * length)
    return "(%s,(%s),{})" % (repr(name).replace("%", "%%"), places)


def fast_loads_call(text: str) -> Any:
    """Return the value of a document that should be a call (object id, method, args, kwargs), but may be any value."""
    # Object id and method are matched by the pattern, so only the arguments have to be rewritten and scanned.
    beginning = _CALL.match(text)
    if beginning is None or not text.endswith(_END_OF_CALL):
        return reader.fast_loads(text)
    value = reader.read_long(text) if len(text) > reader.LONG_BODY else reader.NOT_FAST
    if value is not reader.NOT_FAST:
        return value
    # If the arguments can be read as the elements of a list, their brackets match, and so the outer parentheses match too.
    args_text = text[beginning.end():-len(_END_OF_CALL)]
    has_comma = args_text.endswith(",")
    if not args_text:
        return (*beginning.groups(), (), {})
    args = reader.read_body("[%s]" % (args_text[:-1] if has_comma else args_text))
    if args is reader.NOT_FAST or (len(args) < 2 and (len(args) == 1) is not has_comma):
        return reader.fast_loads(text)
    return (*beginning.groups(), tuple(args), {})


def fast_loads_batch(text: str) -> Any:
    """Return the value of a request that ends with END_OF_BATCH; reader.NOT_FAST if it is left to the general reader."""
    beginning = _BATCH.match(text)
    if beginning is None:
        return reader.NOT_FAST
    body = text[beginning.end():-len(_AFTER_CALLS)]
    if any([part in body for part in _NOT_FAST]):
        return reader.NOT_FAST
    try:
        calls = _read_calls_of_one_method(body) or _read_calls(body)
    except (ValueError, StopIteration, TypeError, RecursionError):
        return reader.NOT_FAST
    return (*beginning.groups(), calls, None)


def _read_calls_of_one_method(body: str) -> Optional[List[Any]]:
    """Read the arguments of calls of one method, in half of the time of `_read_calls`; None if that has to read the text."""
    first = _FIRST_CALL.match(body)
    end = ",),{})" if body.endswith(",),{})") else "),{})"
    if first is None or not body.endswith(end):
        return None
    # A separator has quotes, and strings have none. If its quotes are those of two strings, the scanner refuses the result.
    rest = body[first.end():-len(end)].replace(f"{end},{first.group()}", "\n")
    if "(" in rest or ")" in rest:
        return None
    arguments = _scan_lists(rest) if "[" in rest or "{" in rest else _scan("[[%s]]" % rest.replace("\n", "],\n["))
    # (1) is not a tuple, and (,) is nothing at all
    lengths = set(map(len, arguments))
    if lengths != {1} if end[0] == "," else 1 in lengths:
        return None
    return [(first[1], each, {}) for each in map(tuple, arguments)]


def _scan_lists(lines: str) -> List[Any]:
    """Read the arguments of each call from a line of its own, with lists and dicts in them. Raises as `_scan`."""
    if classes.TAG in lines or reader.may_be_deep(lines):
        raise ValueError("objects, or lists in lists in lists")
    # What is between two calls is in no list but the outer one, or the brackets of a call do not match.
    values = _scan("[[%s]]" % lines.replace("\n", '],\n"\\u0000",['))
    if values[1::2] != ["\0"] * lines.count("\n"):
        raise ValueError("brackets that do not match")
    return values[::2]


def _scan(json_text: str) -> List[Any]:
    """Parse JSON but for its quotes and constants. Raises ValueError or StopIteration if a string contains a name of these."""
    json_text = json_text.replace("'", '"')
    if "None" in json_text or "True" in json_text or "False" in json_text:
        json_text = json_text.replace("None", "null\n").replace("True", "true\n").replace("False", "false\n")
    calls: List[Any] = reader.scan_list(json_text)
    return calls


def _read_calls(body: str) -> List[Any]:
    """Read calls that contain no brackets but their own, those of their arguments, and {} in the place of keyword arguments.

    Raises:
        ValueError, StopIteration, TypeError: the text is something else.
    """
    count, commas = body.count("{}"), body.count(",)")
    if "[" in body or "]" in body or [2 * count] * 2 + [count] * 2 != list(map(body.count, "(){}")):
        raise ValueError("other brackets")
    # The scanner refuses line breaks in strings, so it detects a string that contains what is replaced here.
    calls = _scan("[%s]" % body.replace(",)", ")").replace("(", "[\n").replace(")", "\n]"))
    # All opening brackets are those of the calls and their arguments if there are as many of both as of {}.
    names, arguments, named = zip(*calls)
    if len(calls) != count or any(named) or [set(map(type, column)) for column in (calls, names, arguments, named)] != [
            {list}, {str}, {list}, {dict}]:
        raise ValueError("not a list of calls")
    # (1) is not a tuple: either all arguments have the comma of (1,), and cannot have more than one, or none has it
    if list(map(len, arguments)).count(1) != commas or commas not in (0, count):
        raise ValueError("parentheses that are not those of a tuple")
    return list(zip(names, map(tuple, arguments), named))
