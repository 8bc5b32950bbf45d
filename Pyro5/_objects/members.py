"""Which members of a class are exposed, and access to them.

:func:`exposed_members` reads the flags that the decorators of the module ``exposure`` have set. Remote callers can use only
the members that it returns.
"""
from __future__ import annotations

import functools
import inspect
import threading
import weakref
from typing import Any, Callable, Dict, FrozenSet, Iterable, Optional, Set, Tuple

from .. import NamedTuple

# Names with double underscores that are never called remotely: proxies, or the object model of Python, use them locally.
_RESERVED_DUNDERS = frozenset(
    "__%s__" % name for name in (
        "bool call class cmp coerce copy deepcopy del delattr dir enter eq exit format ge getattr getattribute "
        "getinitargs getnewargs getstate gt hasattr hash init init_subclass instancecheck le lt module ne new nonzero "
        "reduce reduce_ex repr setattr setstate sizeof str subclasscheck subclasshook weakref").split())


def is_private_attribute(name: str) -> bool:
    """Return whether remote callers can never use this name, even if it is exposed.

    Private are names that start with an underscore, except double-underscore names; of these, the ones that a proxy
    needs itself.
    """
    if not name.startswith("_"):
        return False
    if name in _RESERVED_DUNDERS:
        return True
    return not (len(name) > 4 and name.startswith("__") and name.endswith("__"))


# Descriptors of functools that contain one function. @expose on a class skips them, as in earlier releases; @expose on
# the member itself exposes it.
FUNCTION_WRAPPERS = (functools.cached_property, functools.singledispatchmethod)


def functions_of(member: Any) -> Tuple[Any, ...]:
    """Return the functions of a method, classmethod, staticmethod or property; none for anything else."""
    if isinstance(member, property):
        return tuple(f for f in (member.fget, member.fset, member.fdel) if f is not None)
    if isinstance(member, (classmethod, staticmethod)):
        return (member.__func__,)
    if isinstance(member, FUNCTION_WRAPPERS):
        return (member.func,)
    if inspect.isroutine(member) and callable(member):
        return (member,)
    return ()


class Members(NamedTuple):
    """The names of a class that remote callers can use.

    Attributes:
        oneway, callbacks: those of `methods` with these decorators.
        attrs: properties and other attributes.
        writable: those of `attrs` that can be assigned.
    """

    methods: FrozenSet[str]
    oneway: FrozenSet[str]
    attrs: FrozenSet[str]
    writable: FrozenSet[str]
    callbacks: FrozenSet[str]
    idempotent: FrozenSet[str] = frozenset()  # a subset of methods
    direct: FrozenSet[str] = frozenset()  # those of methods that return their result: not coroutine functions
    nonblocking: FrozenSet[str] = frozenset()  # methods and attributes that an event loop can run itself
    concurrent: FrozenSet[str] = frozenset()  # those of methods that may run at the same time as others of a connection
    roles: FrozenSet[Tuple[str, FrozenSet[str]]] = frozenset()  # name, and the roles that may use it; all, if it is missing
    newer: FrozenSet[str] = frozenset()  # methods of the package's own objects that clients of other releases are not told of

    def metadata(self) -> Dict[str, Any]:
        """Return the metadata that clients of other releases get in the handshake, in the form of the wire protocol."""
        return {"methods": set(self.methods - self.newer), "oneway": set(self.oneway), "attrs": set(self.attrs)}

    def metadata_for(self, has_sessions: Optional[bool]) -> Dict[str, Any]:
        """Return what is sent to one client when it connects.

        Args:
            has_sessions: whether each connection may have an instance of its own; None for a client of another release,
                which is not told.
        """
        if has_sessions is None:
            return self.metadata()
        return {**self.metadata(), "methods": set(self.methods), "session": has_sessions, "idempotent": set(self.idempotent)}


_members: weakref.WeakKeyDictionary[type, Members] = weakref.WeakKeyDictionary()
# Guards _members. The values are immutable, so they are used without the lock.
_members_lock = threading.Lock()


def class_of(obj_or_class: Any) -> type:
    """Return a class itself, or the class of an object."""
    return obj_or_class if inspect.isclass(obj_or_class) else type(obj_or_class)


def exposed_members(obj_or_class: Any) -> Members:
    """Return the exposed members of a class, or of the class of an object. Thread-safe, cached per class."""
    clazz = class_of(obj_or_class)
    # The class is read under the lock, once: its descriptors are not called (getattr_static), so no user code runs here.
    with _members_lock:
        members = _members.get(clazz)
        if members is None:
            members = _members[clazz] = _read_members(clazz)
    return members


def forget_members(obj_or_class: Any) -> None:
    """Remove a class from the cache, so that later changes of its members are noticed."""
    with _members_lock:
        _members.pop(class_of(obj_or_class), None)


# The attributes that the decorators of methods set, by the field of `Members` with the names of these methods.
_FLAGS = {"newer": "_pyroNewer", "idempotent": "_pyroIdempotent", "concurrent": "_pyroConcurrent", "oneway": "_pyroOneway",
          "callbacks": "_pyroCallback"}


