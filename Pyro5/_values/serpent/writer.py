"""A fast writer of serpent text: it writes exactly the text that the serpent library would write, or gives up.

The library processes each value by Python code. Here repr() writes all values that it writes in the same way, whole lists of
them in one call. Lists of dicts with the same keys, such as the rows of a table, are written column by column: the keys are
examined once, and the types of a column by one call. This is three times faster than writing row by row, and eight times
faster if most columns have few different values (categories, flags, names of places), each of which is written once.
"""
from __future__ import annotations

from itertools import chain, repeat
from math import isfinite
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Union

from ... import LazyModule

if TYPE_CHECKING:
    import binascii
else:
    binascii = LazyModule(globals(), "binascii")  # for bytes

HEADER = "# serpent utf-8 python3.2\n"

# Exact types, because the library writes instances of subclasses in other ways.
_BY_REPR = frozenset((type(None), bool, int, str))
_SHORT = _BY_REPR - {str}
_SCALARS = _BY_REPR | {float}
_WITHOUT_QUOTES = _SCALARS - {str}
_SEQUENCES = frozenset((list, tuple))
_HASHED = frozenset((bool, int, str))    # in sets, and as keys
_ONLY_STR = frozenset((str,))

_MAX_DEPTH = 50
_FEW = 8                    # elements; so few are written one by one
_MAX_COLUMNS_OF_ROWS = 16   # longer lists are not treated as rows of a table
_REPEATED = 4               # average count of each value in a column from which writing each value once pays
SHORT_TEXT = 500            # characters; longer ones may be plain
# Characters that repr() writes unchanged between single quotes. Searching for others takes a third of the time of repr().
_PLAIN_ASCII = bytes(range(32, 127)).translate(None, b"'\\")


class _NotPlain(Exception):
    """A value contains something that only the serpent library can write."""


def fast_dumps(value: Any, bytes_repr: bool = False) -> Optional[str]:
    """Return the text that the serpent library writes for a value, without the first line; None if only the library can write
    it.

    Args:
        bytes_repr: write bytes as literals instead of base64.
    """
    try:
        return _text(value, bytes_repr, _MAX_DEPTH)
    except _NotPlain:
        return None


def fast_dumps_call(obj: Any, method: Any, args: Any, kwargs: Optional[Mapping[str, Any]],
                    bytes_repr: bool = False) -> Optional[str]:
    """Return the text of a call, the tuple of these values; see fast_dumps. args may be any value."""
    if type(obj) is not str or type(method) is not str:
        return None
    try:
        args_text = _text(args, bytes_repr, _MAX_DEPTH)
        kwargs_text = "{}" if type(kwargs) is dict and not kwargs else _text(kwargs, bytes_repr, _MAX_DEPTH)
    except _NotPlain:
        return None
    return f"({obj!r},{method!r},{args_text},{kwargs_text})"


def long_text_in_parts(value: Union[bytes, str], tagged: bool = False) -> Optional[Tuple[bytes, bytes, bytes]]:
    """Return the text of bytes (in base64) or a str in three parts: start, contents, end; None for a str with escapes.

    Args:
        tagged: write bytes as a tagged dict. Base64 is several times faster to write and to read than a long literal, and a
            third of its size.
    """
    if not isinstance(value, str):
        if tagged:
            return b"{'__class__': 'Pyro5.bytes', 'value': '", binascii.b2a_base64(value, newline=False), b"'}"
        return b"{'data': '", binascii.b2a_base64(value, newline=False), b"', 'encoding': 'base64'}"
    contents = _plain_contents(value)
    return None if contents is None else (b"'", contents, b"'")


def _plain_contents(text: str) -> Optional[bytes]:
    """Return the characters of a str if repr() would write them unchanged between single quotes, otherwise None."""
    if "\n" in text or "'" in text or not text.isascii():   # found at once in most texts with other characters
        return None
    contents = text.encode("ascii")
    return None if contents.translate(None, _PLAIN_ASCII) else contents


# ---------------------------------------------------------------- one value

def _text(value: Any, bytes_repr: bool, depth_left: int) -> str:
    # the order of the tests is that of the frequency of the types in messages
    kind = type(value)
    if kind in _BY_REPR:
        return repr(value) if kind is not str or len(value) < SHORT_TEXT or _plain_contents(value) is None else f"'{value}'"
    if kind is float and isfinite(value):  # the library writes inf and nan in other ways
        return repr(value)
    if not depth_left:
        raise _NotPlain
    if kind is dict:
        return _dict_text(value, bytes_repr, depth_left - 1)
    if kind in _SEQUENCES:
        return _sequence_text(value, kind, bytes_repr, depth_left - 1)
    return _other_text(value, kind, bytes_repr)


