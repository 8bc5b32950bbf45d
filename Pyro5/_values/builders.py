"""Functions that rebuild instances of registered types from plain data: one value, or many of them at once.

All values come from the network: they are examined by their exact types, and no method of a received object is called.
"""
from __future__ import annotations

import base64
import contextlib
import datetime
import decimal
import enum
import functools
import operator
import pathlib
import uuid
from typing import Any, Callable, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from . import hash_flooding, plain
from .mismatch import Mismatch
from .plain import COLLECTIONS, SEQUENCES
from .shapes import field_names, positional_fields

Build = Callable[[Any], Any]  # plain data -> plain data with instances
Convert = Callable[[List[Any]], List[Any]]  # converts the tagged dicts in each element of a list

_CONTAINERS = frozenset((list, tuple, dict))
# The types of values that an annotation of this type accepts.
SCALARS: Mapping[Any, FrozenSet[type]] = {
    str: frozenset((str,)), int: frozenset((int, bool)), float: frozenset((float, int)), bool: frozenset((bool,)),
    complex: frozenset((complex, float, int)), type(None): frozenset((type(None),)), list: frozenset((list, tuple)),
    dict: frozenset((dict,)), tuple: frozenset((tuple, list)),
}
_MAX_KEY_CHARS = 60  # of a key in an error text: it comes from a peer
# Attempts to rebuild one value with the types of a union. Sensible annotations need a handful.
_MAX_ATTEMPTS = 200