def _read_members(clazz: type, only_exposed: bool = True) -> Members:
    found: Dict[str, Set[Any]] = {field: set() for field in Members._fields}
    for name in dir(clazz):
        if is_private_attribute(name):  # cannot be called, even if it is marked
            continue
        # Static, because ordinary access would run descriptors and __getattr__ of the class: user code, here under a lock.
        member = inspect.getattr_static(clazz, name, None)
        functions = functions_of(member)
        if not functions or only_exposed and not any(getattr(f, "_pyroExposed", False) for f in functions):
            continue
        wanted = _roles_of(clazz, name)
        if wanted:
            found["roles"].add((name, wanted))
        if getattr(functions[0], "_pyroNonblocking", False):
            found["nonblocking"].add(name)
        if isinstance(member, (property, functools.cached_property)):
            found["attrs"].add(name)
            if getattr(member, "fset", None) is not None:
                found["writable"].add(name)
            continue
        if getattr(functions[0], "_pyroUnlisted", False):
            continue  # it can be called, but clients of other releases would see that there is one more
        found["methods"].add(name)
        if not is_deferring(functions[0]) and not _overrides_deferring(clazz, name):
            found["direct"].add(name)
        # Only the first function counts: methods have one, and for properties these flags mean nothing.
        for field, flag in _FLAGS.items():
            if getattr(functions[0], flag, False):
                found[field].add(name)
    return Members(**{field: frozenset(names) for field, names in found.items()})


def _roles_of(clazz: type, name: str) -> FrozenSet[str]:
    """Return the roles that may use a member; empty for all clients."""
    # An override without roles has those of the member that it overrides: overriding must not open a method by accident.
    for base in clazz.__mro__:
        given = [function._pyroRoles for function in functions_of(vars(base).get(name))
                 if getattr(function, "_pyroRoles", None) is not None]
        if given:  # those of a property have the same ones, unless the program decorates them one by one
            return frozenset.intersection(*given)
    return frozenset()


def is_deferring(function: Any) -> bool:
    """Return whether an event loop has to run a method to get its result: a coroutine function, or one that may return a
    `Deferred`.
    """
    return inspect.iscoroutinefunction(function) or getattr(function, "_pyroDeferring", False)


def _overrides_deferring(clazz: type, name: str) -> bool:
    return any(getattr(vars(base).get(name), "_pyroDeferring", False) for base in clazz.__mro__)


def with_names(obj_or_class: Any, members: Members, names: Iterable[str]) -> Members:
    """Return members with additional names: those of an object or class that are exposed without a decorator.

    Callable members become methods, all others attributes.

    Raises:
        AttributeError: there is no such name, or it is private.
    """
    methods, attrs, writable, direct = map(set, (members.methods, members.attrs, members.writable, members.direct))
    for name in names:
        if is_private_attribute(name):
            raise AttributeError("cannot expose '%s': names that start with an underscore are private" % name)
        member = inspect.getattr_static(obj_or_class, name, None)
        if isinstance(member, (property, functools.cached_property)) or inspect.isdatadescriptor(member):
            attrs.add(name)
            if getattr(member, "fset", member) is not None and hasattr(member, "__set__"):
                writable.add(name)
            continue
        # An attribute of the instance may be a function, which is then called as a method.
        value = getattr(obj_or_class, name)
        (methods if callable(value) else attrs).add(name)
        if callable(value) and not is_deferring(value):
            direct.add(name)
    return members._replace(methods=frozenset(methods), attrs=frozenset(attrs), writable=frozenset(writable),
                            direct=frozenset(direct))


def _get_exposed_members(obj: Any, only_exposed: bool = True, use_cache: bool = True) -> Dict[str, Any]:
    """Return the names of the methods, oneway methods and attributes of a class, or of the class of an object.

    Args:
        only_exposed: False: all public ones, exposed or not.
        use_cache: False: read the class again.
    """
    if not use_cache:
        forget_members(obj)
    return (exposed_members(obj) if only_exposed else _read_members(class_of(obj), only_exposed=False)).metadata()


def exposed_method(obj: Any, name: str, members: Members) -> Callable[..., Any]:
    """Return the bound method that remote callers know as `name`.

    Raises:
        AttributeError: there is no such method, or it is private or not exposed.
    """
    if name in members.methods:
        method: Callable[..., Any] = getattr(obj, name)
        return method
    if is_private_attribute(name):
        raise AttributeError("attempt to access private attribute '%s' of %s" % (name, type(obj).__name__))
    # Not in the cached members: it does not exist, is not exposed, or was added after the class was read.
    member = inspect.getattr_static(type(obj), name, None)
    if member is None:
        hint = "; attributes of the instance itself are never exposed" if name in getattr(obj, "__dict__", ()) else ""
        raise AttributeError("'%s' object has no attribute '%s'%s" % (type(obj).__name__, name, hint))
    is_attribute = isinstance(member, (property, functools.cached_property))
    functions = () if is_attribute else functions_of(member)
    if not any(getattr(f, "_pyroExposed", False) for f in functions):
        raise AttributeError("attempt to access unexposed attribute '%s' of %s (is @expose missing?)"
                             % (name, type(obj).__name__))
    method = getattr(obj, name)
    return method


def _check_attribute(obj: Any, name: str, allowed: FrozenSet[str]) -> None:
    if is_private_attribute(name):
        raise AttributeError("attempt to access private attribute '%s' of %s" % (name, type(obj).__name__))
    if name not in allowed:
        raise AttributeError("attempt to access unexposed or unknown remote attribute '%s' of %s"
                             % (name, type(obj).__name__))


def get_exposed_attribute(obj: Any, name: str, members: Members) -> Any:
    """Read an exposed attribute.

    Raises:
        AttributeError: it is not exposed.
        Exception: raised by the property.
    """
    _check_attribute(obj, name, members.attrs)
    return getattr(obj, name)


def set_exposed_attribute(obj: Any, name: str, value: Any, members: Members) -> None:
    """Assign an exposed attribute.

    Raises:
        AttributeError: it is not exposed, or read-only.
        Exception: raised by the property.
    """
    _check_attribute(obj, name, members.attrs)
    if name not in members.writable:
        raise AttributeError("attribute '%s' of '%s' is read-only: the property has no setter" % (name, type(obj).__name__))
    setattr(obj, name, value)
