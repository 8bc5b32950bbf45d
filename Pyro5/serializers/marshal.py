"""The marshal serializer: Python's own binary format for its builtin types. Fast, and limited to those."""
from __future__ import annotations

import array
import marshal
import uuid
from typing import Any, Mapping, Optional, Sequence

from . import classes
from .base import CallPayload, Data, SerializerBase, call_parts, too_deep

__all__ = ["MarshalSerializer"]


class MarshalSerializer(SerializerBase):
    """See the marshal module of the standard library."""

    serializer_id = 2
    name = "marshal"

    def __init__(self) -> None:
        self._recreators = {flag: classes.Recreator(foreign_exceptions=flag) for flag in (False, True)}

    def dumps(self, data: Any) -> bytes:
        return marshal.dumps(self._to_plain(data))

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        try:
            return self._recreators[foreign_exceptions].recreate(marshal.loads(data))
        except (RecursionError, MemoryError) as x:
            raise too_deep("deserialized") from x

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        args = [self._to_plain(value) for value in vargs]
        named = {key: self._to_plain(value) for key, value in kwargs.items()} if kwargs else {}
        return marshal.dumps((obj, method, args, named))

    def loadsCall(self, data: Data) -> CallPayload:
        try:
            obj, method, vargs, kwargs = call_parts(marshal.loads(data))
            recreate = self._recreators[False].recreate
            return obj, method, recreate(vargs), recreate(kwargs)
        except (RecursionError, MemoryError) as x:
            raise too_deep("deserialized") from x

    @classmethod
    def _to_plain(cls, obj: Any) -> Any:
        kind = type(obj)
        if kind in _NATIVE:
            return obj
        if kind is dict:
            return {key: cls._to_plain(value) for key, value in obj.items()}
        if kind is list:
            return [cls._to_plain(element) for element in obj]
        if kind is tuple:
            return tuple([cls._to_plain(element) for element in obj])
        form = classes.registered_form(obj)
        if form is not classes.NOT_REGISTERED:
            return cls._to_plain(form)
        if isinstance(obj, _NATIVE_BASES):
            return obj    # marshal knows no subclasses: let it say so
        if isinstance(obj, uuid.UUID):
            return str(obj)
        if isinstance(obj, array.array):
            return obj.tounicode() if obj.typecode == "u" else obj.tolist()
        return cls._to_plain(cls.class_to_dict(obj))


_NATIVE_BASES = (str, int, float, complex, bytes, bytearray, tuple, list, dict, set, frozenset)
_NATIVE = frozenset((type(None), bool, str, int, float, complex, bytes, bytearray, set, frozenset))
