"""
A fast path for writing serpent text: the very text that the serpent library would write, or none.

The library looks at every value in turn, in Python. Here repr() writes all that it writes in the same way, whole lists of it
in one go. Lists of dicts with the same keys, as they come from tables, are written column by column: what is the same in every
row is looked at once, and the types of a column are found out by one call. That is three times faster than row by row, and
eight times where most columns have few different values, as categories, flags and names of places do: each is written once.
"""
from __future__ import annotations

from binascii import b2a_base64
from itertools import chain, repeat
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
_REPEATED = 4               # times each value stands in a column for it to be worth writing each once
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

# The texts of many values, which may be the rows of a table, cut into pieces: a str is the same for all of them, anything
# else gives a text for each.
_Pieces = List[Union[str, Iterable[str]]]


def _texts(values: Sequence[Any], kinds: Set[type], bytes_repr: bool, depth_left: int) -> Iterable[str]:
    """Write each of many values, which are of these types."""
    pieces = _pieces(values, kinds, bytes_repr, depth_left)
    if len(pieces) == 1:
        return [pieces[0]] * len(values) if type(pieces[0]) is str else pieces[0]
    # half of the time that formatting takes
    return map("".join, zip(*[repeat(piece) if type(piece) is str else piece for piece in pieces]))


def _pieces(values: Sequence[Any], kinds: Set[type], bytes_repr: bool, depth_left: int) -> _Pieces:
    if kinds <= _SCALARS:
        if len(kinds) == 1:
            return [_scalar_column(values, float in kinds)]
        if float in kinds and not all(map(isfinite, _floats(values))):
            raise _NotPlain
        return [map(repr, values)]
    pieces = None
    if len(kinds) == 1 and depth_left:
        pieces = _pieces_of_containers(values, next(iter(kinds)), bytes_repr, depth_left)
    return pieces or [[_text(value, bytes_repr, depth_left) for value in values]]


def _scalar_column(values: Sequence[Any], are_floats: bool) -> Union[str, Iterable[str]]:
    """Write scalars of one type; equal ones look the same, but for zeros."""
    # a look at the first ones: finding out that all are different would take a third of the time of writing them
    distinct = set(values) if len(set(values[:_FEW])) <= _FEW // 2 else values
    if are_floats and not all(map(isfinite, distinct)):
        raise _NotPlain
    if len(distinct) > len(values) // _REPEATED or (are_floats and 0.0 in distinct):
        return map(repr, values)
    if len(distinct) == 1:
        return repr(values[0])
    texts = {value: repr(value) for value in distinct}
    return map(texts.__getitem__, values)


def _floats(values: Sequence[Any]) -> List[float]:
    return [value for value in values if type(value) is float]


def _pieces_of_containers(values: Sequence[Any], kind: type, bytes_repr: bool, depth_left: int) -> Optional[_Pieces]:
    """As _pieces for values that are of the same kind; None if they do not look like the rows of a table."""
    if kind is dict:
        keys = set(map(tuple, values))
        # 1 and True are the same key, but not the same text
        if len(keys) == 1 and _ONLY_STR.issuperset(map(type, chain.from_iterable(values))):
            names = [repr(key) + ":" for key in keys.pop()]
            return _row_pieces(zip(*map(dict.values, values)), names, ("{", "}"), bytes_repr, depth_left - 1)
    elif kind in _SEQUENCES:
        lengths = set(map(len, values))
        length = lengths.pop()
        if not lengths and length <= _MAX_COLUMNS_OF_ROWS:
            brackets = ("[", "]") if kind is list else ("(", ",)" if length == 1 else ")")
            return _row_pieces(zip(*values), [""] * length, brackets, bytes_repr, depth_left - 1)
    return None


def _row_pieces(columns: Iterable[Sequence[Any]], names: List[str], brackets: Tuple[str, str],
                bytes_repr: bool, depth_left: int) -> _Pieces:
    """As _pieces for rows, whose elements come in columns already; names are what goes before each."""
    pieces: _Pieces = []
    begin, end = brackets
    constant = begin        # what comes after the last piece, and is the same in all rows
    for separator, name, column in zip(chain([""], repeat(",")), names, columns):
        constant += separator + name
        for piece in _pieces(column, set(map(type, column)), bytes_repr, depth_left):
            if type(piece) is str:
                constant += piece
            else:
                pieces += constant, piece
                constant = ""
    return [*pieces, constant + end]
