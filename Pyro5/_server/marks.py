"""The attributes that registered objects get: ``_pyroId`` and ``_pyroDaemon``.

A class refers to its daemon weakly, since classes live as long as the program.  An object refers to it strongly while the
daemon is open, and weakly once it is closed.
"""
from __future__ import annotations

import inspect
import weakref
from typing import Any, Callable, Optional


_plain_getattribute: Any = object.__getattribute__


class _DaemonOfClass:
    """Descriptor that stands in a registered class, and is the daemon when it is read from the class or an instance."""

    __slots__ = ("_daemon",)

    def __init__(self, daemon: Any) -> None:
        self._daemon: Callable[[], Any]
        try:
            self._daemon = weakref.ref(daemon)
        except TypeError:
            self._daemon = lambda: daemon

    def __get__(self, instance: Any, clazz: Any = None) -> Any:
        daemon = self._daemon()
        if daemon is None:
            raise AttributeError("_pyroDaemon: the daemon that this class was registered in does not exist any more")
        return daemon


def set_marks(obj_or_class: Any, object_id: str, daemon: Any) -> None:
    """Set both attributes.

    Raises:
        AttributeError, TypeError: its type does not take them.
    """
    obj_or_class._pyroId = object_id
    obj_or_class._pyroDaemon = _DaemonOfClass(daemon) if inspect.isclass(obj_or_class) else daemon


def weaken_mark(obj: Any, daemon: Any) -> None:
    """Make an object refer weakly to this daemon.  When that is garbage-collected, the object's ``_pyroDaemon`` goes too."""
    if inspect.isclass(obj):
        return
    try:
        find = weakref.ref(obj)
    except TypeError:
        find = None
    obj._pyroDaemon = weakref.proxy(daemon, None if find is None else lambda dead: _forget_daemon(find, dead))


def _forget_daemon(find: Callable[[], Any], dead: Any) -> None:
    obj = find()
    if obj is not None and getattr(obj, "__dict__", {}).get("_pyroDaemon") is dead:
        del obj._pyroDaemon


def remove_marks(obj_or_class: Any) -> None:
    """Delete both attributes."""
    del obj_or_class._pyroId, obj_or_class._pyroDaemon


def id_of(obj_or_class: Any) -> Optional[str]:
    """Return the id that an object or class was last registered under, None if it is not registered anywhere.

    The mark of a class counts for the class alone, not for its instances and subclasses.
    """
    known_as: Optional[str] = getattr(obj_or_class, "__dict__", {}).get("_pyroId")
    if known_as is None and inspect.isdatadescriptor(getattr(type(obj_or_class), "_pyroId", None)):
        known_as = getattr(obj_or_class, "_pyroId", None)  # it is kept in a slot
    return known_as


def daemon_of(obj_or_class: Any) -> Any:
    """Return the daemon that an object, its class, or a base of its class was last registered in; None without one.

    No code of the object's class runs for that, a ``__getattr__`` or ``__getattribute__`` for instance.
    """
    clazz: Any = type(obj_or_class)
    try:
        if clazz.__getattribute__ is _plain_getattribute and not hasattr(clazz, "__getattr__"):
            daemon = getattr(obj_or_class, "_pyroDaemon", None)  # costs a tenth of an exception
        else:
            daemon = _read(obj_or_class, "_pyroDaemon")
        if daemon is None:
            return None
        return daemon if daemon.__class__ else None  # this fails for a weak proxy whose daemon is gone
    except (AttributeError, ReferenceError):
        return None


def inherited_id(obj_or_class: Any) -> Optional[str]:
    """Return the id that an object, its class, or a base of its class was last registered under, None without one."""
    try:
        object_id = _read(obj_or_class, "_pyroId")
    except AttributeError:
        return None
    return object_id if isinstance(object_id, str) else None


def _read(obj_or_class: Any, name: str) -> Any:
    """Read an attribute, without the code that a class may have for those it lacks."""
    if isinstance(obj_or_class, type):
        return type.__getattribute__(obj_or_class, name)
    return object.__getattribute__(obj_or_class, name)


def is_marked_by(obj_or_class: Any, daemon: Any) -> bool:
    """Return whether an object or class itself was last registered in this daemon."""
    return id_of(obj_or_class) is not None and daemon_of(obj_or_class) == daemon
