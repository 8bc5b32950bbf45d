"""The serpent serializer: values as the text of Python literals. It is the default, and supports the most types."""
from __future__ import annotations

import binascii
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
from .._values import classes, containers, hash_flooding, numpy_arrays, numpy_scalars, plain, plain_copy
from .._values.serpent import batches, reader, writer
from .._values.serpent.writer import HEADER
from .base import Data, Payload, SerializerBase, is_long, is_long_dict

__all__ = ["SerpentSerializer"]


def _load_serpent_library() -> Any:
    """Import the serpent library. If this package is vendored, a copy of the library beside it takes precedence."""
    parent = (__package__ or "").rpartition(".")[0].rpartition(".")[0]
    if parent and importlib.util.find_spec(parent + ".serpent"):
        return importlib.import_module(parent + ".serpent")
    try:
        import serpent  # an import statement, so that tools that bundle programs find it
    except ModuleNotFoundError as x:
        if x.name == "serpent":
            x.msg = "Pyro5 needs the package serpent, which is not installed for %s: run %s -m pip install serpent" % (
                sys.executable, sys.executable)
        raise
    return serpent


_library = _load_serpent_library()

# Converters do not apply to these types: they are what converters convert to.
_BUILTINS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray, memoryview, tuple, list, dict, set,
                       frozenset))


_WITH_KEYS = frozenset((dict, set, frozenset))
_FEW_CALLS = 8      # of a batch; the general writer writes so few as fast

_ESCAPED_LETTER = re.compile(r"\\[xuUN0-7]")


class _Writer(_library.Serializer):  # type: ignore[misc, name-defined]
    """The serializer of the library, for which the converters of this package take precedence.

    Hooks that a program has registered with the library itself apply to all other classes.
    """

    def __init__(self, bytes_repr: bool, replaced: Optional[Callable[[Any], Any]] = None, tagged: bool = False) -> None:
        super().__init__(module_in_classname=True, bytes_repr=bytes_repr)
        self._replaced = replaced
        self._tagged = tagged
        self._has_numpy = numpy_scalars.scalar_class() is not None

    def write(self, obj: Any) -> bytes:
        # the library disables the garbage collector, and enables it afterwards even if it was disabled before
        collecting = gc.isenabled()
        try:
            data: bytes = self.serialize(obj)
        finally:
            if not collecting:
                gc.disable()
        return data

    def _serialize(self, obj: Any, out: List[str], level: int) -> None:
        if type(obj) in _BUILTINS:
            if self._tagged and type(obj) in _WITH_KEYS:
                obj = plain_copy.with_tagged_keys(obj)
            super()._serialize(numpy_scalars.with_plain_keys(obj) if self._has_numpy else obj, out, level)
            return
        if self._replaced is not None:
            obj = self._replaced(obj)
            if type(obj) in _BUILTINS:
                super()._serialize(obj, out, level)
                return
        form = classes.registered_form(obj, for_serpent=True, tagged=self._tagged)
        if form is not classes.NOT_REGISTERED:
            # One level deeper: the library limits the depth, so a converter that returns an instance of its own class ends
            # in an error and not in an endless recursion.
            self._serialize(form, out, level + 1)
            return
        if classes.is_mmap(obj):
            self._serialize(obj[:], out, level + 1)
            return
        if classes.is_array(obj) and obj.typecode != "u":
            self._serialize(classes.array_to_plain(obj), out, level + 1)
            return
        if self._has_numpy:
            obj = self._without_numpy(obj)
            if type(obj) in _BUILTINS:
                self._serialize(obj, out, level + 1)  # a record becomes a tuple of other scalars
                return
        if not isinstance(obj, enum.Enum):  # the library writes the repr of a number, which a subclass may override
            obj = plain.base_value(obj)
        super()._serialize(obj, out, level)
        # the library does not do this for an OrderedDict, and would report a second occurrence of it as a cycle
        self.serialized_obj_ids.discard(id(obj))

    def _without_numpy(self, obj: Any) -> Any:
        if numpy_scalars.is_array(obj):  # the library would send the attributes of a masked array
            form = numpy_arrays.array_form(obj)
            if form is numpy_arrays.NO_ARRAY:
                raise TypeError("don't know how to serialize class %s: %s" % (type(obj), numpy_scalars.ARRAY_ADVICE))
            return form
        table = numpy_arrays.array_form(obj)
        if table is not numpy_arrays.NO_ARRAY:
            return table
        return numpy_scalars.with_plain_keys(numpy_scalars.plain_scalar(obj))


