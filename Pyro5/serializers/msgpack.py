"""The msgpack serializer: a compact binary format. It needs the msgpack package."""
from __future__ import annotations

import collections
import functools
import struct
from typing import TYPE_CHECKING, Any, Deque, Dict, List, Mapping, Optional, Sequence, Tuple

from .. import LazyModule, errors
from .._values import containers, msgpack_check, numpy_scalars, plain_copy, unsendable
from .._values.registered_types import builtin_subclasses
from .base import LONG_DATA, TAG_BYTES, CallPayload, Data, Payload, SerializerBase, is_long, may_be_tagged, register_own
from .conversion import ConvertingSerializer

if TYPE_CHECKING:
    import datetime
    import fractions
    import numbers
else:
    datetime = LazyModule(globals(), "datetime")
    fractions = LazyModule(globals(), "fractions")
    numbers = LazyModule(globals(), "numbers")

__all__ = ["MsgpackSerializer"]

# Extension types of 5.x; binary numbers in them are in the native byte order of the sender.
_EXT_COMPLEX = 0x30      # two doubles
_EXT_NUMBER = 0x31       # decimal text of a number that msgpack does not support
_EXT_DATETIME = 0x32     # local time: seconds since the epoch, a double
_EXT_DATE = 0x33         # proleptic Gregorian ordinal, a C long of 4 or 8 bytes

_LONG_HEAD = struct.Struct(">BI")    # type code, and size
_LONG_CODES: Dict[type, int] = {bytes: 0xC6, str: 0xDB}    # "bin 32", "str 32"
_KEEP_PACKER_BYTES, _MAX_FREE_PACKERS = 65536, 16
_MAX_BLOB = (1 << 32) - 1            # bytes
_BUT_CONTAINERS = bytes(code for code in range(256) if not (0x80 <= code <= 0x9F or 0xDC <= code <= 0xDF))
_EXACT = frozenset((type(None), bool, int, float, str, bytes, bytearray, memoryview, list, tuple, dict))
_NATIVE = (type(None), int, float, str, bytes, bytearray, memoryview, list, tuple, dict)


def _load_msgpack_library() -> Any:
    try:
        # Loaded when needed, because it is optional. An import statement, so that tools that bundle programs find it.
        import msgpack
    except ImportError as x:
        raise errors.SerializeError("the msgpack serializer needs the msgpack package, which is not installed here: "
                                    "pip install msgpack") from x
    return msgpack


