"""What registered classes look like: a class is recognized by its shape, and no package that defines one is imported.

The functions here read a class, and never an instance.
"""
from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from typing import Any, Dict, Mapping, Tuple

ENUM, STATE, FIELDS, NAMED_TUPLE, MODEL, TYPED_DICT, TEXT, EXCEPTION = (
    "enum", "state", "fields", "named tuple", "model", "typed dict", "text", "exception")

# Names of the module of a program. Other processes do not know the module by these.
_MAIN_MODULES = frozenset(("__main__", "__mp_main__"))


def kind_of(clazz: type) -> str:
    """Return what a class looks like; an empty text if it has none of the shapes."""
    # First: an exception may be a dataclass too, but is sent as an exception.
    if issubclass(clazz, BaseException):
        return EXCEPTION if clazz.__module__ != "builtins" else ""
    # Before all other shapes: the methods of the class itself say what the author wants.
    if hasattr(clazz, "__pyro_state__") and hasattr(clazz, "__pyro_from_state__"):
        return STATE
    if issubclass(clazz, enum.Enum):
        return ENUM
    if hasattr(clazz, "model_validate") or hasattr(clazz, "parse_obj"):  # pydantic, version 2 and 1
        return MODEL
    # dataclasses, attrs, msgspec
    if dataclasses.is_dataclass(clazz) or hasattr(clazz, "__attrs_attrs__") or hasattr(clazz, "__struct_fields__"):
        return FIELDS
    # A TypedDict has only dict as a base when the program runs.
    if hasattr(clazz, "__total__") and dict in clazz.__mro__:
        return TYPED_DICT
    return NAMED_TUPLE if issubclass(clazz, tuple) and hasattr(clazz, "_fields") else ""


def wire_name(clazz: type) -> str:
    """Return the name that a class has on the wire: its module and qualified name.

    The module of a program is "main" there. Double underscores, which receivers refuse in names of classes, become single
    ones.
    """
    module = "main" if clazz.__module__ in _MAIN_MODULES else clazz.__module__
    if module.endswith(".__main__"):  # a package that is run with -m
        module = module[:-len(".__main__")]
    return re.sub("_{2,}", "_", "%s.%s" % (module, clazz.__qualname__))  # double underscores are refused in tags


def field_names(clazz: type) -> Dict[str, str]:
    """Return the fields of a class of kind FIELDS, and the parameter of its constructor for each; "" if it has none."""
    # attrs removes the leading underscore from the parameter of a private field.
    if "__attrs_attrs__" in dir(clazz):
        return {each.name: (getattr(each, "alias", None) or each.name.lstrip("_")) if each.init else ""
                for each in clazz.__attrs_attrs__}  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(clazz):
        return {each.name: each.name if each.init else "" for each in dataclasses.fields(clazz)}
    return {name: name for name in clazz.__struct_fields__}  # type: ignore[attr-defined]


def model_fields(clazz: type) -> Tuple[str, ...]:
    """Return the names of the fields of a model of pydantic."""
    fields: Any = getattr(clazz, "model_fields", None) or getattr(clazz, "__fields__", None)  # pydantic, version 2 and 1
    return tuple(fields) if isinstance(fields, Mapping) else ()


def positional_fields(clazz: type) -> Tuple[str, ...]:
    """Return the names of the fields that are the parameters of the constructor, in their order, if it has no others.

    An empty tuple if it has: then they have to be passed by name.
    """
    parameters = field_names(clazz)
    try:
        # The signature, since a class may have its own constructor.
        expected = list(inspect.signature(clazz).parameters.values())
    except (TypeError, ValueError):
        return ()  # implemented in C: it has none
    is_positional = all([each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for each in expected])
    return tuple(parameters) if is_positional and [each.name for each in expected] == list(parameters.values()) else ()