_NUMBERS = frozenset((str, int, float))


def _number(value: Any) -> float:
    if type(value) not in _NUMBERS:  # float() would call methods of any other object
        raise ValueError("not a number: %s" % plain.text_of(value))
    return float(value)


def _to_float(data: Dict[str, Any], convert: classes.Convert) -> float:
    return _number(data["value"])


def _to_complex(data: Dict[str, Any], convert: classes.Convert) -> complex:
    # each part may be the tagged dict of a float: the library writes NaN as one
    return complex(_number(convert(data["real"])), _number(convert(data["imag"])))


def _to_ordered_dict(data: Dict[str, Any], convert: classes.Convert) -> Any:
    items = data["items"]
    is_sequence = type(items) in plain.SEQUENCES and plain.SEQUENCES.issuperset(map(type, items))
    if not (is_sequence and {2}.issuperset(map(len, items))):
        raise ValueError("the items of an OrderedDict must be pairs")
    keys = [item[0] for item in items]
    if not plain.is_plain(keys):
        raise TypeError("the keys of an OrderedDict must be plain data")
    hash_flooding.check(keys)  # keys with equal hashes would make building the dict take quadratic time
    return collections.OrderedDict([(key, convert(item[1])) for key, item in zip(keys, items)])


def _to_bytes(data: Dict[str, Any], convert: classes.Convert) -> bytes:
    text = data["value"]
    if type(text) is not str:
        raise ValueError("the value of bytes must be text in base64, not %s" % plain.text_of(text))
    return binascii.a2b_base64(text)


# Values without a literal, which the library writes as tagged dicts.
_TAGS: Mapping[str, classes.FromTaggedDict] = {
    "float": _to_float,
    "complex": _to_complex,
    "collections.OrderedDict": _to_ordered_dict,
}


# Held while the slow reader evaluates a long text, so that only one of them at a time competes with the other threads for the
# interpreter. Otherwise clients that send long texts could slow down all others. No user code runs while it is held.
_slow_read_lock = threading.Lock()
_UNLOCKED_CHARACTERS = 16384     # shorter texts are read without the lock: waiting could take longer than reading


def _replace_lock_after_fork() -> None:
    """Replace the lock in a forked child: the thread that holds it may exist in the parent only, and never release it."""
    global _slow_read_lock
    _slow_read_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_lock_after_fork)


# Stands for a long value in a text that is written without it. If the value itself contains this, the usual way is taken.
_PLACEHOLDER = "\1long\1"
_PLACEHOLDER_TEXT = repr(_PLACEHOLDER).encode("ascii")