class MsgpackSerializer(ConvertingSerializer):
    """MessagePack, see the msgpack package.

    Tuples and sets become lists. The keys of dicts must be strings or bytes: receivers do not accept other keys.

    Raises:
        SerializeError: the package is not installed.
    """

    serializer_id = 4
    name = "msgpack"
    refers_to_buffers = sends_bytes_uncopied = True

    def __init__(self) -> None:
        super().__init__(inner_first=True)
        library = _load_msgpack_library()
        self._pack, self._unpack, self._ext_type = library.packb, library.unpackb, library.ExtType
        self._packer, self._library = library.Packer, library
        if library.version < msgpack_check.FREES_REFUSED:
            self._unpack = functools.partial(msgpack_check.unpack_complete, library)
        self._skip_ext = lambda code, data: None
        # Packers that no thread uses now: making one takes longer than packing a small value, 1.1 of 1.8 us. Adding and
        # removing are atomic, and one that is too many is dropped by the deque.
        self._free_packers: Deque[Any] = collections.deque(maxlen=_MAX_FREE_PACKERS)
        self._take_packer, self._put_packer = self._free_packers.pop, self._free_packers.append

    def _encode(self, data: Any) -> bytes:
        try:
            if builtin_subclasses.are_registered and self._tagged and numpy_scalars.is_foreign([data], _EXACT):
                raise plain_copy.CopyFirst  # the library would write these as numbers, texts and lists
            try:
                packer = self._take_packer()
            except IndexError:
                packer = self._packer(use_bin_type=True, default=self._to_plain_or_copy)
            packed: bytes = packer.pack(data)
            # After an exception it is dropped, because it may contain a part of the value; and after a long value because of
            # its memory.
            if len(packed) <= _KEEP_PACKER_BYTES:
                self._put_packer(packer)
            return packed
        except plain_copy.CopyFirst:
            copied = plain_copy.plain_copy(data, False, self._tagged, False, self._most_rows)
            data = data if copied is plain_copy.NO_COPY else copied
        packed = self._pack(data, use_bin_type=True, default=self._to_plain)
        return packed

    def _value_in_parts(self, data: Any) -> Optional[List[bytes]]:
        return self._blob_in_parts(data) if type(data) in _LONG_CODES else None

    def _blob_in_parts(self, blob: Any) -> List[bytes]:
        # Encoding a text takes half the time of the library, which copies the result once more.
        content = blob.encode("utf-8") if type(blob) is str else blob
        if len(content) > _MAX_BLOB:
            raise ValueError("msgpack cannot serialize a value of %d bytes" % len(content))
        return [_LONG_HEAD.pack(_LONG_CODES[type(blob)], len(content)), content]

    def _call_in_parts(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Mapping[str, Any]) -> List[bytes]:
        parts = [b"\x94" + self._encode((obj, method))[1:] + bytes((0x90 | len(vargs),))]
        for value in vargs:
            parts += self._blob_in_parts(value) if is_long(value) else [self._encode(value)]
        parts.append(self._encode(kwargs))
        return parts

    def list_payload(self, elements: Sequence[bytes]) -> Payload:
        head: bytes = self._packer().pack_array_header(len(elements))
        return head + b"".join(elements)

    def check_containers(self, data: Data, most: int, elements: bool = False) -> None:
        # A first count without parsing: of the bytes that can be codes of containers, which are at least as many as
        # these.
        if len(data) <= most or len(bytes(data).translate(None, _BUT_CONTAINERS)) <= most:
            return
        msgpack_check.check_announced(data, self._library)
        # The counted bytes can also be parts of numbers and texts, so parse the data to count exactly. The hooks return
        # nothing, so each container is discarded at its end and the whole takes little memory.
        count = 0

        def container(_value: Any) -> None:
            nonlocal count
            count += 1
            if count > most:
                raise containers.too_many(count, most)
        self._unpack(data, raw=True, strict_map_key=False, ext_hook=self._skip_ext, list_hook=container,
                     object_pairs_hook=container)

    def _decode(self, data: Data) -> Tuple[Any, bool]:
        # the library limits the nesting
        if len(data) > msgpack_check.HARMLESS_SIZE:
            if msgpack_check.is_mostly_blob(data):
                # Decoding it is little more than a copy. The limit replaces the check: saves 250 byte codes.
                try:
                    value = self._unpack(data, raw=False, ext_hook=_from_ext, max_array_len=msgpack_check.FEW_ELEMENTS)
                    return value, may_be_tagged(value, data)
                except ValueError:
                    pass    # perhaps a longer list; decoded again, to raise the right error
            msgpack_check.check_announced(data, self._library)
        try:
            value = self._unpack(data, raw=False, ext_hook=_from_ext)
        except ValueError as x:
            if "map key" not in str(x):
                raise
            raise unsendable.marked(ValueError, "a key of a dict is neither str nor bytes (%s): convert the keys before it is "
                                    "sent over msgpack, or use another serializer" % x) from x
        # What may_be_tagged() does for short data, without the call.
        if type(data) is bytes and len(data) <= LONG_DATA:
            return value, data.find(TAG_BYTES) >= 0
        return value, may_be_tagged(value, data)

    _decode_call = _decode

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        # Short values without tagged dicts: saves 30 byte codes.
        if len(data) <= self._short_call and type(data) is bytes and data.find(TAG_BYTES) < 0:
            try:
                return self._unpack(data, raw=False, ext_hook=_from_ext)
            except (ValueError, RecursionError, MemoryError, errors.PyroError):
                pass    # decoded again, to raise the right error
        return super().loads(data, foreign_exceptions=foreign_exceptions)

    loads_reply = SerializerBase.loads_reply

    def loadsCall(self, data: Data) -> CallPayload:
        # Short requests without tagged dicts: saves 30 byte codes.
        if len(data) <= self._short_call and type(data) is bytes and data.find(TAG_BYTES) < 0:
            try:
                obj, method, vargs, kwargs = self._unpack(data, raw=False, ext_hook=_from_ext)
                return obj, method, vargs, kwargs
            except (ValueError, RecursionError, MemoryError, errors.PyroError):
                pass    # decoded again, to raise the right error
        return super().loadsCall(data)

    def _is_native(self, value: Any) -> bool:
        return isinstance(value, _NATIVE)

    def _class_form(self, obj: Any) -> Any:
        ext = _to_ext(obj)
        return self.class_to_dict(obj) if ext is None else self._ext_type(*ext)


register_own(MsgpackSerializer)


def _to_ext(obj: Any) -> Optional[Tuple[int, bytes]]:
    if isinstance(obj, datetime.datetime):
        if obj.tzinfo is not None:
            # 5.x would send local time without the zone: the receiver could not know that it is wrong.
            raise errors.SerializeError("msgpack cannot serialize a datetime with timezone info: %s" % obj.isoformat())
        return _EXT_DATETIME, struct.pack("=d", obj.timestamp())
    if isinstance(obj, datetime.date):
        return _EXT_DATE, struct.pack("l", obj.toordinal())  # 5.x sends a C long, whose size depends on the platform
    if isinstance(obj, complex):
        return _EXT_COMPLEX, struct.pack("=dd", obj.real, obj.imag)
    if isinstance(obj, numbers.Integral):
        return _EXT_NUMBER, b"%d" % int(obj)
    return (_EXT_NUMBER, str(obj).encode("ascii")) if isinstance(obj, fractions.Fraction) else None


def _from_ext(code: int, data: bytes) -> Any:
    try:
        if code == _EXT_COMPLEX:
            return complex(*struct.unpack("=dd", data))
        if code == _EXT_NUMBER:
            return _number_from_text(data)
        if code == _EXT_DATETIME:
            return datetime.datetime.fromtimestamp(struct.unpack("=d", data)[0])
        if code == _EXT_DATE:
            return datetime.date.fromordinal(struct.unpack("=i" if len(data) == 4 else "=q", data)[0])
    except (struct.error, ArithmeticError, OSError) as x:  # fromtimestamp() raises OSError for years out of range
        raise ValueError("invalid data for msgpack extension type 0x%x: %s" % (code, x)) from x
    raise errors.SerializeError("unknown msgpack extension type 0x%x" % (code & 0xFF))


def _number_from_text(text: bytes) -> Any:
    numerator, slash, denominator = text.partition(b"/")
    return fractions.Fraction(int(numerator), int(denominator)) if slash else int(text)


def __getattr__(name: str) -> Any:
    """Return an attribute of the msgpack package: programs of 5.x use ``from Pyro5.serializers import msgpack``."""
    try:
        library = None if name.startswith("__") else _load_msgpack_library()
    except errors.SerializeError:
        library = None
    if library is None:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    return getattr(library, name)
