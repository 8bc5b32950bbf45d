"""Rebuild instances of registered types from their plain forms, where annotations name them.

`builder_for` compiles an annotation to a function once; annotations without registered types need none. All values come from
the network: they are examined by their exact types, and no method of a received object is called.
"""
from __future__ import annotations

import base64
import collections.abc
import datetime
import decimal
import enum
import functools
import operator
import pathlib
import sys
import typing
import uuid
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from .._text.printable import printable
from . import hash_flooding, plain, registered_types
from .annotations import hints_of
from .registered_types import FIELDS, MODEL, NAMED_TUPLE, TYPED_DICT

__all__ = ["Build", "Mismatch", "builder_for"]

Build = Callable[[Any], Any]    # plain data -> plain data with instances

_SEQUENCES = frozenset((list, tuple))
_COLLECTIONS = frozenset((list, tuple, set, frozenset))
# Origins of annotations, and what is built for them.
_LISTS: Mapping[Any, Callable[[List[Any]], Any]] = {
    list: list, set: set, frozenset: frozenset, collections.abc.Sequence: list, collections.abc.MutableSequence: list,
    collections.abc.Collection: list, collections.abc.Iterable: list, collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_DICTS = frozenset((dict, collections.abc.Mapping, collections.abc.MutableMapping))
_UNIONS: Tuple[Any, ...] = (typing.Union,)
if sys.version_info >= (3, 10):
    import types
    _UNIONS += (types.UnionType,)
# The types of values that an annotation of this type accepts.
_SCALARS: Mapping[Any, FrozenSet[type]] = {
    str: frozenset((str,)), int: frozenset((int, bool)), float: frozenset((float, int)), bool: frozenset((bool,)),
    complex: frozenset((complex, float, int)), type(None): frozenset((type(None),)), list: frozenset((list, tuple)),
    dict: frozenset((dict,)), tuple: frozenset((tuple, list)),
}
_MAX_FOUND_CHARS = 60
_MAX_REASON_CHARS = 200
_MAX_ATTEMPTS = 200


class Mismatch(TypeError):
    """A value does not fit its annotation.

    Attributes:
        path: where, from the outside to the inside.
        reason: the text of the exception of a constructor; may be empty.
        attempts: how many types of unions were tried before.
    """

    def __init__(self, expected: str, value: Any, path: str = "", reason: str = "", attempts: int = 1) -> None:
        super().__init__(expected, path)
        self.expected, self.value, self.path, self.reason, self.attempts = expected, value, path, reason, attempts

    def inside(self, step: str) -> Mismatch:
        """Return the error for the value around, in which the value has this place."""
        return Mismatch(self.expected, self.value, step + self.path, self.reason, self.attempts)

    def described(self, where: str) -> TypeError:
        """Return the error for the program: with the place of the outermost value, such as a parameter."""
        if self.value is None or type(self.value).__module__ != "builtins":
            found = plain.text_of(self.value)
        else:
            text = repr(self.value[:_MAX_FOUND_CHARS]) if type(self.value) is str else plain.text_of(self.value)
            found = "the %s %s" % (type(self.value).__name__, text[:_MAX_FOUND_CHARS + 2])
        reason = " (%s)" % self.reason[:_MAX_REASON_CHARS] if self.reason else ""
        return TypeError(printable("%s%s: expected %s, found %s%s" % (where, self.path, self.expected, found, reason)))


def builder_for(annotation: Any) -> Optional[Build]:
    """Return the function that rebuilds values with an annotation; None if there are no registered types in it.

    The function raises Mismatch for a value that does not fit.
    """
    # Most annotations name no registered type, and their values are used as they arrive.
    if not registered_types.registered() or not _mentions_registered(annotation):
        return None
    return _Compiler().compile(annotation)


def _mentions_registered(annotation: Any) -> bool:
    if registered_types.is_registered(annotation):
        return True
    annotation = getattr(annotation, "__supertype__", annotation)  # a NewType
    if registered_types.is_registered(annotation) or registered_types.is_registered(typing.get_origin(annotation)):
        return True
    return any(map(_mentions_registered, typing.get_args(annotation)))


def _name(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return "None" if annotation is type(None) else annotation.__qualname__
    return str(annotation).replace("typing.", "")


class _Compiler:
    """Compiles annotations. Keeps the builders of classes, which may refer to themselves."""

    def __init__(self) -> None:
        self._classes: Dict[Any, Build] = {}

    def compile(self, annotation: Any) -> Build:
        annotation = getattr(annotation, "__supertype__", annotation)
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if registered_types.is_registered(annotation) or registered_types.is_registered(origin):
            return self._class(annotation, origin or annotation, args)
        if annotation is bytes:
            return _bytes
        if annotation is type(None):
            return _none
        if annotation in _SCALARS:
            return _scalar(annotation)
        if origin in _UNIONS:
            return _union(_name(annotation), [self.compile(each) for each in args])
        if origin is tuple and args:
            return self._tuple(annotation, args)
        if origin in _LISTS:
            return _elements(_name(annotation), _LISTS[origin], self.compile(args[0]))
        if origin in _DICTS:
            return _dict(_name(annotation), self.compile(args[0]), self.compile(args[1]))
        return _unchanged

    def _tuple(self, annotation: Any, args: Tuple[Any, ...]) -> Build:
        if len(args) == 2 and args[1] is Ellipsis:
            return _elements(_name(annotation), tuple, self.compile(args[0]))
        return _positions(_name(annotation), tuple, [self.compile(each) for each in args if each != ()])

    def _class(self, annotation: Any, clazz: Any, args: Tuple[Any, ...]) -> Build:
        known = self._classes.get(annotation)
        if known is None:
            # a placeholder for fields of the same type
            self._classes[annotation] = lambda value: self._classes[annotation](value)
            known = self._classes[annotation] = _instance(clazz, self._build(clazz, args))
        return known

    def _build(self, clazz: Any, args: Tuple[Any, ...]) -> Build:
        kind = registered_types.registered()[clazz]
        if kind in (FIELDS, TYPED_DICT, NAMED_TUPLE):
            # The parameters of a generic class, such as Box[int], take the place of its type variables.
            types_of = dict(zip(getattr(clazz, "__parameters__", ()), args))
            fields = {name: self.compile(types_of.get(hint, hint)) for name, hint in hints_of(clazz).items()}
            if kind == FIELDS:
                return _fields(clazz, fields)
            if kind == TYPED_DICT:
                return _typed_dict(clazz, fields)
            return _positions(_name(clazz), clazz._make, [fields.get(name, _unchanged) for name in clazz._fields])
        if kind == MODEL:
            return getattr(clazz, "model_validate", None) or clazz.parse_obj  # type: ignore[no-any-return]
        if kind == registered_types.STATE:
            return clazz.__pyro_from_state__  # type: ignore[no-any-return]
        return _member(clazz) if kind == registered_types.ENUM else _from_text(clazz)


# ---------------------------------------------------------------- builders

def _unchanged(value: Any) -> Any:
    return value


def _none(value: Any) -> None:
    if value is not None:
        raise Mismatch("None", value)


def _scalar(clazz: type) -> Build:
    accepted, name = _SCALARS[clazz], _name(clazz)

    def build(value: Any) -> Any:
        if type(value) not in accepted:
            raise Mismatch(name, value)
        return value
    return build


def _bytes(value: Any) -> bytes:
    if type(value) in (bytes, bytearray):
        return bytes(value)
    if type(value) is dict and value.get("encoding") == "base64" and type(value.get("data")) is str:  # serpent's form
        try:
            return base64.b64decode(value["data"])
        except ValueError:
            pass
    raise Mismatch("bytes", value)


def _union(name: str, builds: List[Build]) -> Build:
    is_optional = len(builds) == 2 and any(each is _none for each in builds)

    def build(value: Any) -> Any:
        only, attempts = None, 0
        for each in builds:
            try:
                return each(value)
            except Mismatch as x:
                # Unions in unions in unions: trying all combinations would take time that doubles with each level.
                attempts += x.attempts
                if attempts > _MAX_ATTEMPTS:
                    x.attempts = attempts
                    raise
                # A mismatch inside the value says more than one about the value as a whole.
                only = x if x.path else only
        if only is not None and is_optional:
            raise only  # the place inside says more than the name of the whole type
        raise Mismatch(name, value, attempts=attempts)
    return build


def _at(build: Build, value: Any, step: str) -> Any:
    try:
        return build(value)
    except Mismatch as x:
        raise x.inside(step) from None


def _elements(name: str, make: Callable[[List[Any]], Any], element: Build) -> Build:
    is_set = make in (set, frozenset)

    def build(value: Any) -> Any:
        if type(value) not in _COLLECTIONS:
            raise Mismatch(name, value)
        elements = [_at(element, each, "[%d]" % index) for index, each in enumerate(value)]
        if is_set:
            # The elements are new objects: their hashes may be equal, even if those of the received ones are not.
            hash_flooding.check(elements)
        return make(elements)
    return build


def _positions(name: str, make: Callable[[List[Any]], Any], builds: List[Build]) -> Build:
    def build(value: Any) -> Any:
        if type(value) not in _SEQUENCES or len(value) != len(builds):
            raise Mismatch(name, value)
        return make([_at(each, element, "[%d]" % index) for index, (each, element) in enumerate(zip(builds, value))])
    return build


def _dict(name: str, key: Build, element: Build) -> Build:
    def build(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch(name, value)
        keys = [_at(key, each, " (a key)") for each in value]
        hash_flooding.check(keys)
        return {built: _at(element, inner, "[%s]" % plain.text_of(each, _MAX_FOUND_CHARS))
                for built, (each, inner) in zip(keys, value.items())}
    return build


def _instance(clazz: Any, build: Build) -> Build:
    """Return a builder that accepts instances as they are, and describes other errors of a builder as mismatches."""
    name = _name(clazz)

    def build_instance(value: Any) -> Any:
        # Already an instance, from a converter of the program, for example.
        if clazz in type(value).__mro__:
            return value
        try:
            return build(value)
        except Mismatch:
            raise
        except Exception as x:  # user code: a constructor, a validator; or a text that is not of this type
            raise Mismatch(name, value, reason=str(x)) from x
    return build_instance


def _fields(clazz: Any, builds: Mapping[str, Build]) -> Build:
    parameters, name = registered_types.field_names(clazz), _name(clazz)

    def build(value: Any) -> Any:
        if type(value) is not dict or not parameters.keys() >= value.keys():
            raise Mismatch(name, value)
        return clazz(**{parameters[field]: _at(builds.get(field, _unchanged), element, "." + field)
                        for field, element in value.items() if parameters[field]})
    return build


def _typed_dict(clazz: Any, builds: Mapping[str, Build]) -> Build:
    required, name = getattr(clazz, "__required_keys__", None), _name(clazz)
    if required is None:  # Python 3.8
        required = frozenset(builds) if clazz.__total__ else frozenset()

    def build(value: Any) -> Any:
        # All keys that are required, and no others: a misspelled key must not be dropped silently.
        if type(value) is not dict or not required <= value.keys() <= builds.keys():
            raise Mismatch(name, value)
        return {key: _at(builds[key], element, "[%r]" % key) for key, element in value.items()}
    return build


def _member(clazz: Any) -> Build:
    has_tuples = any([isinstance(member.value, tuple) for member in clazz])
    # An IntFlag accepts any int, and keeps a member for each in memory.
    flags = functools.reduce(operator.or_, [member.value for member in clazz], 0) if issubclass(clazz, enum.Flag) else None

    def build(value: Any) -> enum.Enum:
        if not plain.is_plain(value) or flags is not None and (type(value) is not int or value & ~flags):
            raise Mismatch(_name(clazz), value)
        # JSON has no tuples.
        member: enum.Enum = clazz(tuple(value) if type(value) is list and has_tuples else value)
        return member
    return build


def _from_text(clazz: Any) -> Build:
    make: Build
    if clazz is datetime.timedelta:
        accepted, make = _SCALARS[float], lambda seconds: datetime.timedelta(seconds=seconds)
    elif issubclass(clazz, decimal.Decimal):
        # through the text: a float would bring its binary rounding into a Decimal
        accepted, make = frozenset((str, int, float)), lambda number: clazz(str(number))
    elif issubclass(clazz, (uuid.UUID, pathlib.PurePath)):
        accepted, make = _SCALARS[str], clazz
    else:
        accepted, make = _SCALARS[str], lambda text: clazz.fromisoformat(_with_offset(text))

    def build(value: Any) -> Any:
        if type(value) not in accepted:
            raise Mismatch(_name(clazz), value)
        return make(value)
    return build


def _with_offset(text: str) -> str:
    return text[:-1] + "+00:00" if text.endswith("Z") else text    # "Z" is read since Python 3.11