class Builder:
    """Rebuilds values with one annotation.

    Args:
        one: rebuilds a value. Raises Mismatch for a value that does not fit.
    """

    __slots__ = ("one",)

    def __init__(self, one: Build) -> None:
        # A function and not a method: the builders of containers call it for each element.
        self.one = one

    def many(self, values: Sequence[Any], convert: Optional[Convert] = None) -> Sequence[Any]:
        """Rebuild several values. The given sequence itself is returned if nothing in it changes.

        Args:
            convert: converts the tagged dicts in the values first.

        Raises:
            Mismatch: with the index of the first value that does not fit.
        """
        values, one = _converted(values, convert), self.one
        built = []
        for index, value in enumerate(values):
            try:
                built.append(one(value))
            except Mismatch as x:
                raise x.of(index) from None
        return built

    def from_columns(self, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Return the instances whose fields have these values: a sequence for each field. Raises as many."""
        return self.many([dict(zip(names, row)) for row in zip(*columns)])


class Unchanged(Builder):
    """Accepts all values."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(lambda value: value)

    def many(self, values: Sequence[Any], convert: Optional[Convert] = None) -> Sequence[Any]:
        """Return the values."""
        return _converted(values, convert)


class Scalar(Builder):
    """Accepts the values of some builtin types."""

    __slots__ = ("_accepted",)

    def __init__(self, clazz: type) -> None:
        self._accepted, name = SCALARS[clazz], type_name(clazz)

        def one(value: Any) -> Any:
            if type(value) not in SCALARS[clazz]:
                raise Mismatch(name, value)
            return value
        super().__init__(one)

    def many(self, values: Sequence[Any], convert: Optional[Convert] = None) -> Sequence[Any]:
        """Return the values; see Builder.many."""
        values = _converted(values, convert)
        # One comparison in C for the whole list. Only if it fails is each value looked at, which finds the wrong one.
        return values if self._accepted.issuperset(map(type, values)) else super().many(values)


class Instance(Builder):
    """Rebuilds instances of a registered class, and accepts instances as they are.

    Args:
        inner: rebuilds them from plain data; its other exceptions are described as mismatches.
    """

    __slots__ = ("_clazz", "_inner")

    def __init__(self, clazz: Any, inner: Builder) -> None:
        self._clazz, self._inner = clazz, inner
        build, name = inner.one, type_name(clazz)

        def one(value: Any) -> Any:
            # The class or one of its bases: not isinstance(), which asks the value, and a class can answer what it likes.
            if clazz in type(value).__mro__:
                return value
            try:
                return build(value)
            except Mismatch:
                raise
            except Exception as x:  # user code: a constructor, a validator; or a text that is not of this type
                raise Mismatch(name, value, reason=str(x)) from x
        super().__init__(one)

    def many(self, values: Sequence[Any], convert: Optional[Convert] = None) -> Sequence[Any]:
        """Rebuild several instances; see Builder.many."""
        if {self._clazz}.issuperset(map(type, values)):
            return values
        # In one way only, also if it fails: to try one way after the other would take time that doubles with each level.
        if isinstance(self._inner, Fields):
            names, columns = _columns_of(values)
            if names:
                return self._inner.from_columns(names, [_converted(column, convert) for column in columns])
        values = _converted(values, convert)
        members = self._inner.members(values) if isinstance(self._inner, Member) else None
        return super().many(values) if members is None else members

    def from_columns(self, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Return the instances; see Builder.from_columns."""
        if isinstance(self._inner, Fields):
            return self._inner.from_columns(names, columns)
        return super().from_columns(names, columns)


def _columns_of(values: Sequence[Any]) -> Tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """Return the keys of dicts that all have the same keys, and the values for each key; two empty tuples for others."""
    if not {dict}.issuperset(map(type, values)):
        return (), ()
    keys = list(map(tuple, values))
    # not a set of the keys: those of a peer may all have the same hash
    if not keys or not keys[0] or keys.count(keys[0]) != len(keys):
        return (), ()
    return keys[0], list(zip(*map(dict.values, values)))


class Fields(Builder):
    """Rebuilds instances of a class of kind FIELDS from the dicts of their fields."""

    __slots__ = ("_clazz", "_builders", "_parameters", "_positional")

    def __init__(self, clazz: Any, builders: Mapping[str, Builder]) -> None:
        self._clazz, self._builders = clazz, builders
        # Field -> parameter of the constructor; empty if it has none.
        self._parameters = parameters = field_names(clazz)
        self._positional = positional_fields(clazz)
        # The functions themselves: an attribute access less for each field of each instance.
        builds = {name: each.one for name, each in builders.items()}
        name = type_name(clazz)

        def one(value: Any) -> Any:
            # Names that are no fields: an attempt to reach parameters that are not meant for clients, or another
            # version of the class.
            if type(value) is not dict or not parameters.keys() >= value.keys():
                raise Mismatch(name, value)
            return clazz(**{parameters[field]: at(builds[field], element, "." + field) if field in builds else element
                            for field, element in value.items() if parameters[field]})
        super().__init__(one)

    def from_columns(self, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> List[Any]:
        """Return the instances; see Builder.from_columns."""
        # Names of a peer: checked here too, because columns do not pass through `one`.
        if not set(names) <= self._parameters.keys():
            raise Mismatch(type_name(self._clazz), dict(zip(names, [column[0] for column in columns])))
        built = []
        # A column at a time: the elements of a column have the same annotation, so most are checked together.
        for name, column in zip(names, columns):
            try:
                built.append(self._builders.get(name, UNCHANGED).many(column))
            except Mismatch as x:
                raise x.inside("." + name) from None
        clazz = self._clazz
        if tuple(names) == self._positional:
            with contextlib.suppress(Exception):  # user code: the constructor; called again below, to find the instance
                return [clazz(*row) for row in zip(*built)]  # saves a third of the time of passing them by name
        parameters = [self._parameters[name] for name in names]
        instances: List[Any] = []
        try:
            for row in zip(*built):
                instances.append(clazz(**{parameter: value for parameter, value in zip(parameters, row) if parameter}))
            return instances
        except Exception as x:
            index = len(instances)
            value = dict(zip(names, [column[index] for column in columns]))
            raise Mismatch(type_name(clazz), value, reason=str(x), index=index) from x


class Member(Builder):
    """Finds the members of an enum by their values."""

    __slots__ = ("_members", "_kind")

    def __init__(self, clazz: Any) -> None:
        name, values = type_name(clazz), [each.value for each in clazz]
        has_tuples = any([isinstance(each, tuple) for each in values])
        # An IntFlag accepts any int, and keeps a member for each in memory.
        flags = functools.reduce(operator.or_, values, 0) if issubclass(clazz, enum.Flag) else None

        def one(value: Any) -> enum.Enum:
            # JSON and msgpack turn tuples into lists, and a member whose value is a tuple is not found by a list.
            if not plain.is_plain(value) or flags is not None and (type(value) is not int or value & ~flags):
                raise Mismatch(name, value)
            found: enum.Enum = clazz(tuple(value) if type(value) is list and has_tuples else value)
            return found
        super().__init__(one)
        kinds = set(map(type, values))
        # bool equals int, and 1.0 equals 1: a table would accept both, so there is one for values of a single type only.
        self._kind = kinds.pop() if kinds in ({int}, {str}) else None
        self._members = {each.value: each for each in clazz} if self._kind else {}

    def members(self, values: Sequence[Any]) -> Optional[List[Any]]:
        """Return the members with these values; None if they have to be found one by one."""
        if self._kind is not None and {self._kind}.issuperset(map(type, values)):
            try:
                return list(map(self._members.__getitem__, values))
            except KeyError:  # a flag that consists of several members, or a value that does not exist
                pass
        return None


UNCHANGED = Unchanged()


def type_name(annotation: Any) -> str:
    """Return the name of a type for an error text."""
    if isinstance(annotation, type) and not getattr(annotation, "__args__", None):
        return "None" if annotation is type(None) else annotation.__qualname__
    return str(annotation).replace("typing.", "")


def at(build: Build, value: Any, step: str) -> Any:
    """Rebuild a value that has this place in another one."""
    try:
        return build(value)
    except Mismatch as x:
        raise x.inside(step) from None


def _converted(values: Sequence[Any], convert: Optional[Convert]) -> Sequence[Any]:
    if convert is None or _CONTAINERS.isdisjoint(map(type, values)):
        return values
    return convert(list(values))


# ---------------------------------------------------------------- other types

def none(value: Any) -> None:
    """Accept None."""
    if value is not None:
        # As the annotation says it, and not NoneType.
        raise Mismatch("None", value)


def from_bytes(value: Any) -> bytes:
    """Return bytes, also of the dict that serpent sends to peers of other releases."""
    if type(value) in (bytes, bytearray):
        return bytes(value)
    if type(value) is dict and value.get("encoding") == "base64" and type(value.get("data")) is str:
        try:
            return base64.b64decode(value["data"])
        except ValueError:
            pass
    raise Mismatch("bytes", value)


def union(name: str, builds: List[Build]) -> Build:
    """Return the function that rebuilds a value with the first type that fits."""
    is_optional = len(builds) == 2 and any(each is none for each in builds)

    # The first type that fits wins, as the order in the annotation suggests.
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
                only = x if x.path else only
        if only is not None and is_optional:
            raise only  # the place inside says more than the name of the whole type
        raise Mismatch(name, value, attempts=attempts)
    return build


def elements(name: str, make: Callable[[Any], Any], element: Builder) -> Build:
    """Return the function that rebuilds a list, tuple or set."""
    is_set = make in (set, frozenset)

    def build(value: Any) -> Any:
        if type(value) not in COLLECTIONS:
            raise Mismatch(name, value)
        try:
            built = element.many(value if type(value) in SEQUENCES else list(value))
        except Mismatch as x:
            raise x.inside("[%d]" % x.index) from None
        # The hashes of elements are those of a peer: adding many equal ones would take minutes.
        if is_set:
            hash_flooding.check_instances(built)
        return make(built)
    return build


def positions(name: str, make: Callable[[List[Any]], Any], builds: List[Build]) -> Build:
    """Return the function that rebuilds a tuple of a certain length."""
    def build(value: Any) -> Any:
        # A set has no order, and would put values in places that are not theirs.
        if type(value) not in SEQUENCES or len(value) != len(builds):
            raise Mismatch(name, value)
        return make([at(each, element, "[%d]" % index) for index, (each, element) in enumerate(zip(builds, value))])
    return build


def mapping(name: str, key: Build, element: Build) -> Build:
    """Return the function that rebuilds a dict."""
    def build(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch(name, value)
        # All keys before the first is inserted into a dict, which is the slow operation of an attack.
        keys = [at(key, each, " (a key)") for each in value]
        hash_flooding.check_instances(keys)
        rebuilt = {built: at(element, inner, "[%s]" % plain.text_of(each, _MAX_KEY_CHARS))
                   for built, (each, inner) in zip(keys, value.items())}
        # Such as Decimal("1.0") and Decimal("1.00"): one of the values would be lost.
        if len(rebuilt) < len(value):
            raise Mismatch(name, value, reason="two of its keys become equal")
        return rebuilt
    return build


def typed_dict(clazz: Any, builds: Mapping[str, Build]) -> Build:
    """Return the function that rebuilds the values of a TypedDict."""
    required, name = getattr(clazz, "__required_keys__", None), type_name(clazz)
    if required is None:  # Python 3.8
        required = frozenset(builds) if clazz.__total__ else frozenset()

    def build(value: Any) -> Any:
        if type(value) is not dict or not required <= value.keys() <= builds.keys():
            raise Mismatch(name, value)
        return {key: at(builds[key], element, "[%r]" % key) for key, element in value.items()}
    return build


def refuse(clazz: Any) -> Build:
    """Return the function for a class whose instances are never rebuilt from plain data."""
    # The tag or annotation may be known, but exceptions are only built by their own tag.
    def build(value: Any) -> Any:
        raise Mismatch(type_name(clazz), value)
    return build


def from_text(clazz: Any) -> Build:
    """Return the function that reads the text of a date, number, UUID or path."""
    make: Build
    if clazz is datetime.timedelta:
        return _duration
    if issubclass(clazz, (datetime.datetime, datetime.time)):
        return functools.partial(_moment, clazz)
    # By way of the text: a float is converted exactly, with 50 digits that it did not have when it was written.
    if issubclass(clazz, decimal.Decimal):
        accepted, make = frozenset((str, int, float)), lambda number: clazz(str(number))
    elif issubclass(clazz, (uuid.UUID, pathlib.PurePath)):
        accepted, make = SCALARS[str], clazz
    else:
        accepted, make = SCALARS[str], lambda text: clazz.fromisoformat(_with_offset(text))

    def build(value: Any) -> Any:
        if type(value) not in accepted:
            raise Mismatch(type_name(clazz), value)
        return make(value)
    return build


def _duration(value: Any) -> datetime.timedelta:
    if type(value) in SEQUENCES and list(map(type, value)) == [int] * 3:
        return datetime.timedelta(*value)   # days, seconds, microseconds of values that are too large for a float
    if type(value) not in SCALARS[float]:
        raise Mismatch("timedelta", value)
    return datetime.timedelta(seconds=value)


def _moment(clazz: Any, value: Any) -> Any:
    if type(value) in SEQUENCES and list(map(type, value)) == [str, int]:
        text, fold = value
        return clazz.fromisoformat(_with_offset(text)).replace(fold=fold)
    if type(value) not in SCALARS[str]:
        raise Mismatch(type_name(clazz), value)
    return clazz.fromisoformat(_with_offset(value))


def _with_offset(text: str) -> str:
    return text[:-1] + "+00:00" if text.endswith("Z") else text    # "Z" is read since Python 3.11
