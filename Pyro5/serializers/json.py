"""The json serializer: supports strings, numbers, lists and dicts, in a text that programs in all languages can parse."""
from __future__ import annotations

import base64
import json
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Tuple

from .._values import classes, containers, numpy_scalars, plain_copy, registered_types
from .._values.registered_types import builtin_subclasses
from .base import CallPayload, Data, Payload, SerializerBase, is_long, may_have_tag, register_own
from .conversion import ConvertingSerializer

__all__ = ["JsonSerializer"]

_NATIVE = frozenset((type(None), bool, int, float, str, list, tuple, dict))

_write_string: Optional[Callable[[str], str]] = getattr(json.encoder, "encode_basestring", None)
# the text that dumps() returns for the dict of a call, built in half the time
_CALL = '{"object": %s, "method": %s, "params": %s, "kwargs": %s}'


# Stands for a long text in a call that is written without it.
_PLACEHOLDER, _PLACEHOLDER_TEXT = "\1long\1", b'"\\u0001long\\u0001"'
_ESCAPES = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\r", b"\\r"), (b"\t", b"\\t"))
_OTHER_CONTROLS = bytes(code for code in range(32) if code not in b"\n\r\t")


def _long_content(text: Any) -> Optional[bytes]:
    """Return what the encoder writes for a text, without the quotes; None for control characters and other values.

    Takes a third of the time of the encoder, which looks at each character.
    """
    if type(text) is not str:
        return None
    content = text.encode("utf-8")
    for character, escape in _ESCAPES:
        content = content.replace(character, escape)
    return None if any(map(content.__contains__, _OTHER_CONTROLS)) else content


