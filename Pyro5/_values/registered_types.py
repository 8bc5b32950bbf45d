"""Types that the program has registered, to arrive as what they were.

Peers that negotiated this get the name of the type together with its plain form, and rebuild it by its name. Other peers get
the plain form, which every peer can read; where an annotation names the type, it is rebuilt as well. See the modules
plain_forms and rebuilding.

Thread-safe: any thread may register types.
"""
from __future__ import annotations

import threading
import types
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from .. import LazyModule, NamedTuple
from . import classes, exceptions

if TYPE_CHECKING:
    from . import numpy_arrays, pandas_tables, plain_forms, shapes
else:
    # for programs that register types: they import inspect, pathlib, decimal, ...
    numpy_arrays = LazyModule(globals(), ".numpy_arrays")
    pandas_tables = LazyModule(globals(), ".pandas_tables")
    plain_forms = LazyModule(globals(), ".plain_forms")
    shapes = LazyModule(globals(), ".shapes")

# groups of types of other packages, which the program may import later
_ON_DEMAND: Dict[str, Callable[[], None]] = {
    "numpy": lambda: numpy_arrays.register(), "pandas": lambda: pandas_tables.register()}
_MAIN = "main."  # beginning of the names of classes that the program itself defines
# Bases of classes whose instances some serializers write as those of the base, without asking for a converter.
_WRITTEN_BASES = (int, float, str, tuple, list, dict)


class _Tables(NamedTuple):
    kinds: Dict[type, str]
    by_name: Dict[str, type]
    by_last_name: Dict[str, Optional[type]]  # the last part of the name -> the only class with it, None if there are several


class _BuiltinSubclasses:
    """Whether classes are registered whose instances are also numbers, texts, tuples, lists or dicts.

    Serializers that would write these as such ask for each value: an attribute takes 3 byte codes, a function 8.
    """

    are_registered = False


builtin_subclasses = _BuiltinSubclasses()
# Guards changes of the tables and of the list of callbacks. A change replaces all tables at once, so readers need no lock.
_lock = threading.Lock()
_names: Dict[type, str] = {}
_tables = _Tables({}, {}, {})
_callbacks: List[Callable[[], None]] = []


def register_types(*types_or_groups: Union[type, types.ModuleType, str]) -> None:
    """Register types to arrive as what they were.

    Enums are sent as their values; dataclasses, and classes of attrs, pydantic and msgspec, as dicts of their fields; named
    tuples as tuples; exceptions as all exceptions; other classes as what their method ``__pyro_state__`` returns. A peer of
    this release also gets the name of the class, which is fixed here, and rebuilds an instance if it has registered a class
    with this name. The parameters of exposed methods with annotations of these types, and the results of ``Proxy[Interface]``,
    are rebuilt from the values alone.

    Args:
        types_or_groups: classes; modules, whose public classes of these shapes are registered; or names of groups of types:
            "datetime", "decimal", "uuid", "path"; "numpy" for arrays
            and "pandas" for tables, which arrive as such without any annotation.

    Raises:
        TypeError: a class has none of these shapes.
        ValueError: there is no such group.
    """
    found: Dict[type, Tuple[str, str]] = {}
    for each in types_or_groups:
        found.update({clazz: (kind, name) for clazz, kind, name in _classes_of(each)})
    for each in types_or_groups:
        if isinstance(each, str) and each in _ON_DEMAND:
            _ON_DEMAND[each]()
    with _lock:
        for clazz, (_kind, name) in found.items():
            _names.pop(clazz, None)  # the class that was registered last is the one that a name means
            _names[clazz] = name
        _replace_tables({**_tables.kinds, **{clazz: kind for clazz, (kind, _name) in found.items()}})
        callbacks = list(_callbacks)
    for clazz, (kind, name) in found.items():
        if kind == shapes.EXCEPTION:
            exceptions.set_wire_name(clazz, name)
        # a converter of the program takes precedence
        elif kind != shapes.TYPED_DICT and not classes.has_converter(clazz):
            classes.register_form(clazz, plain_forms.Form(clazz, kind, name))
    # Without the lock: callbacks take locks of their own.
    for callback in callbacks:
        callback()


def unregister(clazz: type) -> None:
    """Remove a type, and its converter."""
    with _lock:
        _names.pop(clazz, None)
        _replace_tables({key: kind for key, kind in _tables.kinds.items() if key is not clazz})
    if issubclass(clazz, BaseException):
        exceptions.set_wire_name(clazz, None)
    else:
        classes.unregister_class_to_dict(clazz)


def _replace_tables(kinds: Dict[type, str]) -> None:
    """Build the tables of these classes. Called with the lock."""
    global _tables
    by_name: Dict[str, type] = {}
    by_last_name: Dict[str, Optional[type]] = {}
    for clazz, name in _names.items():
        last = name.rpartition(".")[2]
        by_last_name[last] = clazz if by_last_name.get(last, clazz) is clazz else None
        by_name[name] = clazz
    hidden = any([issubclass(clazz, _WRITTEN_BASES) and kind != shapes.TYPED_DICT for clazz, kind in kinds.items()])
    _tables = _Tables(kinds, by_name, by_last_name)
    builtin_subclasses.are_registered = hidden


def registered() -> Dict[type, str]:
    """Return the kinds of all registered types. The dict must not be changed."""
    return _tables.kinds


def is_registered(clazz: Any) -> bool:
    """Return whether a class is registered; false for other objects."""
    return isinstance(clazz, type) and clazz in _tables.kinds


def find(name: str) -> Optional[type]:
    """Return the registered class with this name on the wire, None if there is none.

    A class of the module of a program has another name where that module is imported. So if one of the two names begins with
    "main", only their last parts are compared.
    """
    tables = _tables
    found = tables.by_name.get(name)
    if found is not None or not tables.by_name:
        return found
    found = tables.by_last_name.get(name.rpartition(".")[2])
    if found is None or not (name.startswith(_MAIN) or _names.get(found, "").startswith(_MAIN)):
        return None
    return found


def on_change(callback: Callable[[], None]) -> None:
    """Call a function whenever types were registered."""
    with _lock:
        _callbacks.append(callback)


def _classes_of(given: Any) -> Iterator[Tuple[type, str, str]]:
    if isinstance(given, str):
        groups = plain_forms.GROUPS
        if given not in groups and given not in _ON_DEMAND:
            raise ValueError("unknown group of types %r; choose from: %s" % (given, ", ".join([*groups, *_ON_DEMAND])))
        yield from [(clazz, shapes.TEXT, name) for clazz, name in groups.get(given, {}).items()]
    elif isinstance(given, types.ModuleType):
        # Only what the module itself defines: names that it imports belong to others.
        for name, clazz in list(vars(given).items()):
            is_own = isinstance(clazz, type) and clazz.__module__ == given.__name__ and not name.startswith("_")
            if is_own and shapes.kind_of(clazz):
                yield clazz, shapes.kind_of(clazz), shapes.wire_name(clazz)
    elif isinstance(given, type) and shapes.kind_of(given):
        yield given, shapes.kind_of(given), shapes.wire_name(given)
    else:
        raise TypeError("cannot register %r: it is not an enum, a dataclass, a named tuple, a TypedDict, an exception, or a "
                        "class of attrs, pydantic or msgspec, and does not define __pyro_state__ and __pyro_from_state__"
                        % (given,))
