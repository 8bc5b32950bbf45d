"""The steps by which the json, marshal and msgpack serializers convert objects that their formats do not support."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, FrozenSet

from .. import LazyModule
from .._values import classes, numpy_scalars, plain_copy
from .base import SerializerBase

if TYPE_CHECKING:
    import datetime
    import decimal
    import uuid
else:
    datetime = LazyModule(globals(), "datetime")
    decimal = LazyModule(globals(), "decimal")
    uuid = LazyModule(globals(), "uuid")


class ConvertingSerializer(SerializerBase):
    """A serializer whose encoder supports some types only, and gets the others converted by this class."""

    _native: FrozenSet[type] = frozenset()  # the types that the encoder supports
    _converts_results = False  # whether the encoder calls the hook again for what the hook has returned
    _is_text = False  # whether dates, and the data of numpy arrays, are written as text
    _accepts_decimals = True  # whether Decimals are sent, as text

    def _is_native(self, value: Any) -> bool:
        return type(value) in self._native

    def _to_plain_or_copy(self, obj: Any) -> Any:
        if not self._replacements:
            plain_copy.check_needs_copy(obj)
        return self._to_plain(obj)

    def _to_plain(self, obj: Any) -> Any:
        """Convert an object to a supported value; the objects in it are not converted."""
        # The order decides what applies if several do: replacements of this serializer, converters, then known types.
        if self._replacements:
            obj = self._replaced(obj)
            if self._is_native(obj):
                return obj
        form = classes.registered_form(obj, tagged=self._tagged)
        if form is classes.NOT_REGISTERED:
            form = numpy_scalars.plain_scalar(obj)
            if form is obj:
                return self._known_form(obj)
        return form if self._converts_results or self._is_native(form) else self._to_plain(form)

    def _known_form(self, obj: Any) -> Any:
        """Convert an object for which no converter is registered."""
        if isinstance(obj, set):
            tagged = plain_copy.with_tagged_keys(obj) if self._tagged else obj
            return tuple(obj) if tagged is obj else tagged
        if isinstance(obj, uuid.UUID) or self._accepts_decimals and isinstance(obj, decimal.Decimal):
            return str(obj)
        if self._is_text and isinstance(obj, datetime.date):
            return obj.isoformat()
        if classes.is_array(obj):
            return classes.array_to_plain(obj)
        array = numpy_scalars.array_form(obj, self._is_text)
        return self._class_form(obj) if array is numpy_scalars.NO_ARRAY else array

    def _class_form(self, obj: Any) -> Any:
        return self.class_to_dict(obj)
