"""The serpent serializer: values as the text of Python literals. The default, and the one that takes most types."""
from __future__ import annotations

import collections
import enum
import gc
import importlib
import importlib.util
import os
import re
import sys
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .. import config
from .._values import classes, containers, hash_flooding, plain
from .._values.serpent import reader, writer
from .._values.serpent.writer import HEADER
from .base import Data, Payload, SerializerBase, is_long, is_long_dict

__all__ = ["SerpentSerializer"]


def _load_serpent_library() -> Any:
    """Import the library; when this package is a part of another one, a copy that lies beside it there goes first."""
    parent = (__package__ or "").rpartition(".")[0].rpartition(".")[0]
    if parent and importlib.util.find_spec(parent + ".serpent"):
        return importlib.import_module(parent + ".serpent")
    try:
        import serpent  # a statement, so that tools that bundle programs see it
    except ModuleNotFoundError as x:
        if x.name == "serpent":
            x.msg = "Pyro5 needs the package serpent, which is not installed for %s: run %s -m pip install serpent" % (
                sys.executable, sys.executable)
        raise
    return serpent


_library = _load_serpent_library()

# What no converter can be registered for: builtins are what everything else is turned into.
_BUILTINS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray, memoryview, tuple, list, dict, set,
                       frozenset))


_ESCAPED_LETTER = re.compile(r"\\[xuUN0-7]")


class _Writer(_library.Serializer):  # type: ignore[misc, name-defined]
    """
    The library's serializer, with what was registered here for classes taking precedence.

    Hooks that a program registered with the library itself go on working for all other classes.
    """

    def __init__(self, bytes_repr: bool, replaced: Optional[Callable[[Any], Any]] = None) -> None:
        super().__init__(module_in_classname=True, bytes_repr=bytes_repr)
        self._replaced = replaced

    def write(self, obj: Any) -> bytes:
        # the library always leaves the garbage collector switched on
        collecting = gc.isenabled()
        try:
            data: bytes = self.serialize(obj)
        finally:
            if not collecting:
                gc.disable()
        return data

    def _serialize(self, obj: Any, out: List[str], level: int) -> None:
        if type(obj) in _BUILTINS:
            super()._serialize(obj, out, level)
            return
        if self._replaced is not None:
            obj = self._replaced(obj)
            if type(obj) in _BUILTINS:
                super()._serialize(obj, out, level)
                return
        form = classes.registered_form(obj, for_serpent=True)
        if form is not classes.NOT_REGISTERED:
            # one level more: a converter that returns an instance of its own class comes to an end
            self._serialize(form, out, level + 1)
            return
        if not isinstance(obj, enum.Enum):  # the library writes the repr of numbers, which is the subclass's own
            obj = plain.base_value(obj)
        super()._serialize(obj, out, level)
        # the library does not do so for OrderedDicts, and takes a second occurrence for a cycle
        self.serialized_obj_ids.discard(id(obj))


_NUMBERS = frozenset((str, int, float))


def _number(value: Any) -> float:
    if type(value) not in _NUMBERS:
        raise ValueError("not a number: %s" % plain.text_of(value))
    return float(value)


def _to_float(data: Dict[str, Any], convert: classes.Convert) -> float:
    return _number(data["value"])


def _to_complex(data: Dict[str, Any], convert: classes.Convert) -> complex:
    # not a number is a tagged dict itself
    return complex(_number(convert(data["real"])), _number(convert(data["imag"])))


def _to_ordered_dict(data: Dict[str, Any], convert: classes.Convert) -> Any:
    items = data["items"]
    is_sequence = type(items) in plain.SEQUENCES and plain.SEQUENCES.issuperset(map(type, items))
    if not (is_sequence and {2}.issuperset(map(len, items))):
        raise ValueError("the items of an OrderedDict must be pairs")
    keys = [item[0] for item in items]
    if not plain.is_plain(keys):
        raise TypeError("the keys of an OrderedDict must be plain data")
    hash_flooding.check(keys)
    return collections.OrderedDict([(key, convert(item[1])) for key, item in zip(keys, items)])


# What has no literal: the library writes these as tagged dicts.
_TAGS: Mapping[str, classes.FromTaggedDict] = {
    "float": _to_float,
    "complex": _to_complex,
    "collections.OrderedDict": _to_ordered_dict,
}


# Held while a long text is read in the slow way: of many threads that do that at once, one at a time competes with all the
# others for the interpreter.  No user code runs meanwhile.
_slow_reading = threading.Lock()
_AT_ONCE_CHARACTERS = 16384     # reading shorter ones takes no longer than waiting


