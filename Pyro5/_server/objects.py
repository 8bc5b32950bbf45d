"""The objects that a daemon publishes, by id; and the instances of those that are published as classes."""
from __future__ import annotations

import inspect
import logging
import threading
import uuid
import weakref
from typing import Any, Dict, List, Optional

from .. import errors
from . import exposure

log = logging.getLogger("Pyro5.serving.objects")


class Published:
    """One published object or class.

    Attributes:
        object_id: the id that clients call it by.
        members: what they may use of it.
        fixed_instance: the object that serves every call; None if it has to be looked for, see instance_for().
    """

    __slots__ = ("object_id", "members", "fixed_instance", "finalizer", "_target", "_weak", "_is_class", "_single",
                 "_single_lock")

    def __init__(self, obj_or_class: Any, object_id: str, weak: bool) -> None:
        self.object_id = object_id
        self.members = exposure.exposed_members(obj_or_class)
        self.finalizer: Any = None  # of a weakly registered object
        self._weak = weak
        self._target = weakref.ref(obj_or_class) if weak else obj_or_class
        self._is_class = inspect.isclass(obj_or_class)
        self.fixed_instance: Any = None if weak or self._is_class else obj_or_class
        self._single: Any = None
        # guards _single: the user's constructor runs while it is held, and holds up nobody who calls other objects
        self._single_lock = threading.Lock()

    @property
    def target(self) -> Any:
        """The object or class itself; None if it was weakly registered and is gone."""
        return self._target() if self._weak else self._target

    def instance_for(self, connection: Any) -> Any:
        """Give the object that serves a call on this connection; thread-safe.

        Raises:
            DaemonError: the weakly registered object is gone.
            Exception: whatever the class or its instance creator raises.
        """
        if not self._is_class:
            target = self.target
            if target is None:
                raise errors.DaemonError("unknown object '%s': it does not exist any more" % self.object_id)
            return target
        clazz = self.target
        mode, creator = exposure.instancing_of(clazz)
        if mode == "session":
            instance = connection.pyroInstances.get(clazz)
            if instance is None:
                instance = connection.pyroInstances[clazz] = _create(clazz, creator)
            return instance
        if mode == "percall":
            return _create(clazz, creator)
        return self._single_instance(clazz, creator)

    def _single_instance(self, clazz: type, creator: Optional[exposure.InstanceCreator]) -> Any:
        if self._single is None:
            with self._single_lock:
                if self._single is None:
                    self._single = _create(clazz, creator)
        return self._single


def _create(clazz: type, creator: Optional[exposure.InstanceCreator]) -> Any:
    if creator is None:
        return clazz()
    instance = creator(clazz)
    if not isinstance(instance, clazz):
        raise TypeError("the instance creator of %s gave an instance of %s" % (clazz.__name__, type(instance).__name__))
    return instance


class ObjectTable:
    """Published objects by id.  Thread-safe.

    Args:
        owner: what the published objects get as their ``_pyroDaemon``.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._published: Dict[str, Published] = {}
        # guards _published, and the marks (_pyroId, _pyroDaemon) on the objects
        self._lock = threading.RLock()

    def add(self, obj_or_class: Any, object_id: Optional[str] = None, force: bool = False, weak: bool = False) -> str:
        """Publish an object or a class, and give its id.

        Raises:
            DaemonError: it is published already, or the id is in use (not with force).
            TypeError: the id is no str, or the object takes no attributes or no weak references.
        """
        if object_id is None:
            object_id = "obj_" + uuid.uuid4().hex
        elif not isinstance(object_id, str):
            raise TypeError("objectId must be a str or None, not %s" % type(object_id).__name__)
        with self._lock:
            if not force:
                self._check_free_locked(obj_or_class, object_id)
            published = Published(obj_or_class, object_id, weak)
            replaced = self._published.get(object_id)
            _mark(obj_or_class, object_id, self._owner)
            self._published[object_id] = published
            if replaced is not None and replaced.target is not obj_or_class:
                self._unmark_locked(replaced)
            if weak:
                published.finalizer = weakref.finalize(obj_or_class, self._forget, published)
                published.finalizer.atexit = False
        return object_id

    def _check_free_locked(self, obj_or_class: Any, object_id: str) -> None:
        known_as = id_of(obj_or_class)
        if known_as is not None:
            raise errors.DaemonError("object or class is already registered, as '%s' (use force=True to register it "
                                     "again)" % known_as)
        if object_id in self._published:
            raise errors.DaemonError("an object is already registered with the id '%s' (use force=True to replace it)"
                                     % object_id)

    def _forget(self, published: Published) -> None:
        """A weakly registered object is gone."""
        with self._lock:
            if self._published.get(published.object_id) is published:
                del self._published[published.object_id]
                log.debug("unregistered '%s': the object is gone", published.object_id)

    def remove(self, object_or_id: Any) -> None:
        """Take an object back; one that is not published is left alone.

        Raises:
            ValueError: None was given.
        """
        if object_or_id is None:
            raise ValueError("object_or_id must be an object, a class or an id, not None")
        object_id = object_or_id if isinstance(object_or_id, str) else id_of(object_or_id)
        with self._lock:
            published = self._published.get(object_id) if object_id is not None else None
            if published is None or object_or_id is not object_id and object_or_id is not published.target:
                return  # what is published under this id is something else: the object's mark is from another daemon
            del self._published[published.object_id]
            self._unmark_locked(published)

    def _unmark_locked(self, published: Published) -> None:
        """Take the marks off, unless they are those of another registration: under another id, or in another daemon."""
        if published.finalizer is not None:
            published.finalizer.detach()
        target = published.target
        if id_of(target) == published.object_id and target._pyroDaemon is self._owner:
            del target._pyroId, target._pyroDaemon

    def get(self, object_id: str) -> Published:
        """Give what is published under an id.

        Raises:
            DaemonError: nothing is.
        """
        try:
            return self._published[object_id]
        except (KeyError, TypeError):
            raise errors.DaemonError("unknown object '%s': nothing is registered with this id here"
                                     % (object_id,)) from None

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._published

    def ids(self) -> List[str]:
        """Give all ids, in the order of their registration."""
        with self._lock:
            return list(self._published)

    def refresh_members(self, object_id: str) -> None:
        """Look again what an object's class exposes."""
        published = self.get(object_id)
        target = published.target
        exposure.forget_members(target)
        published.members = exposure.exposed_members(target)

    def clear(self) -> None:
        """Take all objects back."""
        for object_id in self.ids():
            self.remove(object_id)


def id_of(obj_or_class: Any) -> Optional[str]:
    """Give the id that an object or class is published under, None if it is not.

    The mark of a class counts for the class alone, not for its instances and subclasses.
    """
    known_as: Optional[str] = getattr(obj_or_class, "__dict__", {}).get("_pyroId")
    if known_as is None and inspect.isdatadescriptor(getattr(type(obj_or_class), "_pyroId", None)):
        known_as = getattr(obj_or_class, "_pyroId", None)  # it is kept in a slot
    return known_as


def _mark(obj_or_class: Any, object_id: str, owner: Any) -> None:
    try:
        obj_or_class._pyroId = object_id
        obj_or_class._pyroDaemon = owner
    except (AttributeError, TypeError) as x:
        raise TypeError("cannot register %r: its type does not take the attributes _pyroId and _pyroDaemon (with "
                        "__slots__, add them there)" % (obj_or_class,)) from x
