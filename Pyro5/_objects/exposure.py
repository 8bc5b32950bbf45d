"""The decorators that expose members. A decorator only sets a flag on a function or class, which ``members`` reads."""
from __future__ import annotations

import contextlib
import functools
import inspect
from typing import Any, Callable, Dict, FrozenSet, Iterable, Literal, Mapping, Optional, Tuple, TypeVar, overload

from .members import FUNCTION_WRAPPERS, functions_of, is_private_attribute

_T = TypeVar("_T")
InstanceCreator = Callable[[Any], Any]  # called with the class

InstanceMode = Literal["session", "single", "percall"]
INSTANCE_MODES = ("session", "single", "percall")


# The flag is at the function, so that classes which inherit or overwrite the member need no table of their own.
def _set_flag(decorator: str, member: Any, flag: str, value: Any = True) -> None:
    functions = functions_of(member)
    if not functions or decorator != "expose" and isinstance(member, functools.cached_property):
        raise TypeError("@%s is for methods%s, not for %r" % (
            decorator, ", properties and classes" if decorator == "expose" else "", member))
    for function in functions:
        setattr(function, flag, value)


_NOT_GIVEN: Any = object()


@overload
def expose(method_or_class: _T) -> _T: ...


@overload
def expose(*, idempotent: bool = ..., blocking: bool = ..., concurrent: bool = ...,
           roles: Optional[Iterable[str]] = ...) -> Callable[[_T], _T]: ...


def expose(method_or_class: Any = _NOT_GIVEN, *, idempotent: bool = False, blocking: bool = True,
           concurrent: bool = False, roles: Optional[Iterable[str]] = None) -> Any:
    """Expose a method, a property, or all public methods and properties that a class itself defines to remote callers.

    Use it as a decorator, or call it with a class that you cannot edit. It goes on top of @property, @cached_property,
    @singledispatchmethod and other decorators, but below @classmethod and @staticmethod. On a class it skips members
    created by @cached_property and @singledispatchmethod: expose these individually.

    Args:
        idempotent: running a method twice has the same effect as running it once, so that a client may repeat a call
            whose reply was lost (see ``Retry``). On a class it applies to all methods that the class defines.
        blocking: False: a method or property that never waits, so that a daemon of ``Pyro5.aio`` runs it in the event loop
            and not in a thread. Other daemons ignore this. On a class it applies to all members that the class defines.
        concurrent: while the method runs, later calls of the same client over the same connection may run, and be
            answered first, if the client has several calls in flight: async methods as tasks, others in threads. On a class
            it applies to all methods that the class defines. Without it, the calls of a connection run one after the other.
        roles: only users with one of these roles may use the method or property, see ``Daemon(users=...)``. On a class it
            applies to all members that the class defines, but for those that have roles of their own. A member that
            overrides one of a base class has the same roles, unless it is given others; an empty set means all clients.

    Raises:
        AttributeError: the name is private, or the decorator stands on top of @classmethod or @staticmethod.
        TypeError: it was applied to something else, or the roles are not texts.
    """
    given = {"_pyroIdempotent": idempotent, "_pyroNonblocking": not blocking, "_pyroConcurrent": concurrent}
    flags: Dict[str, Any] = {name: value for name, value in given.items() if value}
    if roles is not None:
        flags["_pyroRoles"] = _checked_roles(roles)
    return functools.partial(_expose, flags=flags) if method_or_class is _NOT_GIVEN else _expose(method_or_class, flags)


def _checked_roles(roles: Iterable[str]) -> FrozenSet[str]:
    found = frozenset(roles)
    # A single text would be taken for a set of letters.
    if isinstance(roles, str) or not all(isinstance(role, str) for role in found):
        raise TypeError("roles must be a set of texts, not %r" % (roles,))
    return found