def _renew_lock() -> None:
    """In a forked child: the thread that held the lock may be the parent's."""
    global _slow_reading
    _slow_reading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


# What hardly any text has, to be replaced by a long value.
_MARK = "\1long\1"
_MARK_TEXT = repr(_MARK).encode("ascii")


class SerpentSerializer(SerializerBase):
    """Python literals in UTF-8, see the serpent library."""

    serializer_id = 1
    name = "serpent"

    def __init__(self) -> None:
        super().__init__(extra_tags=_TAGS)

    def _encode(self, data: Any) -> bytes:
        text = writer.fast_dumps(data, config.SERPENT_BYTES_REPR)
        return self._encode_slowly(data) if text is None else (HEADER + text).encode("utf-8")

    def _encode_slowly(self, data: Any) -> bytes:
        return _Writer(bool(config.SERPENT_BYTES_REPR), self._replaced if self._replacements else None).write(data)

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        text = writer.fast_dumps_call(obj, method, vargs, kwargs, config.SERPENT_BYTES_REPR)
        return self.dumps((obj, method, vargs, kwargs)) if text is None else (HEADER + text).encode("utf-8")

    def _value_in_parts(self, data: Any) -> Optional[List[bytes]]:
        long_values: List[Any] = []
        text = writer.fast_dumps(_with_marks(data, long_values))
        return _put_together(text, long_values)

    def _call_in_parts(self, obj: str, method: str, vargs: Sequence[Any],
                       kwargs: Mapping[str, Any]) -> Optional[List[bytes]]:
        long_values: List[Any] = []
        args = [_with_marks(value, long_values) for value in vargs]
        text = writer.fast_dumps_call(obj, method, tuple(args) if type(vargs) is tuple else args, kwargs)
        return _put_together(text, long_values)

    def dumps_element(self, data: Any) -> bytes:
        return self.dumps(data)[len(HEADER):]

    def list_payload(self, elements: Sequence[bytes]) -> Payload:
        return b"%s[%s]" % (HEADER.encode("ascii"), b",".join(elements))

    def check_containers(self, data: Data, most: int, elements: bool = False) -> None:
        containers.check_text(data, most, elements)

    def _decode(self, data: Data) -> Tuple[Any, bool]:
        text = str(data, "utf-8")
        return _with_tags(reader.fast_loads(text), text)

    def _decode_call(self, data: Data) -> Tuple[Any, bool]:
        text = str(data, "utf-8")
        return _with_tags(reader.fast_loads_call(text), text)


def _with_marks(value: Any, long_values: List[Any]) -> Any:
    """Put a mark in the place of a long value, or of the one in the dict that bytes become; the value goes to the list."""
    if is_long(value):
        long_values.append(value)
        return _MARK
    if is_long_dict(value):
        return {key: _with_marks(element, long_values) for key, element in value.items()}
    return value


def _put_together(text: Optional[str], long_values: Sequence[Any]) -> Optional[List[bytes]]:
    """Put long values where the marks in the text of a document are; None if that cannot be done."""
    if text is None or config.SERPENT_BYTES_REPR:
        return None
    pieces = (HEADER + text).encode("utf-8").split(_MARK_TEXT)
    if len(pieces) != len(long_values) + 1:
        return None         # something else in the value looks like a mark
    parts = [pieces[0]]
    for value, piece in zip(long_values, pieces[1:]):
        written = writer.long_text_in_parts(value)
        if written is None:
            return None
        begin, contents, end = written
        parts[-1] += begin
        parts += contents, end + piece
    return parts


def _with_tags(value: Any, text: str) -> Tuple[Any, bool]:
    """Give the value, if need be read in the slow way, and whether there may be tagged dicts in it."""
    if value is reader.NOT_FAST:
        return _slow_loads(text), True
    # letters and underscores may be written as escapes
    return value, "_" in text and classes.TAG in text or "\\" in text and _ESCAPED_LETTER.search(text) is not None


def _slow_loads(text: str) -> Any:
    """As serpent.loads, which would switch the garbage collector off and on again, even if it was off before."""
    if "\0" in text:
        raise ValueError("the serpent data contains 0-bytes; it has been corrupted")
    from .._values.serpent import chunks, guard
    if len(text) <= _AT_ONCE_CHARACTERS:
        guard.check_complexity(text)
        return chunks.evaluate(text)
    with _slow_reading:
        guard.check_complexity(text)
        return chunks.evaluate(text)


def __getattr__(name: str) -> Any:
    """Return what the serpent library has under a name: programs write ``from Pyro5.serializers import serpent``."""
    if name.startswith("__"):
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    return getattr(_library, name)
