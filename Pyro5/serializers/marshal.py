"""The marshal serializer: Python's binary format for its builtin types. Fast, and limited to these types."""
from __future__ import annotations

import enum
import marshal
import struct
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from .. import LazyModule, errors
from .._values import classes, numpy_scalars, plain, plain_copy
from .base import LONG_DATA, TAG_BYTES, Data, Payload, is_long, may_be_tagged, register_own, too_deep
from .conversion import ConvertingSerializer

if TYPE_CHECKING:
    from .._values.marshal import check
else:
    check = LazyModule(globals(), ".._values.marshal.check")  # its regular expressions are for those who use marshal

__all__ = ["MarshalSerializer"]

# Types that marshal supports, and types whose instances are passed to marshal unchanged, which refuses those of subclasses.
_NATIVE = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset))
_LEFT_TO_MARSHAL = (int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset, type, enum.Enum)

_CONTAINERS = (dict, list, tuple)
_SETS = (set, frozenset)
_WITH_KEYS = frozenset((dict, set, frozenset))
_WITH_ELEMENTS = frozenset(_CONTAINERS + _SETS)
_BLOB_HEAD = struct.Struct("<ci")   # type code, and size or number of elements
_LONG_CODES: Dict[type, bytes] = {bytes: b"s", str: b"u"}
_MAX_BLOB = (1 << 31) - 1           # bytes
_NO_REFERENCES = 2                  # the last version of the format without references to earlier objects


class MarshalSerializer(ConvertingSerializer):
    """The binary format of the marshal module of the standard library.

    Class instances are converted to dicts, as in the other serializers. Instances of most subclasses of builtin types cannot
    be serialized.
    """

    serializer_id = 2
    name = "marshal"
    refers_to_buffers = sends_bytes_uncopied = True
    _native = _NATIVE
    _accepts_decimals = False

    def _encode(self, data: Any, version: int = marshal.version) -> bytes:
        converted = data if type(data) in _NATIVE else self._to_plain(data)
        # marshal would send numpy scalars and arrays inside of containers as the bytes of their memory
        if type(converted) in _WITH_ELEMENTS and numpy_scalars.scalar_class() and numpy_scalars.is_foreign(converted, _NATIVE):
            return marshal.dumps(self._all_plain(converted), version)
        try:
            return marshal.dumps(converted, version)
        except ValueError:
            # There is an unsupported object inside. Marshal has no hook for these, so convert a copy of the whole value. This
            # is slow, and so only done after marshal has failed.
            return marshal.dumps(self._all_plain(converted), version)

    def _value_in_parts(self, data: Any) -> Optional[List[bytes]]:
        return self._blob_in_parts(data) if type(data) in _LONG_CODES else None

    def _blob_in_parts(self, blob: Any) -> List[bytes]:
        # Encoding a text takes half the time of marshal, which copies the result once more; and reading it, half the time of
        # the ASCII that marshal would write.
        content = blob.encode("utf-8", "surrogatepass") if type(blob) is str else blob
        if len(content) > _MAX_BLOB:
            raise ValueError("marshal cannot serialize a value of %d bytes" % len(content))
        return [_BLOB_HEAD.pack(_LONG_CODES[type(blob)], len(content)), content]

    def _call_in_parts(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Mapping[str, Any]) -> List[bytes]:
        # Later versions of the format refer to earlier objects by their index. In separately encoded parts the indexes would
        # be wrong, so use a version without references.
        begin = self._encode((obj, method), _NO_REFERENCES)
        parts = [b"(\4\0\0\0" + begin[_BLOB_HEAD.size:] + _BLOB_HEAD.pack(b"[", len(vargs))]
        for value in vargs:
            parts += self._blob_in_parts(value) if is_long(value) else [self._encode(value, _NO_REFERENCES)]
        parts.append(self._encode(dict(kwargs), _NO_REFERENCES))
        return parts

    def dumps_element(self, data: Any) -> bytes:
        try:
            return self._encode(data, _NO_REFERENCES)
        except RecursionError as x:
            raise too_deep("serialized") from x

    def list_payload(self, elements: Sequence[bytes]) -> Payload:
        return _BLOB_HEAD.pack(b"[", len(elements)) + b"".join(elements)

    def check_containers(self, data: Data, most: int, elements: bool = False) -> None:
        check.check_containers(data, most)

    def _decode(self, data: Data) -> Tuple[Any, bool]:
        value = check.loads(data)
        # What may_be_tagged() does for short data, without the call.
        if type(data) is bytes and len(data) <= LONG_DATA:
            return value, data.find(TAG_BYTES) >= 0
        return value, may_be_tagged(value, data)

    _decode_call = _decode

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        args: Any = vargs  # not a list or tuple if it is the content of a SerializedBlob
        if kwargs is None and type(vargs) is list and _NATIVE.issuperset(map(type, vargs)):
            pass    # A batch. In a copy, its calls would be referenced twice, and marshal would number them.
        elif isinstance(vargs, (list, tuple)):
            # One level only, which covers most arguments. Objects inside of them are found by marshal itself.
            args = [value if type(value) in _NATIVE else self._to_plain(value) for value in vargs]
        # {} also for None (attribute accesses and batches), because servers of 5.x do not accept None
        named = {}
        if kwargs:
            named = {key: value if type(value) in _NATIVE else self._to_plain(value) for key, value in kwargs.items()}
        return self.dumps((obj, method, args, named))

    def _known_form(self, obj: Any) -> Any:
        if isinstance(obj, _LEFT_TO_MARSHAL):
            return obj if isinstance(obj, type) else plain.base_value(obj)
        return super()._known_form(obj)

    def _all_plain(self, value: Any) -> Any:
        copied = plain_copy.NO_COPY if self._replacements else plain_copy.plain_copy(
            value, False, self._tagged, False, self._most_rows)
        return self._to_plain_inside(value) if copied is plain_copy.NO_COPY else copied

    def _to_plain_inside(self, value: Any, around: FrozenSet[int] = frozenset()) -> Any:
        """Return a copy of a value in which class instances are converted, as far as possible.

        Args:
            around: the ids of the containers and instances that contain the value.

        Raises:
            ValueError: one of these contains itself.
        """
        kind = type(value)
        if kind in _CONTAINERS or kind not in _NATIVE:
            # Containers around this one, not all that were visited: the same list may occur twice side by side.
            if id(value) in around:
                raise ValueError("circular reference: a value of type %s contains itself" % kind.__name__)
            around |= {id(value)}
        if self._tagged and kind in _WITH_KEYS:
            value = plain_copy.with_tagged_keys(value)
            kind = type(value)
        if kind is dict:
            value = numpy_scalars.with_plain_keys(value)
            return {self._to_plain_inside(key, around): self._to_plain_inside(element, around)
                    for key, element in value.items()}
        if kind is list:
            return [self._to_plain_inside(element, around) for element in value]
        if kind is tuple:
            return tuple([self._to_plain_inside(element, around) for element in value])
        if kind in _SETS:
            return numpy_scalars.with_plain_keys(value)
        if kind in _NATIVE or classes.is_array(value):
            return value
        try:
            converted = self._to_plain(value)
        except errors.SerializeError:
            if numpy_scalars.is_array(value):
                raise
            return value    # marshal will raise its own error for it
        return value if converted is value else self._to_plain_inside(converted, around)


register_own(MarshalSerializer)


def __getattr__(name: str) -> Any:
    """Return an attribute of the standard module: programs of 5.x use ``from Pyro5.serializers import marshal``."""
    if name.startswith("__"):
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    return getattr(marshal, name)
