"""Replace instances of registered types and numpy scalars in a value by their plain forms.

For serializers that write plain data much faster than data with other objects: copying takes less time than that saves.
"""
from __future__ import annotations

from typing import Any

from . import classes, numpy_arrays, numpy_scalars, registered_types

__all__ = ["NO_COPY", "plain_copy"]

NO_COPY = object()  # result of plain_copy

_ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray))
_SEQUENCES = frozenset((list, tuple))
_SETS = frozenset((set, frozenset))
_MAX_DEPTH = 50


class _OtherTypesError(Exception):
    """There is an object in the value that this module does not replace."""


def plain_copy(value: Any, for_serpent: bool = False) -> Any:
    """Return a copy of a value that consists of plain data, in which unchanged parts are the same.

    Args:
        for_serpent: do not use converters that are not for the serpent serializer.

    Returns:
        NO_COPY if there are other objects than instances of registered types and numpy scalars, if they are used as keys, or
        if the value is nested deeply.
    """
    # Then there is nothing to replace: the slow way has to find out what cannot be sent.
    if not registered_types.registered() and numpy_scalars.scalar_class() is None:
        return NO_COPY
    try:
        return _copy(value, _MAX_DEPTH, for_serpent)
    except _OtherTypesError:
        return NO_COPY


def _copy(value: Any, depth_left: int, for_serpent: bool) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    # Also ends the copy of a value that contains itself.
    if not depth_left:
        raise _OtherTypesError
    if kind is dict:
        if not _ATOMS.issuperset(map(type, value)):
            raise _OtherTypesError
        # Returned as it is: most containers have plain elements, and are not copied.
        if _ATOMS.issuperset(map(type, value.values())):
            return value
        return {key: _copy(element, depth_left - 1, for_serpent) for key, element in value.items()}
    if kind in _SEQUENCES:
        if _ATOMS.issuperset(map(type, value)):
            return value
        return kind([_copy(element, depth_left - 1, for_serpent) for element in value])
    if kind in _SETS:
        if not _ATOMS.issuperset(map(type, value)):
            raise _OtherTypesError
        return value
    return _copy(_plain_form(value, kind, for_serpent), depth_left - 1, for_serpent)


def _plain_form(value: Any, kind: type, for_serpent: bool) -> Any:
    if kind in registered_types.registered():
        form = classes.registered_form(value, for_serpent)
        if form is not classes.NOT_REGISTERED:
            return form
    generic = numpy_scalars.scalar_class()
    if generic is not None and numpy_scalars.is_array(value):
        form = classes.registered_form(value, for_serpent)
        form = numpy_arrays.array_form(value) if form is classes.NOT_REGISTERED else form
        if form is numpy_arrays.NO_ARRAY:
            raise _OtherTypesError
        return form
    if generic is None or not isinstance(value, generic):
        raise _OtherTypesError
    form = classes.registered_form(value, for_serpent)  # a converter of the program takes precedence
    form = numpy_scalars.plain_scalar(value) if form is classes.NOT_REGISTERED else form
    if form is value:
        raise _OtherTypesError
    return form
