"""Convert instances of registered types to plain data.

In the *plain form* the name of the type is left out, so that every peer can read it. In the *tagged form* it stands beside the
plain form: ``{"__class__": name, "value": plain form}``. The instances in a plain form are not converted here: the serializer
converts them.
"""
from __future__ import annotations

import datetime
import decimal
import operator
import pathlib
import uuid
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .classes import TAG
from .shapes import ENUM, FIELDS, MODEL, NAMED_TUPLE, STATE, TEXT, field_names, model_fields

# Group -> class -> the name on the wire. The modules of some classes differ between versions of Python.
GROUPS: Dict[str, Dict[type, str]] = {
    "datetime": {datetime.datetime: "datetime.datetime", datetime.date: "datetime.date", datetime.time: "datetime.time",
                 datetime.timedelta: "datetime.timedelta"},
    "decimal": {decimal.Decimal: "decimal.Decimal"},
    "uuid": {uuid.UUID: "uuid.UUID"},
    # A path of the system is one of the receiver's system there: of classes with one name, it means the last.
    "path": {pathlib.PosixPath: "pathlib.Path", pathlib.WindowsPath: "pathlib.Path", pathlib.Path: "pathlib.Path",
             pathlib.PurePosixPath: "pathlib.PurePosixPath", pathlib.PureWindowsPath: "pathlib.PureWindowsPath",
             pathlib.PurePath: "pathlib.PurePath"},
}
# Exact types: other classes with isoformat() may have another text.
_ISO = (datetime.datetime, datetime.date, datetime.time)

# Up to this number of days, about a century, a float of seconds is exact to the microsecond.
_EXACT_DAYS = 40000


class Form:
    """How the instances of a registered class are sent.

    Args:
        name: of the class on the wire.

    Attributes:
        plain: returns the plain form of an instance.
        fields: the names of the fields of a dataclass, or of a class of attrs or msgspec; None for other classes.
    """

    __slots__ = ("clazz", "kind", "name", "plain", "fields", "_getters", "_exactly")

    def __init__(self, clazz: type, kind: str, name: str) -> None:
        self.clazz = clazz
        self.kind = kind
        self.name = name
        # Read once for each class; instances of subclasses may have more.
        self.fields: Optional[Tuple[str, ...]] = tuple(field_names(clazz)) if kind == FIELDS else None
        # In C: columns of many instances are read without a loop in Python.
        self._getters = [operator.attrgetter(name) for name in self.fields or ()]
        self.plain = self._plain_function()
        # For the types whose plain form leaves out a part of some values.
        self._exactly: Optional[Callable[[Any, Any], Any]] = _EXACTLY.get(clazz)

    def tagged(self, instance: Any) -> Any:
        """Return the tagged form of an instance; the plain form if it is of a subclass that has other fields."""
        plain = self.plain(instance)
        # The tag promises the fields of the registered class, and would be wrong for these.
        if type(instance) is not self.clazz and not self._has_same_fields(instance, plain):
            return plain
        return {TAG: self.name, "value": plain if self._exactly is None else self._exactly(instance, plain)}

    def columns(self, instances: Sequence[Any]) -> List[List[Any]]:
        """Return the values of each field of several instances of exactly this class."""
        return [list(map(get, instances)) for get in self._getters]

    def _has_same_fields(self, instance: Any, plain: Any) -> bool:
        # A subclass may only add methods.
        clazz = type(instance)
        if self.kind == FIELDS:
            return tuple(field_names(clazz)) == self.fields
        # One with a text of its own may have more in it, such as the nanoseconds of a pandas.Timestamp.
        if self.clazz in _ISO:
            return bool(plain == self.clazz.isoformat(instance))
        return self.kind != MODEL or model_fields(clazz) == model_fields(self.clazz)

    def _plain_function(self) -> Callable[[Any], Any]:
        if self.kind == TEXT:
            if self.clazz is datetime.timedelta:
                return datetime.timedelta.total_seconds  # the number of seconds: there is no standard text for it
            return operator.methodcaller("isoformat") if self.clazz in _ISO else str
        if self.kind == FIELDS:
            return self._field_values
        # Enums are sent by their values, so that other languages and programs without the class understand them.
        functions: Dict[str, Callable[[Any], Any]] = {
            ENUM: operator.attrgetter("value"), STATE: operator.methodcaller("__pyro_state__"), NAMED_TUPLE: tuple,
            MODEL: _model_values}
        return functions[self.kind]

    def _field_values(self, instance: Any) -> Dict[str, Any]:
        names: Any = self.fields if type(instance) is self.clazz else field_names(type(instance))
        return {name: getattr(instance, name) for name in names}


def _duration(value: datetime.timedelta, seconds: float) -> Any:
    # The microseconds of centuries do not fit into a float.
    if -_EXACT_DAYS < value.days < _EXACT_DAYS:
        return seconds
    return [value.days, value.seconds, value.microseconds]


def _with_fold(value: Any, text: str) -> Any:
    # The second of two equal hours at the end of daylight saving time; with an offset in the text, it is known without.
    return [text, 1] if value.fold and value.tzinfo is None else text


_EXACTLY: Dict[type, Callable[[Any, Any], Any]] = {
    datetime.timedelta: _duration, datetime.datetime: _with_fold, datetime.time: _with_fold}


def _model_values(instance: Any) -> Any:
    # mode="json": all of its values are plain data. Version 1 of pydantic has no such method.
    if hasattr(instance, "model_dump"):
        return instance.model_dump(mode="json")
    return instance.dict()
