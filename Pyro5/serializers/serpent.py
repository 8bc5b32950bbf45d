"""The serpent serializer: values as the text of Python literals. It is the default, and supports the most types."""
from __future__ import annotations

import collections
import os
import re
import threading
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .. import LazyModule, config, serpent_name
from .._values import classes, hash_flooding, plain, plain_copy
from .._values.serpent import reader, writer
from .._values.serpent.writer import HEADER, SHORT_TEXT
from .base import CallPayload, Data, Payload, SerializerBase, is_long, is_long_dict, may_have_tag, register_own

if TYPE_CHECKING:
    import binascii

    from .._values import containers
    from .._values.serpent import calls, chunks, slow_writer
else:
    binascii = LazyModule(globals(), "binascii")
    calls = LazyModule(globals(), ".._values.serpent.calls")
    chunks = LazyModule(globals(), ".._values.serpent.chunks")
    containers = LazyModule(globals(), ".._values.containers")
    slow_writer = LazyModule(globals(), ".._values.serpent.slow_writer")

__all__ = ["SerpentSerializer"]

serpent_name()  # the package cannot be used without it, and is better missed when the program starts

_FEW_CALLS = 8      # of a batch; the general writer writes so few as fast
_ESCAPED_LETTER = re.compile(r"\\[xuUN0-7]")
_NUMBERS = frozenset((str, int, float))


def _number(value: Any) -> float:
    if type(value) not in _NUMBERS:  # float() would call methods of any other object
        raise ValueError("not a number: %s" % plain.text_of(value))
    return float(value)


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
    "float": lambda data, convert: _number(data["value"]),
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


_BY_REPR = frozenset((type(None), bool, int))
_WITHOUT_QUOTES = _BY_REPR | {float}

_SMALL = 100        # characters of a value with the header
_CONSTANTS = {"None": None, "True": True, "False": False}
_OF_NUMBERS = "0123456789.-,[]"


class SerpentSerializer(SerializerBase):
    """Python literals in UTF-8, the format of the serpent library."""

    serializer_id = 1
    name = "serpent"
    refers_to_buffers = True

    def __init__(self) -> None:
        super().__init__(extra_tags=_TAGS)

    def _encode(self, data: Any) -> bytes:
        # What the fast writer does for these, without its 35 byte codes.
        if type(data) in _BY_REPR or type(data) is str and len(data) < SHORT_TEXT:
            return (HEADER + repr(data)).encode("utf-8")
        # The fast writer returns None for values that it does not support; the library then serializes the whole value.
        bytes_repr = self._literal_bytes or config.SERPENT_BYTES_REPR
        text = writer.fast_dumps(data, bytes_repr)
        if text is None and not self._replacements:
            copied = plain_copy.plain_copy(data, True, self._tagged, False, self._most_rows)
            if copied is not plain_copy.NO_COPY:
                text = writer.fast_dumps(copied, bytes_repr)
        return self._encode_slowly(data) if text is None else (HEADER + text).encode("utf-8")

    def _encode_slowly(self, data: Any) -> bytes:
        return slow_writer.Writer(bool(self._literal_bytes or config.SERPENT_BYTES_REPR),
                                  self._replaced if self._replacements else None, self._tagged).write(data)

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        # Numbers, as the fast writer writes them: 80 instead of 190 byte codes. Looks at the first argument first.
        if (type(vargs) is tuple and (not vargs or type(vargs[0]) in _WITHOUT_QUOTES) and not kwargs and type(kwargs) is dict
                and _WITHOUT_QUOTES.issuperset(map(type, vargs)) and type(obj) is str and type(method) is str):
            args = repr(vargs).replace(", ", ",")
            if "inf" not in args and "nan" not in args:     # the library writes these in other ways
                return f"{HEADER}({obj!r},{method!r},{args},{{}})".encode("utf-8")
        text = None
        if kwargs is None and len(vargs) > _FEW_CALLS:
            written = calls.fast_dumps_calls(vargs)
            text = None if written is None else f"({obj!r},{method!r},{written},None)"
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
        # Constants, numbers, lists of numbers, and texts without escapes: 65 instead of 120 byte codes, and more for texts.
        if len(text) <= _SMALL and text.startswith(HEADER):
            body = text[len(HEADER):]
            if body in _CONSTANTS:
                return _CONSTANTS[body], False
            if not body.strip(_OF_NUMBERS):
                try:
                    return reader.scan_list(body), False
                except (ValueError, StopIteration):
                    pass    # read by the slow reader, to raise the right error
            elif body[0] == "'" == body[-1] and body.count("'") == 2 and "\\" not in body and body.isprintable():
                return body[1:-1], False
            return _with_tags(reader.read_body(body), text)
        return _with_tags(reader.fast_loads(text), text)

    def loadsCall(self, data: Data) -> CallPayload:
        # In these calls, nothing can be the form of an object: saves 120 byte codes, and 250 with texts.
        if len(data) <= self._short_call:
            call = calls.PLAIN_CALL.fullmatch(str(data, "utf-8"))
            if call is not None:
                obj, method, text = call.groups()
                has_comma = text.endswith(",")
                try:
                    args = reader.scan_list("[%s]" % (text[:-1] if has_comma else text).replace("'", '"'))
                except (ValueError, StopIteration):
                    return super().loadsCall(data)
                if len(args) > 1 or (len(args) == 1) is has_comma:  # the comma is behind a single argument
                    return obj, method, tuple(args), {}
        return super().loadsCall(data)

    def _decode_call(self, data: Data) -> Tuple[Any, bool]:
        text = str(data, "utf-8")
        if text.endswith(calls.END_OF_BATCH):
            value = calls.fast_loads_batch(text)
            if value is not reader.NOT_FAST:
                return value, False
        return _with_tags(calls.fast_loads_call(text), text)


register_own(SerpentSerializer)


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
    # The tag may also be written with escapes such as \x5f.
    return value, "_" in text and may_have_tag(text) or "\\" in text and _ESCAPED_LETTER.search(text) is not None


def _slow_loads(text: str) -> Any:
    """Decode as serpent.loads, which would always leave the garbage collector enabled."""
    if "\0" in text:
        raise ValueError("the serpent data contains 0-bytes; it has been corrupted")
    if len(text) <= _UNLOCKED_CHARACTERS:
        chunks.check_complexity(text)
        return chunks.evaluate(text)
    with _slow_read_lock:
        chunks.check_complexity(text)
        return chunks.evaluate(text)


def __getattr__(name: str) -> Any:
    """Return an attribute of the serpent library: programs of 5.x use ``from Pyro5.serializers import serpent``."""
    if name.startswith("__"):
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    return getattr(slow_writer.library, name)