def _expose(method_or_class: _T, flags: Mapping[str, Any]) -> _T:
    if inspect.isclass(method_or_class):
        if is_private_attribute(method_or_class.__name__):
            raise AttributeError("cannot expose class '%s': names that start with an underscore are private"
                                 % method_or_class.__name__)
        _expose_class(method_or_class, flags)
        return method_or_class
    if isinstance(method_or_class, (classmethod, staticmethod)):
        raise AttributeError("@expose must be applied before @%s: write it on the line below"
                             % type(method_or_class).__name__)
    for function in functions_of(method_or_class):
        name = getattr(function, "__name__", "")
        if is_private_attribute(name):
            raise AttributeError("cannot expose '%s': names that start with an underscore are private" % name)
    _set_flag("expose", method_or_class, "_pyroExposed")
    for flag, value in flags.items():
        _set_flag("expose", method_or_class, flag, value)
    return method_or_class


def _expose_class(clazz: type, flags: Mapping[str, Any]) -> None:
    # Only what the class itself defines, not what it inherits: a base class decides about its own methods.
    for name, member in list(vars(clazz).items()):
        if is_private_attribute(name) or inspect.isclass(member) or isinstance(member, FUNCTION_WRAPPERS):
            continue
        for function in functions_of(member):
            with contextlib.suppress(AttributeError):  # implemented in C: it cannot have the flag, so it is not exposed
                function._pyroExposed = True
                # Members may have roles of their own, which stay.
                vars(function).update({flag: on for flag, on in flags.items() if getattr(function, flag, None) is None})
    clazz._pyroExposed = True  # type: ignore[attr-defined]


def oneway(method: _T) -> _T:
    """Mark a method as oneway: clients do not wait for it, their call returns None at once. Results and exceptions
    are dropped.

    Raises:
        TypeError: it was applied to something that is not a method.
    """
    _set_flag("oneway", method, "_pyroOneway")
    return method


def callback(method: _T) -> _T:
    """Mark a method whose exceptions are logged with their traceback in the process where it runs, in addition to
    being sent to the caller.

    Raises:
        TypeError: it was applied to something that is not a method.
    """
    _set_flag("callback", method, "_pyroCallback")
    return method


def behavior(instance_mode: InstanceMode = "session",
             instance_creator: Optional[InstanceCreator] = None, *, close: bool = True) -> Callable[[_T], _T]:
    """Choose when instances of a registered class are created, and how.

    Args:
        instance_mode: ``session``: one instance per connection, ``single``: one for all, ``percall``: a new one for each call.
        instance_creator: called with the class, must return an instance of it; None: the class is called without arguments.
        close: call the method ``close()`` of session instances, if they have one, when their client disconnects.

    Raises:
        SyntaxError: it was written without parentheses.
        ValueError: unknown instance_mode.
        TypeError: instance_creator is not callable, or the decorator was applied to something that is not a class.
    """
    # Written without parentheses, the argument is the class itself.
    if not isinstance(instance_mode, str):
        raise SyntaxError("write @behavior(...) with parentheses; instance_mode is one of: " + ", ".join(INSTANCE_MODES))

    def decorate(clazz: _T) -> _T:
        if not inspect.isclass(clazz):
            raise TypeError("@behavior is for classes, not for %r" % (clazz,))
        if instance_mode not in INSTANCE_MODES:
            raise ValueError("invalid instance_mode %r, choose one of: %s" % (instance_mode, ", ".join(INSTANCE_MODES)))
        if instance_creator is not None and not callable(instance_creator):
            raise TypeError("instance_creator must be callable, not %r" % (instance_creator,))
        # At the class, where subclasses inherit it.
        clazz._pyroInstancing = (instance_mode, instance_creator)  # type: ignore[attr-defined]
        clazz._pyroClosing = close  # type: ignore[attr-defined]
        return clazz
    return decorate


def instancing_of(clazz: type) -> Tuple[str, Optional[InstanceCreator]]:
    """Return (instance_mode, instance_creator) of a class, the defaults if @behavior was not used."""
    return getattr(clazz, "_pyroInstancing", ("session", None))
