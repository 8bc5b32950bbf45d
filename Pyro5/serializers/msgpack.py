"""The msgpack serializer: a compact binary format; needs the msgpack package."""
from __future__ import annotations

import array
import datetime
import decimal
import fractions
import importlib
import numbers
import struct
import uuid
from typing import Any, Mapping, Optional, Sequence

from .. import errors
from . import classes
from .base import CallPayload, Data, SerializerBase, call_parts, too_deep

__all__ = ["MsgpackSerializer"]

_EXT_COMPLEX = 0x30      # two doubles
_EXT_NUMBER = 0x31       # decimal text of a number that msgpack has no form for
_EXT_DATETIME = 0x32     # seconds since the epoch, a double
_EXT_DATE = 0x33         # proleptic ordinal, a C long


def _load_msgpack_library() -> Any:
    try:
        return importlib.import_module("msgpack")
    except ImportError as x:
        raise errors.SerializeError("the msgpack serializer needs the msgpack package, which is not installed: "
                                    "pip install msgpack") from x


class MsgpackSerializer(SerializerBase):
    """
    MessagePack, see the msgpack package.

    Raises:
        SerializeError: the package is not installed.
    """

    serializer_id = 4
    name = "msgpack"

    def __init__(self) -> None:
        self._library = _load_msgpack_library()
        self._recreators = {flag: classes.Recreator(inner_first=True, foreign_exceptions=flag)
                            for flag in (False, True)}

    def dumps(self, data: Any) -> bytes:
        try:
            packed: bytes = self._library.packb(data, use_bin_type=True, default=self._to_plain)
            return packed
        except RecursionError as x:
            raise too_deep("serialized") from x

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        try:
            return self._recreators[foreign_exceptions].recreate(self._unpack(data))
        except RecursionError as x:
            raise too_deep("deserialized") from x

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        return self.dumps((obj, method, vargs, kwargs))

    def loadsCall(self, data: Data) -> CallPayload:
        try:
            obj, method, vargs, kwargs = call_parts(self._unpack(data))
            recreate = self._recreators[False].recreate
            return obj, method, recreate(vargs), recreate(kwargs)
        except RecursionError as x:
            raise too_deep("deserialized") from x

    def _unpack(self, data: Data) -> Any:
        return self._library.unpackb(data, raw=False, ext_hook=_from_ext)

    def _to_plain(self, obj: Any) -> Any:
        form = classes.registered_form(obj)
        if form is not classes.NOT_REGISTERED:
            return form
        if isinstance(obj, set):
            return tuple(obj)
        if isinstance(obj, (uuid.UUID, decimal.Decimal)):
            return str(obj)
        if isinstance(obj, array.array):
            return obj.tounicode() if obj.typecode == "u" else obj.tolist()
        ext = _to_ext(obj)
        if ext is not None:
            return self._library.ExtType(*ext)
        return self.class_to_dict(obj)


def _to_ext(obj: Any) -> Optional[Sequence[Any]]:
    if isinstance(obj, complex):
        return _EXT_COMPLEX, struct.pack("dd", obj.real, obj.imag)
    if isinstance(obj, numbers.Integral):
        return _EXT_NUMBER, str(int(obj)).encode("ascii")
    if isinstance(obj, datetime.datetime):
        if obj.tzinfo is not None:
            raise errors.SerializeError("msgpack cannot serialize a datetime with timezone info")
        return _EXT_DATETIME, struct.pack("d", obj.timestamp())
    if isinstance(obj, datetime.date):
        return _EXT_DATE, struct.pack("l", obj.toordinal())
    return None


def _from_ext(code: int, data: bytes) -> Any:
    if code == _EXT_COMPLEX:
        return complex(*struct.unpack("dd", data))
    if code == _EXT_NUMBER:
        return fractions.Fraction(data.decode("ascii")) if b"/" in data else int(data)
    if code == _EXT_DATETIME:
        return datetime.datetime.fromtimestamp(struct.unpack("d", data)[0])
    if code == _EXT_DATE:
        # a long has 4 or 8 bytes, as the sender's platform likes it
        return datetime.date.fromordinal(struct.unpack("=i" if len(data) == 4 else "=q", data)[0])
    raise errors.SerializeError("msgpack data with the unknown extension type %d" % code)
