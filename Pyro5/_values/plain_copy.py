"""Replace instances of registered types and numpy scalars in a value by plain data.

For serializers that write plain data much faster than data with other objects: copying takes less time than that saves. And
for the tagged forms of objects that serializers would not ask a converter for: those in sets, keys of dicts, and instances of
subclasses of builtin types.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Collection, Dict, List, Mapping, Sequence

from .. import LazyModule
from . import classes, hash_flooding, plain
from .classes import TAG

if TYPE_CHECKING:
    from . import numpy_scalars, registered_types
else:
    numpy_scalars = LazyModule(globals(), ".numpy_scalars")
    registered_types = LazyModule(globals(), ".registered_types")

NO_COPY = object()  # result of plain_copy

# What all serializers can send as it is. Exact types: a subclass, such as an IntEnum, may be a registered type.
_ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray))
_SEQUENCES = frozenset((list, tuple))
# These tags are names that no type has, and that programs do not use for converters of their own.
DICT_TAG, LIST_TAG = "Pyro5.dict", "Pyro5.list"
_SETS: Mapping[type, str] = {set: "Pyro5.set", frozenset: "Pyro5.frozenset"}
# Deeper values are left to the slow way, which reports the depth.
_MAX_DEPTH = 50
MANY = 8  # instances from which converting them together pays
# Elements of such lists in a message. They take little room in it, and more memory at the receiver.
MAX_LIST_ELEMENTS = 50000


class CopyFirst(Exception):
    """Raised by the hook of a serializer: the value contains an instance of a registered type, so use a plain_copy."""


class _OtherTypesError(Exception):
    """There is an object in the value that this module does not replace."""


def plain_copy(value: Any, for_serpent: bool = False, tagged: bool = False, arrays_as_text: bool = False,
               most_rows: int = MAX_LIST_ELEMENTS) -> Any:
    """Return a copy of a value that consists of plain data, in which unchanged parts are the same.

    Args:
        for_serpent: do not use converters that are not for the serpent serializer.
        tagged: use the tagged forms of instances of registered types.
        arrays_as_text: write the data of numpy arrays as text.
        most_rows: elements of lists of instances of one class that are written field by field.

    Returns:
        NO_COPY if there are other objects than instances of registered types and numpy scalars, if they are used as keys, or
        if the value is nested deeply. In the tagged forms, instances of registered types may be keys.
    """
    # Then there is nothing to replace: the slow way has to find out what cannot be sent.
    if not registered_types.registered() and numpy_scalars.scalar_class() is None:
        return NO_COPY
    try:
        # One attempt: as soon as anything else is found, the copy is discarded and the slow way takes the whole value.
        return _Copier(for_serpent, tagged, arrays_as_text, most_rows).copy(value, _MAX_DEPTH)
    except _OtherTypesError:
        return NO_COPY


class _Copier:
    __slots__ = ("_for_serpent", "_tagged", "_arrays_as_text", "_rows_left")

    def __init__(self, for_serpent: bool, tagged: bool, arrays_as_text: bool, most_rows: int) -> None:
        # With tags only: without them, a peer cannot tell this form from a dict of the program.
        self._for_serpent, self._tagged, self._arrays_as_text = for_serpent, tagged, arrays_as_text
        self._rows_left = most_rows if tagged else 0

    def copy(self, value: Any, depth_left: int) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return value
        if depth_left <= 0:
            raise _OtherTypesError
        if kind is dict:
            return self._dict(value, depth_left - 1)
        if kind in _SEQUENCES:
            # Most lists consist of plain elements only: one comparison in C, and the list itself is used.
            if _ATOMS.issuperset(map(type, value)):
                return value
            return self._sequence(value, kind, depth_left - 1)
        if kind in _SETS:
            return self._keys(value, depth_left - 1)
        # The form of an instance may contain other instances, so it is copied in turn.
        return self.copy(self._form(value, kind), depth_left - 1)

    def _dict(self, value: Dict[Any, Any], depth_left: int) -> Dict[Any, Any]:
        # Keys that are no plain data: only a tagged list can hold those.
        if not _ATOMS.issuperset(map(type, value)):
            return self._keys(value, depth_left)  # type: ignore[no-any-return]
        if _ATOMS.issuperset(map(type, value.values())):
            return value
        return {key: self.copy(element, depth_left) for key, element in value.items()}

    def _keys(self, value: Any, depth_left: int) -> Any:
        if _ATOMS.issuperset(map(type, value)):
            return value
        replaced = with_tagged_keys(value) if self._tagged else value
        if replaced is value:
            raise _OtherTypesError  # keys of another type, or peers that do not know tags
        return self.copy(replaced, depth_left)

    def _sequence(self, values: Sequence[Any], kind: type, depth_left: int) -> Any:
        form = classes.form_of(type(values[0])) if len(values) >= MANY else None
        # objects of a daemon become proxies
        if form is None or not {form.clazz}.issuperset(map(type, values)) or classes.is_replaced(values):
            return kind([self.copy(element, depth_left) for element in values])
        if len(values) <= self._rows_left and kind is list:
            # Lists of instances are by far the largest values: sent as columns they are smaller, and quicker to convert.
            return self._typed_list(form, values, depth_left)
        if form.fields and not self._tagged:
            return kind(self._rows(form, values, depth_left))
        return kind([self.copy(element, depth_left) for element in values])

    def _typed_list(self, form: Any, values: Sequence[Any], depth_left: int) -> Dict[str, Any]:
        """Return the tagged form of a list of instances of the same class: with one list for each field."""
        self._rows_left -= len(values)
        if not form.fields:  # no fields: an enum, a date, a state
            return {TAG: LIST_TAG, "of": form.name, "values": self.copy(list(map(form.plain, values)), depth_left)}
        columns = [self.copy(column, depth_left) for column in form.columns(values)]
        return {TAG: LIST_TAG, "of": form.name, "fields": list(form.fields), "values": columns}

    def _rows(self, form: Any, values: Sequence[Any], depth_left: int) -> List[Dict[str, Any]]:
        """Return the plain forms of instances of a class with fields."""
        # Without tags a dict for each is needed, but the values are still converted by columns.
        columns = [self.copy(column, depth_left) for column in form.columns(values)]
        return [dict(zip(form.fields, row)) for row in zip(*columns)]

    def _form(self, value: Any, kind: type) -> Any:
        if kind in registered_types.registered():
            # Registered types first: a program may register a subclass of a numpy type.
            form = classes.registered_form(value, self._for_serpent, self._tagged)
            if form is not classes.NOT_REGISTERED:
                return form
        generic, is_array = numpy_scalars.scalar_class(), numpy_scalars.is_array(value)
        if generic is None or not (is_array or isinstance(value, generic)):
            raise _OtherTypesError
        form = classes.registered_form(value, self._for_serpent)  # a converter of the program takes precedence
        if form is classes.NOT_REGISTERED:
            form = numpy_scalars.array_form(value, self._arrays_as_text) if is_array else numpy_scalars.plain_scalar(value)
        if form is value or form is numpy_scalars.NO_ARRAY:  # it has no plain form, so the slow way must report it
            raise _OtherTypesError
        return form


def check_needs_copy(obj: Any) -> None:
    """Raise CopyFirst for an instance of a registered type: copying the value once is faster than calling a hook for each."""
    if classes.form_of(type(obj)) is not None:
        raise CopyFirst


# ---------------------------------------------------------------- keys

def with_tagged_keys(value: Any) -> Any:
    """Return a dict or set as a tagged list if instances of registered types are among its keys, otherwise the value itself.

    Tagged forms are dicts, and so they cannot be keys.
    """
    if not any([classes.form_of(type(key)) is not None for key in value]):
        return value
    # As pairs, because the keys become dicts or lists, which cannot be keys.
    if isinstance(value, dict):
        return {TAG: DICT_TAG, "value": [[key, element] for key, element in value.items()]}
    return {TAG: _SETS[type(value)], "value": list(value)} if type(value) in _SETS else value


def _hashable(values: Collection[Any]) -> Collection[Any]:
    if not all([type(each) in _ATOMS or registered_types.is_registered(type(each)) for each in values]):
        raise TypeError("a key is neither plain data nor an instance of a registered type")
    # A peer chooses the keys: see the module.
    hash_flooding.check_instances(values)
    return values


def _to_dict(data: Dict[str, Any], convert: classes.Convert) -> Any:
    items = [_list(each) for each in _list(convert(data["value"]))]
    # Before unpacking: an item of a peer may have any length.
    if not {2}.issuperset(map(len, items)):
        raise ValueError("the items of a dict must be pairs")
    keys = _hashable([item[0] for item in items])
    return {key: item[1] for key, item in zip(keys, items)}


def _list(value: Any) -> Any:
    if type(value) not in plain.SEQUENCES:
        raise ValueError("expected a list, not %s" % plain.text_of(value))
    return value


HASHABLE_TAGS: Mapping[str, classes.FromTaggedDict] = {
    _SETS[set]: lambda data, convert: set(_hashable(_list(convert(data["value"])))),
    _SETS[frozenset]: lambda data, convert: frozenset(_hashable(_list(convert(data["value"])))), DICT_TAG: _to_dict}
