"""Types that the program has registered to be sent in a plain form, which every peer can read, and to be rebuilt by
annotations.

A class is recognized by its shape: no package that defines one of these shapes is imported. The module rebuilding builds
instances from plain forms.

Thread-safe: any thread may register types.
"""
from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import threading
import types
import uuid
from typing import Any, Callable, Dict, Iterator, List, Tuple, Union

from . import classes, numpy_arrays

__all__ = ["FIELDS", "MODEL", "NAMED_TUPLE", "OTHER_KINDS", "TYPED_DICT", "field_names", "is_registered", "kind_of",
           "on_change", "register_types", "registered", "unregister"]

# What a class looks like.
ENUM, STATE, FIELDS, NAMED_TUPLE, MODEL, TYPED_DICT, TEXT = (
    "enum", "state", "fields", "named tuple", "model", "typed dict", "text")
OTHER_KINDS = (ENUM, STATE, TEXT)

_GROUPS: Dict[str, Tuple[type, ...]] = {
    "datetime": (datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
    "decimal": (decimal.Decimal,),
    "uuid": (uuid.UUID,),
    "path": (pathlib.PurePath, pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.Path, pathlib.PosixPath,
             pathlib.WindowsPath),
}
# groups of types of other packages, which the program may import later
_ON_DEMAND: Dict[str, Callable[[], None]] = {"numpy": numpy_arrays.register}
_ISO = (datetime.datetime, datetime.date, datetime.time)

# Guards changes of the table and of the list of callbacks. A change replaces the table, so readers need no lock.
_lock = threading.Lock()
_kinds: Dict[type, str] = {}
_callbacks: List[Callable[[], None]] = []


def register_types(*types_or_groups: Union[type, types.ModuleType, str]) -> None:
    """Register types to be sent in a plain form, and to be rebuilt where an annotation names them.

    Enums are sent as their values; dataclasses, and classes of attrs, pydantic and msgspec, as dicts of their fields; named
    tuples as tuples; other classes as what their method ``__pyro_state__`` returns. The parameters of exposed methods with
    annotations of these types, and the results of ``Proxy[Interface]``, are rebuilt.

    Args:
        types_or_groups: classes; modules, whose public classes of these shapes are registered; or names of groups of types:
            "datetime", "decimal", "uuid", "path"; "numpy" for arrays, which arrive as arrays without any annotation.

    Raises:
        TypeError: a class has none of these shapes.
        ValueError: there is no such group.
    """
    global _kinds
    found: Dict[type, str] = {}
    for each in types_or_groups:
        found.update(_classes_of(each))
    for each in types_or_groups:
        if isinstance(each, str) and each in _ON_DEMAND:
            _ON_DEMAND[each]()
    with _lock:
        _kinds = {**_kinds, **found}
        callbacks = list(_callbacks)
    for clazz, kind in found.items():
        # a converter of the program takes precedence
        if kind != TYPED_DICT and not classes.has_converter(clazz):
            classes.register_class_to_dict(clazz, _to_plain(clazz, kind))
    # Without the lock: callbacks take locks of their own.
    for callback in callbacks:
        callback()


def unregister(clazz: type) -> None:
    """Remove a type, and its converter."""
    global _kinds
    with _lock:
        _kinds = {key: kind for key, kind in _kinds.items() if key is not clazz}
    classes.unregister_class_to_dict(clazz)


def registered() -> Dict[type, str]:
    """Return the kinds of all registered types. The dict must not be changed."""
    return _kinds


def is_registered(clazz: Any) -> bool:
    """Return whether a class is registered; false for other objects."""
    return isinstance(clazz, type) and clazz in _kinds


def on_change(callback: Callable[[], None]) -> None:
    """Call a function whenever types were registered."""
    with _lock:
        _callbacks.append(callback)


def _classes_of(given: Any) -> Iterator[Tuple[type, str]]:
    if isinstance(given, str):
        if given not in _GROUPS and given not in _ON_DEMAND:
            raise ValueError("unknown group of types %r; choose from: %s" % (given, ", ".join([*_GROUPS, *_ON_DEMAND])))
        yield from [(clazz, TEXT) for clazz in _GROUPS.get(given, ())]
    elif isinstance(given, types.ModuleType):
        # Only what the module itself defines: names that it imports belong to others.
        for name, clazz in list(vars(given).items()):
            is_own = isinstance(clazz, type) and clazz.__module__ == given.__name__ and not name.startswith("_")
            if is_own and kind_of(clazz):
                yield clazz, kind_of(clazz)
    elif isinstance(given, type) and kind_of(given):
        yield given, kind_of(given)
    else:
        raise TypeError("cannot register %r: it is not an enum, a dataclass, a named tuple, a TypedDict, or a class of attrs, "
                        "pydantic or msgspec, and does not define __pyro_state__ and __pyro_from_state__" % (given,))


def kind_of(clazz: type) -> str:
    """Return what a class looks like; an empty text if it has none of the shapes."""
    if hasattr(clazz, "__pyro_state__") and hasattr(clazz, "__pyro_from_state__"):
        return STATE
    if issubclass(clazz, enum.Enum):
        return ENUM
    if hasattr(clazz, "model_validate") or hasattr(clazz, "parse_obj"):
        return MODEL
    if dataclasses.is_dataclass(clazz) or hasattr(clazz, "__attrs_attrs__") or hasattr(clazz, "__struct_fields__"):
        return FIELDS
    if hasattr(clazz, "__total__") and dict in clazz.__mro__:
        return TYPED_DICT
    return NAMED_TUPLE if issubclass(clazz, tuple) and hasattr(clazz, "_fields") else ""


def field_names(clazz: type) -> Dict[str, str]:
    """Return the fields of a class of kind FIELDS, and the parameter of its constructor for each; "" if it has none."""
    if "__attrs_attrs__" in dir(clazz):
        return {each.name: (getattr(each, "alias", None) or each.name.lstrip("_")) if each.init else ""
                for each in clazz.__attrs_attrs__}  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(clazz):
        return {each.name: each.name if each.init else "" for each in dataclasses.fields(clazz)}
    return {name: name for name in clazz.__struct_fields__}  # type: ignore[attr-defined]


# ---------------------------------------------------------------- plain forms

def _to_plain(clazz: type, kind: str) -> Callable[[Any], Any]:
    if kind == TEXT:
        if clazz is datetime.timedelta:
            return datetime.timedelta.total_seconds
        return _iso_text if clazz in _ISO else str
    if kind == FIELDS:
        return _field_values(clazz)
    return {ENUM: _value_of_member, STATE: _state, NAMED_TUPLE: tuple, MODEL: _model_values}[kind]


def _iso_text(value: Any) -> str:
    text: str = value.isoformat()
    return text


def _value_of_member(member: Any) -> Any:
    return member.value


def _state(instance: Any) -> Any:
    return instance.__pyro_state__()


def _field_values(clazz: type) -> Callable[[Any], Dict[str, Any]]:
    own_names = tuple(field_names(clazz))

    def convert(instance: Any) -> Dict[str, Any]:
        # the values are not converted here: the serializer converts them, whether their types are registered or not
        names = own_names if type(instance) is clazz else field_names(type(instance))
        return {name: getattr(instance, name) for name in names}
    return convert


def _model_values(instance: Any) -> Any:
    # pydantic 2; in version 1 the method is dict().
    if hasattr(instance, "model_dump"):
        return instance.model_dump(mode="json")
    return instance.dict()
