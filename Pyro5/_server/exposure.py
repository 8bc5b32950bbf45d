"""Who may be called from outside: the decorators, and what they expose.

A decorator only leaves a mark on the function or class that it is given; :func:`exposed_members` reads the marks of a
class and gives the names that remote callers may use.  Everything that is not marked is out of reach.
"""
from __future__ import annotations

import functools
import inspect
import threading
import weakref
from typing import Any, Callable, Dict, FrozenSet, Iterable, Literal, NamedTuple, Optional, Tuple, TypeVar

_T = TypeVar("_T")
InstanceCreator = Callable[[Any], Any]  # called with the class

InstanceMode = Literal["session", "single", "percall"]
INSTANCE_MODES = ("session", "single", "percall")

# Double underscore names that are never called remotely: the proxy itself, or Python's object model, needs them.
_RESERVED_DUNDERS = frozenset(
    "__%s__" % name for name in (
        "bool call class cmp coerce copy deepcopy del delattr dir enter eq exit format ge getattr getattribute "
        "getinitargs getnewargs getstate gt hasattr hash init init_subclass instancecheck le lt module ne new nonzero "
        "reduce reduce_ex repr setattr setstate sizeof str subclasscheck subclasshook weakref").split())


def is_private_attribute(name: str) -> bool:
    """Tell whether remote callers may never use this name, whatever is exposed.

    Private are names that start with an underscore, except dunder names; and the dunder names that the proxy needs.
    """
    if not name.startswith("_"):
        return False
    if name in _RESERVED_DUNDERS:
        return True
    return not (len(name) > 4 and name.startswith("__") and name.endswith("__"))


# ---------------------------------------------------------------- decorators

# Descriptors of functools around one function. @expose on a class passes them over, as it always did; on the member it works.
_WRAPPERS = (functools.cached_property, functools.singledispatchmethod)


def _functions_of(member: Any) -> Tuple[Any, ...]:
    """The plain functions behind a method, classmethod, staticmethod or property; none for anything else."""
    if isinstance(member, property):
        return tuple(f for f in (member.fget, member.fset, member.fdel) if f is not None)
    if isinstance(member, (classmethod, staticmethod)):
        return (member.__func__,)
    if isinstance(member, _WRAPPERS):
        return (member.func,)
    if inspect.isroutine(member) and callable(member):
        return (member,)
    return ()


def _mark(decorator: str, member: Any, mark: str) -> None:
    functions = _functions_of(member)
    if not functions or decorator != "expose" and isinstance(member, functools.cached_property):
        raise TypeError("@%s is for methods%s, not for %r" % (
            decorator, ", properties and classes" if decorator == "expose" else "", member))
    for function in functions:
        setattr(function, mark, True)


def expose(method_or_class: _T) -> _T:
    """Make a method, a property, or all public methods and properties that a class itself defines callable remotely.

    Use it as a decorator, or call it with a class that you cannot edit. It goes on top of @property, @cached_property,
    @singledispatchmethod and other decorators, but below @classmethod and @staticmethod. The class decorator passes over
    members that are made by @cached_property and @singledispatchmethod: expose them one by one.

    Raises:
        AttributeError: the name is private and cannot be exposed, or it stands on top of @classmethod or @staticmethod.
        TypeError: it was applied to something else.
    """
    if inspect.isclass(method_or_class):
        if is_private_attribute(method_or_class.__name__):
            raise AttributeError("cannot expose class '%s': names that start with an underscore are private"
                                 % method_or_class.__name__)
        _expose_class(method_or_class)
        return method_or_class
    if isinstance(method_or_class, (classmethod, staticmethod)):
        raise AttributeError("@expose must be applied before @%s: write it on the line below"
                             % type(method_or_class).__name__)
    for function in _functions_of(method_or_class):
        name = getattr(function, "__name__", "")
        if is_private_attribute(name):
            raise AttributeError("cannot expose '%s': names that start with an underscore are private" % name)
    _mark("expose", method_or_class, "_pyroExposed")
    return method_or_class


def _expose_class(clazz: type) -> None:
    for name, member in list(vars(clazz).items()):
        if is_private_attribute(name) or inspect.isclass(member) or isinstance(member, _WRAPPERS):
            continue
        for function in _functions_of(member):
            try:
                function._pyroExposed = True
            except AttributeError:  # implemented in C: it carries no marks, and so stays unexposed
                continue
    clazz._pyroExposed = True  # type: ignore[attr-defined]


