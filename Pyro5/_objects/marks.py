"""The attributes ``_pyroId`` and ``_pyroDaemon`` ("marks") of registered objects.

A class refers to its daemon weakly, because classes live as long as the program. An object refers to it strongly while
the daemon is open, and weakly when it is closed.
"""
from __future__ import annotations

import inspect
import weakref
from typing import Any, Callable, Optional

_plain_getattribute: Any = object.__getattribute__


class _DaemonOfClass:
    """Descriptor for the ``_pyroDaemon`` of a registered class: returns the daemon, also for the instances of the class."""

    __slots__ = ("_daemon",)

    def __init__(self, daemon: Any) -> None:
        self._daemon: Callable[[], Any]
        try:
            # Weak, because classes live as long as the program, and must not keep a closed daemon alive.
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
        AttributeError, TypeError: the type does not allow them.
    """
    obj_or_class._pyroId = object_id
    obj_or_class._pyroDaemon = _DaemonOfClass(daemon) if inspect.isclass(obj_or_class) else daemon


def weaken_mark(obj: Any, daemon: Any) -> None:
    """Make an object refer to this daemon weakly. When the daemon is garbage-collected, ``_pyroDaemon`` is deleted."""
    if inspect.isclass(obj):
        return
    try:
        find = weakref.ref(obj)
    except TypeError:
        find = None
    # A proxy instead of a reference: programs use obj._pyroDaemon like the daemon itself.
    obj._pyroDaemon = weakref.proxy(daemon, None if find is None else lambda dead: _forget_daemon(find, dead))


def _forget_daemon(find: Callable[[], Any], dead: Any) -> None:
    # Only if it is still the mark of that daemon: the object may be registered in another one by now.
    obj = find()
    if obj is not None and getattr(obj, "__dict__", {}).get("_pyroDaemon") is dead:
        del obj._pyroDaemon


def remove_marks(obj_or_class: Any) -> None:
    """Delete both attributes."""
    del obj_or_class._pyroId, obj_or_class._pyroDaemon


def id_of(obj_or_class: Any) -> Optional[str]:
    """Return the id that an object or class was last registered with, None if it is not registered in any daemon.

    The marks of a class do not apply to its instances and subclasses.
    """
    object_id: Optional[str] = getattr(obj_or_class, "__dict__", {}).get("_pyroId")
    # vars() does not show slots, but their descriptors are in the class
    if object_id is None and inspect.isdatadescriptor(getattr(type(obj_or_class), "_pyroId", None)):
        object_id = getattr(obj_or_class, "_pyroId", None)  # stored in a slot
    return object_id


def daemon_of(obj_or_class: Any) -> Any:
    """Return the daemon that an object, its class, or a base of its class was last registered in; None if there is none.

    Does not run code of the object's class, such as ``__getattr__`` or ``__getattribute__``.
    """
    clazz: Any = type(obj_or_class)
    try:
        # An object with code of its own for attribute access must not run it: this is called for each value that is
        # serialized.
        if clazz.__getattribute__ is _plain_getattribute and not hasattr(clazz, "__getattr__"):
            # Most objects have no such attribute; getattr() with a default takes a tenth of the time of an exception.
            daemon = getattr(obj_or_class, "_pyroDaemon", None)
        else:
            daemon = _read(obj_or_class, "_pyroDaemon")
        if daemon is None:
            return None
        # raises ReferenceError if it is a weak proxy of a daemon that was garbage-collected
        return daemon if daemon.__class__ else None
    except (AttributeError, ReferenceError):
        return None


def inherited_id(obj_or_class: Any) -> Optional[str]:
    """Return the id that an object, its class, or a base of its class was last registered with, None if there is none."""
    try:
        object_id = _read(obj_or_class, "_pyroId")
    except AttributeError:
        return None
    return object_id if isinstance(object_id, str) else None


def _read(obj_or_class: Any, name: str) -> Any:
    """Read an attribute without running code of the class for missing attributes."""
    if isinstance(obj_or_class, type):
        return type.__getattribute__(obj_or_class, name)
    return object.__getattribute__(obj_or_class, name)


def is_marked_by(obj_or_class: Any, daemon: Any) -> bool:
    """Return whether an object or class itself was last registered in this daemon."""
    return id_of(obj_or_class) is not None and daemon_of(obj_or_class) == daemon
