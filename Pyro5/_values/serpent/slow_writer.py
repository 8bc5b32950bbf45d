"""Write serpent documents with the serpent library: all values that the module writer does not support.

Loaded when the first such value is sent, because the library imports decimal, datetime, uuid, ast: importing it takes a tenth
of the time that a program takes to start and to make its first call.
"""
from __future__ import annotations

import enum
import gc
import importlib
from typing import Any, Callable, List, Optional

from ... import serpent_name
from .. import classes, numpy_scalars, plain, plain_copy


def _load() -> Any:
    name = serpent_name()
    if name != "serpent":
        return importlib.import_module(name)
    import serpent  # an import statement, so that tools that bundle programs find it
    return serpent


library = _load()

# Converters do not apply to these types: they are what converters convert to.
_BUILTINS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray, memoryview, tuple, list, dict, set,
                       frozenset))

_WITH_KEYS = frozenset((dict, set, frozenset))


class Writer(library.Serializer):  # type: ignore[misc, name-defined]
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
        form = numpy_scalars.array_form(obj)
        if form is not numpy_scalars.NO_ARRAY:  # an array or a table
            return form
        if numpy_scalars.is_array(obj):  # the library would send the attributes of a masked array
            raise TypeError("don't know how to serialize class %s: %s" % (type(obj), numpy_scalars.ARRAY_ADVICE))
        return numpy_scalars.with_plain_keys(numpy_scalars.plain_scalar(obj))