def oneway(method: _T) -> _T:
    """Mark a method so that clients do not wait for it: they get None at once, and never see its result or exception.

    Raises:
        TypeError: it was applied to something that is no method.
    """
    _mark("oneway", method, "_pyroOneway")
    return method


def callback(method: _T) -> _T:
    """Mark a method whose exceptions are logged (with their traceback) where it runs, besides being sent to the caller.

    Raises:
        TypeError: it was applied to something that is no method.
    """
    _mark("callback", method, "_pyroCallback")
    return method


def behavior(instance_mode: InstanceMode = "session",
             instance_creator: Optional[InstanceCreator] = None, *, close: bool = True) -> Callable[[_T], _T]:
    """Choose, for a class that is registered as such, when instances are made, and by what.

    Args:
        instance_mode: ``session`` one instance per connection, ``single`` one for all, ``percall`` a new one per call.
        instance_creator: called with the class, must give an instance of it; None: the class is called without
            arguments.
        close: call the method ``close()`` of a session's instance, if it has one, when its client disconnects.

    Raises:
        SyntaxError: it was written without parentheses.
        ValueError: unknown instance_mode.
        TypeError: instance_creator is not callable, or the decorator was applied to something that is no class.
    """
    if not isinstance(instance_mode, str):
        raise SyntaxError("write @behavior(...) with parentheses; instance_mode is one of: " + ", ".join(INSTANCE_MODES))

    def decorate(clazz: _T) -> _T:
        if not inspect.isclass(clazz):
            raise TypeError("@behavior is for classes, not for %r" % (clazz,))
        if instance_mode not in INSTANCE_MODES:
            raise ValueError("invalid instance_mode %r, choose one of: %s" % (instance_mode, ", ".join(INSTANCE_MODES)))
        if instance_creator is not None and not callable(instance_creator):
            raise TypeError("instance_creator must be callable, not %r" % (instance_creator,))
        clazz._pyroInstancing = (instance_mode, instance_creator)  # type: ignore[attr-defined]
        clazz._pyroClosing = close  # type: ignore[attr-defined]
        return clazz
    return decorate


def instancing_of(clazz: type) -> Tuple[str, Optional[InstanceCreator]]:
    """Give (instance_mode, instance_creator) of a class, the defaults if @behavior was not used."""
    return getattr(clazz, "_pyroInstancing", ("session", None))


def closes_instances(clazz: type) -> bool:
    """Return whether ``close()`` of a session's instance of a class is called when its client disconnects."""
    return bool(getattr(clazz, "_pyroClosing", True))


# ---------------------------------------------------------------- exposed members

class Members(NamedTuple):
    """The names of a class that remote callers may use."""

    methods: FrozenSet[str]
    oneway: FrozenSet[str]  # a subset of methods
    attrs: FrozenSet[str]  # properties
    writable: FrozenSet[str]  # a subset of attrs: those that can be set
    callbacks: FrozenSet[str]  # a subset of methods

    def metadata(self) -> Dict[str, Any]:
        """What is sent to clients when they connect."""
        return {"methods": set(self.methods), "oneway": set(self.oneway), "attrs": set(self.attrs)}


_members: weakref.WeakKeyDictionary[type, Members] = weakref.WeakKeyDictionary()
# guards _members
_members_lock = threading.Lock()


def class_of(obj_or_class: Any) -> type:
    """Give a class itself, and the class of an object."""
    return obj_or_class if inspect.isclass(obj_or_class) else type(obj_or_class)


def exposed_members(obj_or_class: Any) -> Members:
    """Give the exposed members of a class, or of the class of an object.  Thread-safe, cached per class."""
    clazz = class_of(obj_or_class)
    with _members_lock:
        members = _members.get(clazz)
        if members is None:
            members = _members[clazz] = _read_members(clazz)
    return members


def forget_members(obj_or_class: Any) -> None:
    """Drop what is cached for a class, so that members that were added or removed since are seen."""
    with _members_lock:
        _members.pop(class_of(obj_or_class), None)


