"""
A fast path for writing serpent text: the very text that the serpent library would write, or none.

The library looks at every value in turn, in Python. Here repr() writes all that it writes in the same way, whole lists of it
in one go. Lists of dicts with the same keys, as they come from tables, are written column by column: what is the same in every
row is looked at once, and the types of a column are found out by one call. That is three times faster than row by row.
"""
from __future__ import annotations

from binascii import b2a_base64
from itertools import chain
from math import isfinite
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Union

__all__ = ["HEADER", "fast_dumps", "fast_dumps_call", "long_text_in_parts"]

HEADER = "# serpent utf-8 python3.2\n"

# Exact types: instances of their subclasses are written in other ways.
_BY_REPR = frozenset((type(None), bool, int, str))
_SHORT = _BY_REPR - {str}
_SCALARS = _BY_REPR | {float}
_WITHOUT_QUOTES = _SCALARS - {str}
_SEQUENCES = frozenset((list, tuple))
_KEYS = frozenset((bool, int, str))
_IN_SETS = frozenset((bool, int, str))
_ONLY_STR = frozenset((str,))

_MAX_DEPTH = 50
_FEW = 8                    # so many elements are written one by one
_MAX_COLUMNS_OF_ROWS = 16   # longer lists are no rows of a table
_LONG_TEXT = 500            # characters
# What stands for itself between single quotes; looking for anything else takes a third of the time of repr().
_PLAIN_ASCII = bytes(code for code in range(32, 127) if chr(code) not in "'\\")


class _NotPlain(Exception):
    """There is something in a value that only the serpent library knows how to write."""


def fast_dumps(value: Any, bytes_repr: bool = False) -> Optional[str]:
    """
    Write a value as serpent does, without the first line; None where that takes the slow way.

    Args:
        bytes_repr: write bytes as literals, not as base 64.
    """
    try:
        return _text(value, bytes_repr, _MAX_DEPTH)
    except _NotPlain:
        return None


def fast_dumps_call(obj: Any, method: Any, args: Any, kwargs: Optional[Mapping[str, Any]],
                    bytes_repr: bool = False) -> Optional[str]:
    """As fast_dumps for the tuple of these; args may be anything."""
    if type(obj) is not str or type(method) is not str:
        return None
    try:
        args_text = _text(args, bytes_repr, _MAX_DEPTH)
        kwargs_text = "{}" if type(kwargs) is dict and not kwargs else _text(kwargs, bytes_repr, _MAX_DEPTH)
    except _NotPlain:
        return None
    return f"({obj!r},{method!r},{args_text},{kwargs_text})"


def long_text_in_parts(value: Union[bytes, str]) -> Optional[Tuple[bytes, bytes, bytes]]:
    """Write bytes in base 64, or a str; give what begins it, the contents, and what ends it; None if that is not so simple."""
    if not isinstance(value, str):
        return b"{'data': '", b2a_base64(value, newline=False), b"', 'encoding': 'base64'}"
    contents = _plain_contents(value)
    return None if contents is None else (b"'", contents, b"'")


def _plain_contents(text: str) -> Optional[bytes]:
    """Give the characters of a str if they stand for themselves between single quotes, else None."""
    if "\n" in text or "'" in text or not text.isascii():   # seen at once, in most texts that are not plain
        return None
    contents = text.encode("ascii")
    return None if contents.translate(None, _PLAIN_ASCII) else contents


# ---------------------------------------------------------------- one value

def _text(value: Any, bytes_repr: bool, depth_left: int) -> str:
    kind = type(value)
    if kind in _BY_REPR:
        return repr(value) if kind is not str or len(value) < _LONG_TEXT else _long_text(value)
    if kind is float and isfinite(value):
        return repr(value)
    if not depth_left:
        raise _NotPlain
    if kind is dict:
        return _dict_text(value, bytes_repr, depth_left - 1)
    if kind in _SEQUENCES:
        return _sequence_text(value, kind, bytes_repr, depth_left - 1)
    return _other_text(value, kind, bytes_repr)


def _long_text(text: str) -> str:
    return repr(text) if _plain_contents(text) is None else f"'{text}'"


def _other_text(value: Any, kind: type, bytes_repr: bool) -> str:
    if kind is bytes or kind is bytearray:
        if bytes_repr:
            return repr(bytes(value))
        return "{'data': '%s', 'encoding': 'base64'}" % b2a_base64(value, newline=False).decode("ascii")
    if (kind is set or kind is frozenset) and _IN_SETS.issuperset(map(type, value)):
        return "{%s}" % ",".join(map(repr, value)) if value else "()"
    raise _NotPlain


