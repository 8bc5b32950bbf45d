"""Rebuild instances of registered types from their plain forms, where annotations or tags name them.

`builder_for` compiles an annotation to a function once; annotations without registered types need none. `rebuild`,
`rebuild_many` and `rebuild_columns` are for values that were sent with the names of their types.
"""
from __future__ import annotations

import collections.abc
import sys
import typing
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from . import builders, registered_types
from .annotations import hints_of
from .builders import SCALARS, UNCHANGED, Build, Builder, Convert, Fields, Instance, Scalar, type_name
from .shapes import ENUM, EXCEPTION, FIELDS, MODEL, NAMED_TUPLE, STATE, TYPED_DICT

# Origins of annotations, and what is built for them.
_LISTS: Mapping[Any, Callable[[List[Any]], Any]] = {
    # The concrete type for each abstract one; a program that asks for a Sequence gets a list.
    list: list, set: set, frozenset: frozenset, collections.abc.Sequence: list, collections.abc.MutableSequence: list,
    collections.abc.Collection: list, collections.abc.Iterable: list, collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_DICTS = frozenset((dict, collections.abc.Mapping, collections.abc.MutableMapping))
_UNIONS: Tuple[Any, ...] = (typing.Union,)  # both ways of writing a union: typing.Optional[X], and X | None
if sys.version_info >= (3, 10):
    import types
    _UNIONS += (types.UnionType,)

# The builders of classes, and the registered types for which they were made: other ones need other builders.
_class_builders: Tuple[Any, Dict[Any, Builder]] = ({}, {})


def builder_for(annotation: Any) -> Optional[Build]:
    """Return the function that rebuilds values with an annotation; None if there are no registered types in it.

    The function raises Mismatch for a value that does not fit.
    """
    # Most annotations name no registered type, and their values are used as they arrive.
    if not registered_types.registered() or not _mentions_registered(annotation):
        return None
    return _Compiler().compile(annotation).one


def rebuild(clazz: type, value: Any) -> Any:
    """Return the instance of a registered class with this plain form. Raises Mismatch if it does not fit."""
    return _class_builder(clazz).one(value)


def rebuild_many(clazz: type, values: Sequence[Any], convert: Optional[Convert] = None) -> Sequence[Any]:
    """Return the instances of a registered class with these plain forms.

    Args:
        convert: converts the tagged dicts in a list of values.

    Raises:
        Mismatch: a value does not fit; with its index.
    """
    return _class_builder(clazz).many(values, convert)


def rebuild_columns(clazz: type, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """Return the instances of a registered class whose fields have these values: a sequence for each field.

    Raises:
        Mismatch: a value does not fit; with the index of the instance.
    """
    return _class_builder(clazz).from_columns(names, columns)


def _class_builder(clazz: type) -> Builder:
    global _class_builders
    kinds, found = _class_builders
    # By identity: the dict of registered types is replaced as a whole when it changes.
    if kinds is not registered_types.registered():
        # one assignment, so that other threads see both or neither
        kinds, found = _class_builders = registered_types.registered(), {}
    builder = found.get(clazz)
    if builder is None:  # two threads may make the same one
        builder = found[clazz] = _Compiler().compile(clazz)
    return builder


def _mentions_registered(annotation: Any) -> bool:
    if registered_types.is_registered(annotation):
        # First: the NewType itself may be registered.
        return True
    annotation = getattr(annotation, "__supertype__", annotation)  # a NewType
    if registered_types.is_registered(annotation) or registered_types.is_registered(typing.get_origin(annotation)):
        return True
    # Any argument, at any depth: List[Optional[Point]] mentions Point.
    return any(map(_mentions_registered, typing.get_args(annotation)))


class _Placeholder(Builder):
    """Stands for the builder of a class whose fields have its own type, while that is being made."""

    __slots__ = ()

    def __init__(self, known: Dict[Any, Builder], annotation: Any) -> None:
        # Looked up when a value is rebuilt; by then the builder is there.
        super().__init__(lambda value: known[annotation].one(value))


class _Compiler:
    """Compiles annotations. Keeps the builders of classes, which may refer to themselves."""

    def __init__(self) -> None:
        self._classes: Dict[Any, Builder] = {}

    def compile(self, annotation: Any) -> Builder:
        annotation = getattr(annotation, "__supertype__", annotation)
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        # Registered types before builtin ones, whose subclasses they may be.
        if registered_types.is_registered(annotation) or registered_types.is_registered(origin):
            return self._class(annotation, origin or annotation, args)
        if annotation in SCALARS:
            return Builder(builders.none) if annotation is type(None) else Scalar(annotation)
        # None: any other annotation, such as Any or a protocol, accepts what comes.
        build = builders.from_bytes if annotation is bytes else self._container(annotation, origin, args)
        return UNCHANGED if build is None else Builder(build)

    def _container(self, annotation: Any, origin: Any, args: Tuple[Any, ...]) -> Optional[Build]:
        name = type_name(annotation)
        if origin in _UNIONS:
            return builders.union(name, [self.compile(each).one for each in args])
        if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
            # The usual form of tuples of any length: Tuple[X, ...].
            return builders.elements(name, tuple, self.compile(args[0]))
        if origin is tuple and args:
            # Tuple[()] has the argument () in Python 3.10 and earlier
            return builders.positions(name, tuple, [self.compile(each).one for each in args if each != ()])
        if origin in _LISTS:
            return builders.elements(name, _LISTS[origin], self.compile(args[0]))
        if origin in _DICTS:
            return builders.mapping(name, self.compile(args[0]).one, self.compile(args[1]).one)
        return None

    def _class(self, annotation: Any, clazz: Any, args: Tuple[Any, ...]) -> Builder:
        known = self._classes.get(annotation)
        # Entered before its fields are compiled, which may be of the same class: a tree, or a linked list.
        if known is None:
            self._classes[annotation] = _Placeholder(self._classes, annotation)
            known = self._classes[annotation] = Instance(clazz, self._build(clazz, args))
        return known

    def _build(self, clazz: Any, args: Tuple[Any, ...]) -> Builder:
        kind = registered_types.registered()[clazz]
        if kind in (FIELDS, TYPED_DICT, NAMED_TUPLE):
            # Pair[int] -> {T: int}
            return self._with_fields(clazz, kind, dict(zip(getattr(clazz, "__parameters__", ()), args)))
        # pydantic checks its models itself, and its own errors name the field; 1.x has parse_obj.
        if kind == MODEL:
            return Builder(getattr(clazz, "model_validate", None) or clazz.parse_obj)
        if kind == STATE:
            return Builder(clazz.__pyro_from_state__)
        if kind == ENUM:
            return builders.Member(clazz)
        return Builder(builders.refuse(clazz) if kind == EXCEPTION else builders.from_text(clazz))

    def _with_fields(self, clazz: Any, kind: str, types_of: Mapping[Any, Any]) -> Builder:
        fields = {name: self.compile(_with_arguments(hint, types_of)) for name, hint in hints_of(clazz).items()}
        # Only this kind can be built by columns; the others are rare.
        if kind == FIELDS:
            return Fields(clazz, fields)
        builds = {name: each.one for name, each in fields.items()}
        if kind == TYPED_DICT:
            return Builder(builders.typed_dict(clazz, builds))
        return Builder(builders.positions(type_name(clazz), clazz._make,
                                          [builds.get(name, UNCHANGED.one) for name in clazz._fields]))


def _with_arguments(hint: Any, types_of: Mapping[Any, Any]) -> Any:
    """Return an annotation in which type variables are replaced, such as List[T]."""
    if not types_of:
        return hint
    parameters = getattr(hint, "__parameters__", ())
    if hint in types_of:
        return types_of[hint]
    if parameters and typing.get_origin(hint) is not None:
        return hint[tuple([types_of.get(each, each) for each in parameters])]
    return hint