def _read_members(clazz: type, only_exposed: bool = True) -> Members:
    methods, oneways, attrs, writable, callbacks = set(), set(), set(), set(), set()
    for name in dir(clazz):
        if is_private_attribute(name):
            continue
        member = inspect.getattr_static(clazz, name, None)
        functions = _functions_of(member)
        if not functions or only_exposed and not any(getattr(f, "_pyroExposed", False) for f in functions):
            continue
        if isinstance(member, (property, functools.cached_property)):
            attrs.add(name)
            if getattr(member, "fset", None) is not None:
                writable.add(name)
            continue
        if only_exposed:
            _check_not_async(clazz, name, functions[0])
        methods.add(name)
        if getattr(functions[0], "_pyroOneway", False):
            oneways.add(name)
        if getattr(functions[0], "_pyroCallback", False):
            callbacks.add(name)
    return Members(frozenset(methods), frozenset(oneways), frozenset(attrs), frozenset(writable), frozenset(callbacks))


def _check_not_async(clazz: type, name: str, function: Any) -> None:
    """Raise TypeError if a method is exposed that only an event loop could run."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("cannot publish '%s': its exposed method '%s' is 'async def', which daemons of this release cannot "
                        "run; expose an ordinary method instead, which may run it with asyncio.run() or with "
                        "asyncio.run_coroutine_threadsafe(...).result()" % (clazz.__name__, name))


def with_names(obj_or_class: Any, members: Members, names: Iterable[str]) -> Members:
    """Return members with more names added: those of an object, or a class, that are exposed without being marked.

    What can be called becomes a method, everything else an attribute.

    Raises:
        AttributeError: there is no such name, or it is private.
    """
    methods, attrs, writable = set(members.methods), set(members.attrs), set(members.writable)
    for name in names:
        if is_private_attribute(name):
            raise AttributeError("cannot expose '%s': names that start with an underscore are private" % name)
        member = inspect.getattr_static(obj_or_class, name, None)
        if isinstance(member, (property, functools.cached_property)) or inspect.isdatadescriptor(member):
            attrs.add(name)
            if getattr(member, "fset", member) is not None and hasattr(member, "__set__"):
                writable.add(name)
        else:
            (methods if callable(getattr(obj_or_class, name)) else attrs).add(name)
    return members._replace(methods=frozenset(methods), attrs=frozenset(attrs), writable=frozenset(writable))


def _get_exposed_members(obj: Any, only_exposed: bool = True, use_cache: bool = True) -> Dict[str, Any]:
    """Return the names of the methods, the oneway methods and the attributes of a class, or of the class of an object.

    Args:
        only_exposed: False: all public ones, exposed or not.
        use_cache: False: look at the class anew.
    """
    if not use_cache:
        forget_members(obj)
    return (exposed_members(obj) if only_exposed else _read_members(class_of(obj), only_exposed=False)).metadata()


def exposed_method(obj: Any, name: str, members: Members) -> Callable[..., Any]:
    """Give the bound method that remote callers know as `name`.

    Raises:
        AttributeError: there is no such method, or it is private or not exposed.
    """
    if name in members.methods:
        method: Callable[..., Any] = getattr(obj, name)
        return method
    if is_private_attribute(name):
        raise AttributeError("attempt to access private attribute '%s' of %s" % (name, type(obj).__name__))
    added_later = inspect.getattr_static(type(obj), name, None)
    if added_later is None:
        hint = "; attributes of the instance itself are never exposed" if name in getattr(obj, "__dict__", ()) else ""
        raise AttributeError("'%s' object has no attribute '%s'%s" % (type(obj).__name__, name, hint))
    is_attribute = isinstance(added_later, (property, functools.cached_property))
    functions = () if is_attribute else _functions_of(added_later)
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
    """Read an exposed property.

    Raises:
        AttributeError: it is not exposed.
        Exception: whatever the property raises.
    """
    _check_attribute(obj, name, members.attrs)
    return getattr(obj, name)


def set_exposed_attribute(obj: Any, name: str, value: Any, members: Members) -> None:
    """Write an exposed property.

    Raises:
        AttributeError: it is not exposed, or read-only.
        Exception: whatever the property raises.
    """
    _check_attribute(obj, name, members.attrs)
    if name not in members.writable:
        raise AttributeError("attribute '%s' of '%s' is read-only: the property has no setter" % (name, type(obj).__name__))
    setattr(obj, name, value)