def _dict_text(data: Dict[Any, Any], bytes_repr: bool, depth_left: int) -> str:
    if len(data) > 2 * _FEW:
        if not _KEYS.issuperset(map(type, data)):
            raise _NotPlain
        values = list(data.values())
        texts = _texts(values, set(map(type, values)), bytes_repr, depth_left)
        return "{%s}" % ",".join(map("%r:%s".__mod__, zip(data, texts)))
    parts = []
    for key, value in data.items():
        if type(key) not in _KEYS:
            raise _NotPlain
        # most values by far; calling _text for them would take twice as long
        if type(value) in _BY_REPR:
            parts.append(f"{key!r}:{value!r}")
        else:
            parts.append(f"{key!r}:{_text(value, bytes_repr, depth_left)}")
    return "{%s}" % ",".join(parts)


def _sequence_text(values: Sequence[Any], kind: type, bytes_repr: bool, depth_left: int) -> str:
    texts: Iterable[str]
    if len(values) <= _FEW:
        texts = [repr(value) if type(value) in _SHORT else _text(value, bytes_repr, depth_left) for value in values]
    else:
        kinds = set(map(type, values))
        if kinds <= _WITHOUT_QUOTES:
            return _text_without_quotes(values, float in kinds)
        texts = _texts(values, kinds, bytes_repr, depth_left)
    joined = ",".join(texts)
    if kind is list:
        return f"[{joined}]"
    return f"({joined},)" if len(values) == 1 else f"({joined})"


def _text_without_quotes(values: Sequence[Any], with_floats: bool) -> str:
    """Write a list or tuple in which there are no strings, so that what looks like a word or a separator is one."""
    text = repr(values)
    if with_floats and ("inf" in text or "nan" in text):
        raise _NotPlain
    return text.replace(", ", ",")


# ---------------------------------------------------------------- many values

def _texts(values: Sequence[Any], kinds: Set[type], bytes_repr: bool, depth_left: int) -> Iterable[str]:
    """Write each of many values, which are of these types."""
    template, columns = _columns(values, kinds, bytes_repr, depth_left)
    if template == "%r":
        return map(repr, values)
    # without columns all rows are alike
    return map(template.__mod__, zip(*columns)) if columns else [template % ()] * len(values)


_Columns = Tuple[str, List[Union[Sequence[Any], Iterable[str]]]]


def _columns(values: Sequence[Any], kinds: Set[type], bytes_repr: bool, depth_left: int) -> _Columns:
    """Give a template for each of some values, and what is to be put into it: a column for each place in it."""
    if kinds <= _SCALARS:
        if float in kinds and not all(map(isfinite, values if len(kinds) == 1 else _floats(values))):
            raise _NotPlain
        return "%r", [values]
    columns = None
    if len(kinds) == 1 and depth_left:
        columns = _columns_of_containers(values, next(iter(kinds)), bytes_repr, depth_left)
    return columns or ("%s", [[_text(value, bytes_repr, depth_left) for value in values]])


def _floats(values: Sequence[Any]) -> List[float]:
    return [value for value in values if type(value) is float]


def _columns_of_containers(values: Sequence[Any], kind: type, bytes_repr: bool, depth_left: int) -> Optional[_Columns]:
    """As _columns for values that are of the same kind; None if they do not look like the rows of a table."""
    if kind is dict:
        keys = set(map(tuple, values))
        # 1 and True are the same key, but not the same text
        if len(keys) == 1 and _ONLY_STR.issuperset(map(type, chain.from_iterable(values))):
            names = [repr(key).replace("%", "%%") + ":" for key in keys.pop()]
            return _row_columns(zip(*map(dict.values, values)), names, "{%s}", bytes_repr, depth_left - 1)
    elif kind in _SEQUENCES:
        lengths = set(map(len, values))
        length = lengths.pop()
        if not lengths and length <= _MAX_COLUMNS_OF_ROWS:
            brackets = "[%s]" if kind is list else "(%s,)" if length == 1 else "(%s)"
            return _row_columns(zip(*values), [""] * length, brackets, bytes_repr, depth_left - 1)
    return None


def _row_columns(columns: Iterable[Sequence[Any]], names: List[str], brackets: str, bytes_repr: bool,
                 depth_left: int) -> _Columns:
    """As _columns for rows, whose elements come in columns already."""
    parts: List[str] = []
    all_columns: List[Any] = []
    for name, column in zip(names, columns):
        template, more_columns = _columns(column, set(map(type, column)), bytes_repr, depth_left)
        parts.append(name + template)
        all_columns += more_columns
    return brackets % ",".join(parts), all_columns