class SerpentSerializer(SerializerBase):
    """Python literals in UTF-8, the format of the serpent library."""

    serializer_id = 1
    name = "serpent"
    refers_to_buffers = True

    def __init__(self) -> None:
        super().__init__(extra_tags=_TAGS)

    def _encode(self, data: Any) -> bytes:
        # The fast writer returns None for values that it does not support; the library then serializes the whole value.
        bytes_repr = self._literal_bytes or config.SERPENT_BYTES_REPR
        text = writer.fast_dumps(data, bytes_repr)
        if text is None and not self._replacements:
            copied = plain_copy.plain_copy(data, True, self._tagged, False, self._most_rows)
            if copied is not plain_copy.NO_COPY:
                text = writer.fast_dumps(copied, bytes_repr)
        return self._encode_slowly(data) if text is None else (HEADER + text).encode("utf-8")

    def _encode_slowly(self, data: Any) -> bytes:
        return _Writer(bool(self._literal_bytes or config.SERPENT_BYTES_REPR), self._replaced if self._replacements else None,
                       self._tagged).write(data)

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        text = None
        if kwargs is None and len(vargs) > _FEW_CALLS:
            calls = batches.fast_dumps_calls(vargs)
            text = None if calls is None else f"({obj!r},{method!r},{calls},None)"
        if text is None:
            text = writer.fast_dumps_call(obj, method, vargs, kwargs, self._literal_bytes or config.SERPENT_BYTES_REPR)
        return self.dumps((obj, method, vargs, kwargs)) if text is None else (HEADER + text).encode("utf-8")

    def _tags_of_variant(self) -> Mapping[str, classes.FromTaggedDict]:
        tags = super()._tags_of_variant()
        return {**tags, "Pyro5.bytes": _to_bytes} if self._literal_bytes else tags

    def _value_in_parts(self, data: Any) -> Optional[List[bytes]]:
        long_values: List[Any] = []
        if self._literal_bytes and type(data) is dict:
            return None  # not the form of bytes, which they have only for other releases
        text = writer.fast_dumps(_with_placeholders(data, long_values))
        return _insert_long_values(text, long_values, self._literal_bytes)

    def _call_in_parts(self, obj: str, method: str, vargs: Sequence[Any],
                       kwargs: Mapping[str, Any]) -> Optional[List[bytes]]:
        long_values: List[Any] = []
        args = [_with_placeholders(value, long_values) for value in vargs]
        text = writer.fast_dumps_call(obj, method, tuple(args) if type(vargs) is tuple else args, kwargs, self._literal_bytes)
        return _insert_long_values(text, long_values, self._literal_bytes)

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
        if text.endswith(batches.END_OF_BATCH):
            value = batches.fast_loads_batch(text)
            if value is not reader.NOT_FAST:
                return value, False
        return _with_tags(reader.fast_loads_call(text), text)


def _with_placeholders(value: Any, long_values: List[Any]) -> Any:
    """Replace a long value, also in the dict of a bytes object, by the placeholder, and append it to the list."""
    if is_long(value):
        long_values.append(value)
        return _PLACEHOLDER
    if is_long_dict(value):
        return {key: _with_placeholders(element, long_values) for key, element in value.items()}
    return value


def _insert_long_values(text: Optional[str], long_values: Sequence[Any], tagged: bool) -> Optional[List[bytes]]:
    """Return the document in pieces, with the long values in the place of the placeholders; None if that is not possible.

    Args:
        tagged: write bytes as a tagged dict, which arrives as bytes.
    """
    if text is None or config.SERPENT_BYTES_REPR:
        return None
    pieces = (HEADER + text).encode("utf-8").split(_PLACEHOLDER_TEXT)
    if len(pieces) != len(long_values) + 1:
        return None         # the value itself contains the text of the placeholder
    parts = [pieces[0]]
    for value, piece in zip(long_values, pieces[1:]):
        written = writer.long_text_in_parts(value, tagged)
        if written is None:
            return None
        begin, contents, end = written
        parts[-1] += begin
        parts += contents, end + piece
    return parts


def _with_tags(value: Any, text: str) -> Tuple[Any, bool]:
    """Return the value, read by the slow reader if the fast one could not, and whether it may contain tagged dicts."""
    if value is reader.NOT_FAST:
        return _slow_loads(text), True
    # the tag may also be written with escapes such as \x5f
    return value, "_" in text and classes.TAG in text or "\\" in text and _ESCAPED_LETTER.search(text) is not None


def _slow_loads(text: str) -> Any:
    """Decode as serpent.loads, which would always leave the garbage collector enabled."""
    if "\0" in text:
        raise ValueError("the serpent data contains 0-bytes; it has been corrupted")
    from .._values.serpent import chunks, guard
    if len(text) <= _UNLOCKED_CHARACTERS:
        guard.check_complexity(text)
        return chunks.evaluate(text)
    with _slow_read_lock:
        guard.check_complexity(text)
        return chunks.evaluate(text)


def __getattr__(name: str) -> Any:
    """Return an attribute of the serpent library: programs of 5.x use ``from Pyro5.serializers import serpent``."""
    if name.startswith("__"):
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    return getattr(_library, name)