def _other_text(value: Any, kind: type, bytes_repr: bool) -> str:
    if kind is bytes or kind is bytearray:
        if bytes_repr:
            return repr(bytes(value))
        return "{'data': '%s', 'encoding': 'base64'}" % binascii.b2a_base64(value, newline=False).decode("ascii")
    if kind is memoryview and bytes_repr:
        return repr(value.tobytes())
    if (kind is set or kind is frozenset) and _HASHED.issuperset(map(type, value)):
        return "{%s}" % ",".join(map(repr, value)) if value else "()"
    raise _NotPlain


def _dict_text(data: Dict[Any, Any], bytes_repr: bool, depth_left: int) -> str:
    # For many entries, the types of all keys and of all values are examined by one call each.
    if len(data) > 2 * _FEW:
        if not _HASHED.issuperset(map(type, data)):
            raise _NotPlain
        values = list(data.values())
        texts = _texts(values, set(map(type, values)), bytes_repr, depth_left)
        return "{%s}" % ",".join(map("%r:%s".__mod__, zip(data, texts)))
    parts = []
    for key, value in data.items():
        if type(key) not in _HASHED:
            raise _NotPlain
        # nearly all values of small dicts; a call of _text would take twice as long
        if type(value) in _BY_REPR:
            parts.append(f"{key!r}:{value!r}")
        else:
            parts.append(f"{key!r}:{_text(value, bytes_repr, depth_left)}")
    return "{%s}" % ",".join(parts)


def _sequence_text(values: Sequence[Any], kind: type, bytes_repr: bool, depth_left: int) -> str:
    texts: Iterable[str]
    if len(values) <= _FEW:
        texts = [repr(value) if type(value) in _SHORT or type(value) is str and len(value) < SHORT_TEXT
                 else _text(value, bytes_repr, depth_left) for value in values]
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
    """Return the text of a list or tuple without strings, in which every "inf", "nan" and ", " is what it looks like."""
    text = repr(values)
    if with_floats and ("inf" in text or "nan" in text):
        raise _NotPlain
    return text.replace(", ", ",")


# ---------------------------------------------------------------- many values

# The texts of many values, which may be the rows of a table, in pieces: a str is the same piece for all of them, an iterable
# has one piece for each.
if TYPE_CHECKING:
    _Pieces = List[Union[str, Iterable[str]]]


def _texts(values: Sequence[Any], kinds: Set[type], bytes_repr: bool, depth_left: int) -> Iterable[str]:
    """Return the texts of many values, whose types are in `kinds`."""
    pieces = _pieces(values, kinds, bytes_repr, depth_left)
    if len(pieces) == 1:
        return [pieces[0]] * len(values) if type(pieces[0]) is str else pieces[0]
    # takes half the time of formatting each row
    return map("".join, zip(*[repeat(piece) if type(piece) is str else piece for piece in pieces]))


def _pieces(values: Sequence[Any], kinds: Set[type], bytes_repr: bool, depth_left: int) -> _Pieces:
    if kinds <= _SCALARS:
        if len(kinds) == 1:
            return [_scalar_column(values, float in kinds)]
        # isfinite() fails for huge ints, so only floats are passed to it
        if float in kinds and not all(map(isfinite, [value for value in values if type(value) is float])):
            raise _NotPlain
        return [map(repr, values)]
    pieces = None
    if len(kinds) == 1 and depth_left:
        pieces = _pieces_of_containers(values, next(iter(kinds)), bytes_repr, depth_left)
    return pieces or [[_text(value, bytes_repr, depth_left) for value in values]]


def _scalar_column(values: Sequence[Any], are_floats: bool) -> Union[str, Iterable[str]]:
    """Return the pieces of a column of scalars of one type. Equal ones have the same text, except for 0.0 and -0.0."""
    # Examine only the first values: finding out that all are different would take a third of the time of writing them.
    distinct = set(values) if len(set(values[:_FEW])) <= _FEW // 2 else values
    if are_floats and not all(map(isfinite, distinct)):
        raise _NotPlain
    if len(distinct) > len(values) // _REPEATED or (are_floats and 0.0 in distinct):
        return map(repr, values)
    if len(distinct) == 1:
        return repr(values[0])
    texts = {value: repr(value) for value in distinct}
    return map(texts.__getitem__, values)


def _pieces_of_containers(values: Sequence[Any], kind: type, bytes_repr: bool, depth_left: int) -> Optional[_Pieces]:
    """Return the pieces of containers of the same type; None if they are not like the rows of a table."""
    if kind is dict:
        keys = set(map(tuple, values))
        # only keys that are texts: 1 and True are equal keys, but have different texts
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
    """Return the pieces of rows, whose elements are passed as columns; `names` are the texts before the elements."""
    pieces: _Pieces = []
    begin, end = brackets
    constant = begin        # the text after the last piece, which is the same in all rows
    for separator, name, column in zip(chain([""], repeat(",")), names, columns):
        constant += separator + name
        for piece in _pieces(column, set(map(type, column)), bytes_repr, depth_left):
            if type(piece) is str:
                constant += piece
            else:
                pieces += constant, piece
                constant = ""
    return [*pieces, constant + end]