def _make_fast_encoder(encoder: json.JSONEncoder) -> Optional[Callable[[Any, int], Iterable[str]]]:
    """Return the C function that JSONEncoder.encode creates in each call and uses once; None if this Python does not have it.

    Reusing the function takes one microsecond instead of two for a small value. It does not detect cycles: they end in a
    RecursionError.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None or _write_string is None:
        return None
    # The arguments are those of JSONEncoder.iterencode(), but without the table of visited containers: a cycle ends
    # in a RecursionError.
    fast_encoder: Callable[[Any, int], Iterable[str]] = make(
        None, encoder.default, _write_string, None, encoder.key_separator, encoder.item_separator, False, False, True)
    return fast_encoder


class JsonSerializer(ConvertingSerializer):
    """JSON in UTF-8, see the json module of the standard library.

    Tuples and sets become lists, and keys of dicts become strings. Binary data is not supported.
    """

    serializer_id = 3
    name = "json"
    refers_to_buffers = True
    _native = _NATIVE
    _converts_results = _is_text = True

    def __init__(self) -> None:
        super().__init__()
        encoder = json.JSONEncoder(ensure_ascii=False, default=self._to_plain_or_copy)
        self._to_text = encoder.encode
        self._to_text_by_hook = json.JSONEncoder(ensure_ascii=False, default=self._to_plain).encode
        self._to_text_with_keys = json.JSONEncoder(ensure_ascii=False, default=self._to_plain_with_keys).encode
        self._to_chunks = _make_fast_encoder(encoder)
        self._scan: Callable[[str, int], Tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]

    def with_text_bytes(self) -> SerializerBase:
        return _TextBytesSerializer()

    def _encode(self, data: Any) -> bytes:
        if builtin_subclasses.are_registered and self._tagged and numpy_scalars.is_foreign([data], _NATIVE):
            return self._encode_copy(data)  # the encoder would write these as numbers, texts and lists
        try:
            return self._encode_once(data)
        except plain_copy.CopyFirst:
            return self._encode_copy(data)
        except TypeError:
            if self._tagged and registered_types.registered():  # perhaps as a key
                return self._encode_copy(data)
            # The module was never imported, so there cannot be a numpy scalar.
            if numpy_scalars.scalar_class() is None:
                raise
        # Perhaps a numpy scalar is a key: the encoder has no hook for keys. Replacing them is slow, and so only done now.
        return self._to_text_with_keys(numpy_scalars.with_plain_keys_inside(data)).encode("utf-8")

    def _encode_once(self, data: Any) -> bytes:
        if self._to_chunks is not None and type(data) is not str:
            try:    # not contextlib.suppress(), which takes as long as encoding a small value
                return "".join(self._to_chunks(data, 0)).encode("utf-8")
            except RecursionError:
                pass    # perhaps a cycle: the encoder below detects it and raises the right error
        return self._to_text(data).encode("utf-8")

    def _encode_copy(self, data: Any) -> bytes:
        copied = plain_copy.plain_copy(data, False, self._tagged, True, self._most_rows)
        if copied is plain_copy.NO_COPY:
            try:
                return self._to_text_by_hook(data).encode("utf-8")
            except TypeError:
                if numpy_scalars.scalar_class() is None:
                    raise
                return self._to_text_with_keys(numpy_scalars.with_plain_keys_inside(data)).encode("utf-8")
        return self._encode_once(copied)

    def _value_in_parts(self, data: Any) -> Optional[List[bytes]]:
        content = _long_content(data)
        return None if content is None else [b'"', content, b'"']

    def _call_in_parts(self, obj: str, method: str, vargs: Sequence[Any],
                       kwargs: Mapping[str, Any]) -> Optional[List[bytes]]:
        found = [_long_content(value) for value in vargs if is_long(value)]
        contents = [content for content in found if content is not None]
        if len(contents) != len(found):
            return None
        others = [_PLACEHOLDER if is_long(value) else value for value in vargs]
        pieces = self.dumpsCall(obj, method, others, kwargs).split(_PLACEHOLDER_TEXT)
        if len(pieces) != len(contents) + 1:
            return None     # another value contains the text of the placeholder
        parts = [pieces[0]]
        for content, piece in zip(contents, pieces[1:]):
            parts[-1] += b'"'
            parts += content, b'"' + piece
        return parts

    def list_payload(self, elements: Sequence[bytes]) -> Payload:
        return b"[%s]" % b", ".join(elements)

    def check_containers(self, data: Data, most: int, elements: bool = False) -> None:
        containers.check_text(data, most, elements)

    def _decode(self, data: Data) -> Tuple[Any, bool]:
        text = str(data, "utf-8")
        # Searching the text is much faster than examining every dict. The tag may also be written with escapes such as \u005f.
        tagged = "_" in text and may_have_tag(text) or "\\" in text and "\\u" in text
        return self._loads(text), tagged

    def _loads(self, text: str) -> Any:
        """Decode as json.loads, but without its tests for unusual input, which take a microsecond."""
        # Anything that is not exactly one JSON value from the first to the last character is left to json.loads().
        try:
            value, end = self._scan(text, 0)
        except StopIteration:
            return json.loads(text)
        return value if end == len(text) else json.loads(text)

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        # the dict itself is always the same, so only the values in it have to be encoded
        chunks = self._to_chunks
        if builtin_subclasses.are_registered and self._tagged:
            chunks = None
        if chunks is not None and _write_string is not None and type(obj) is str and type(method) is str:
            try:
                named = "{}" if type(kwargs) is dict and not kwargs else "".join(chunks(kwargs, 0))
                text = _CALL % (_write_string(obj), _write_string(method), "".join(chunks(vargs, 0)), named)
                return text.encode("utf-8")
            except (RecursionError, plain_copy.CopyFirst):
                pass    # perhaps a cycle: dumps() detects it
            except TypeError:
                if numpy_scalars.scalar_class() is None and not registered_types.registered():
                    raise   # otherwise perhaps a key: dumps() replaces it
        return self.dumps({"object": obj, "method": method, "params": vargs, "kwargs": kwargs})

    _calls_are_dicts = True

    def loadsCall(self, data: Data) -> CallPayload:
        # Short calls without tagged dicts: saves 50 byte codes.
        if len(data) <= self._short_call and classes.TAG not in (text := str(data, "utf-8")) and "\\u" not in text:
            try:
                value, end = self._scan(text, 0)
                if end == len(text):
                    return value["object"], value["method"], value["params"], value["kwargs"]
            except (ValueError, StopIteration, RecursionError, MemoryError):
                pass    # decoded again, to raise the right error
        return super().loadsCall(data)

    def _call_parts(self, value: Any) -> CallPayload:
        return value["object"], value["method"], value["params"], value["kwargs"]

    def _to_plain_with_keys(self, obj: Any) -> Any:
        return numpy_scalars.with_plain_keys_inside(self._to_plain(obj))


register_own(JsonSerializer)


class _TextBytesSerializer(JsonSerializer):
    """Also encodes bytes, as dicts that name their type. Used for what is passed on as JSON to programs in any language."""

    def _to_plain(self, obj: Any) -> Any:
        # A converter of the program for its own kind of bytes comes first.
        if (isinstance(obj, (bytes, bytearray, memoryview)) and not self._replacements
                and classes.registered_form(obj, tagged=self._tagged) is classes.NOT_REGISTERED):
            data = base64.b64encode(obj).decode("ascii")
            return {classes.TAG: "builtins.%s" % type(obj).__name__, "encoding": "base64", "data": data}
        return super()._to_plain(obj)


def __getattr__(name: str) -> Any:
    """Return an attribute of the standard module: programs of 5.x use ``from Pyro5.serializers import json``."""
    if name.startswith("__"):
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    return getattr(json, name)
