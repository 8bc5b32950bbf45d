"""The objects that a daemon publishes, by id."""
from __future__ import annotations

import inspect
import threading
import uuid
import weakref
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from .. import errors
from . import exposure, marks
from .instances import Instances

GetInstance = Callable[[Any, Any], Any]  # called with the class and the connection


class Published:
    """One published object or class.

    Args:
        expose: names that are exposed besides those that are marked.
        get_instance: called with the class and a connection; None if it is no class.

    Attributes:
        object_id: the id that clients call it by.
        members: what they may use of it.
        fixed_instance: the object that serves every call; None if it has to be looked for, see instance_for().
        identity: the id() of the object or class.
    """

    __slots__ = ("object_id", "members", "fixed_instance", "identity", "finalizer", "lifetime", "_expose", "_get_instance",
                 "_target", "_weak")

    def __init__(self, obj_or_class: Any, object_id: str, weak: bool = False, expose: Iterable[str] = (),
                 get_instance: Optional[GetInstance] = None) -> None:
        self.object_id = object_id
        self.identity = id(obj_or_class)
        self._expose = tuple(expose)
        self.members = self._find_members(obj_or_class)
        self.finalizer: Any = None  # of a weakly registered object
        self.lifetime: Any = None  # what ends the registration with a client's connection
        self._weak = weak
        self._target = weakref.ref(obj_or_class) if weak else obj_or_class
        self._get_instance = get_instance
        self.fixed_instance: Any = None if weak or get_instance is not None else obj_or_class

    @property
    def target(self) -> Any:
        """The object or class itself; None if it was weakly registered and is gone."""
        return self._target() if self._weak else self._target

    @property
    def registered(self) -> Any:
        """The object or class itself; the weak reference to a weakly registered one."""
        return self._target

    @property
    def is_class(self) -> bool:
        """Whether it is a class, whose instances serve the calls."""
        return self._get_instance is not None

    def instance_for(self, connection: Any) -> Any:
        """Return the object that serves a call on this connection; thread-safe.

        Raises:
            DaemonError: the weakly registered object is gone.
            Exception: what the class or its instance creator raises.
        """
        if self._get_instance is not None:
            return self._get_instance(self._target, connection)
        target = self.target
        if target is None:
            raise errors.DaemonError("unknown object '%s': it does not exist any more" % self.object_id)
        return target

    def refresh_members(self) -> None:
        """Look again at what the object's class exposes."""
        target = self.target
        exposure.forget_members(target)
        self.members = self._find_members(target)

    def _find_members(self, target: Any) -> exposure.Members:
        members = exposure.exposed_members(target)
        return exposure.with_names(target, members, self._expose) if self._expose else members


# Guards the tables of all daemons and the marks on their objects: an object may be in several of them.
_lock = threading.RLock()
_tables: weakref.WeakSet[ObjectTable] = weakref.WeakSet()
# Objects that take no marks, by identity: a weak reference to the table that they are in.
unmarked: Dict[int, Callable[[], Optional[ObjectTable]]] = {}


def table_of_unmarked(obj: Any) -> Optional[ObjectTable]:
    """Return the table that an object is published in that takes no marks, None if there is none."""
    find = unmarked.get(id(obj))
    table = None if find is None else find()
    return table if table is not None and table.id_of(obj) is not None else None


class ObjectTable:
    """Published objects by id.  Thread-safe.

    Args:
        owner: what the published objects get as their ``_pyroDaemon``.
        default_get_instance: the function that its method ``_getInstance`` is unless it is overridden or replaced.

    Attributes:
        owner: see above.
        instances: those of the classes that are published.
    """

    def __init__(self, owner: Any, default_get_instance: Any = None) -> None:
        self.instances = Instances()
        self.owner = owner
        self._default_get_instance = default_get_instance
        self._is_closed = False
        self._published: Dict[str, Published] = {}
        self._ids: Dict[int, Tuple[str, ...]] = {}  # by the identity of the object, the last registration last
        with _lock:
            _tables.add(self)

    def add(self, obj_or_class: Any, object_id: Optional[str] = None, force: bool = False, weak: bool = False,
            expose: Iterable[str] = (), lifetime: Any = None) -> str:
        """Publish an object or a class, and return its id.

        Args:
            expose: names that are exposed besides those that are marked.  An object of a type that takes no attributes
                can be published with this argument only; it then has no marks.
            lifetime: the connection of a client: the object is taken back when that ends.

        Raises:
            DaemonError: it is published here already, or the id is in use (not with force), or that client is gone.
            AttributeError: it has none of these names, or the name is private.
            TypeError: the id is no str, or the object takes no attributes or no weak references.
        """
        if not object_id:
            object_id = "obj_" + uuid.uuid4().hex
        elif not isinstance(object_id, str):
            raise TypeError("objectId must be a str or None, not %s" % type(object_id).__name__)
        expose = tuple(expose)
        with _lock:
            if not force:
                self._check_free_locked(obj_or_class, object_id)
            is_class = inspect.isclass(obj_or_class)
            published = Published(obj_or_class, object_id, weak, expose, self._get_instance if is_class else None)
            self._mark_locked(obj_or_class, object_id, is_optional=bool(expose))
            replaced = self._published.get(object_id)
            if replaced is not None:
                self._forget_identity_locked(replaced)
            self._published[object_id] = published  # at once: calls that come now find the one or the other
            self._ids[published.identity] = self._ids.get(published.identity, ()) + (object_id,)
            if replaced is not None and replaced.target is not obj_or_class:
                self._unmark_locked(replaced)
            if weak:
                published.finalizer = weakref.finalize(obj_or_class, _object_gone, weakref.ref(self), published)
                published.finalizer.atexit = False
        if lifetime is not None:
            self._end_with(lifetime, published)
        return object_id

    def _end_with(self, connection: Any, published: Published) -> None:
        published.lifetime = _Lifetime(self, published)
        connection.tracked_resources.add(published.lifetime)
        if getattr(connection, "ended", False):  # its resources may have been freed before
            self.remove_published(published)
            raise errors.DaemonError("the client that '%s' was to be registered for is gone" % published.object_id)

    def _check_free_locked(self, obj_or_class: Any, object_id: str) -> None:
        known_as = self.id_of(obj_or_class)
        if known_as is not None:
            raise errors.DaemonError("object or class is already registered, as '%s' (use force=True to register it "
                                     "again)" % known_as)
        if object_id in self._published:
            raise errors.DaemonError("an object is already registered with the id '%s' (use force=True to replace it)"
                                     % object_id)

    def _get_instance(self, clazz: type, connection: Any) -> Any:
        """Return the instance of a class that serves a call; the owner's method decides if it is overridden or replaced."""
        # looked for in every call (0.1 us): programs replace the method on the class or on the daemon at any time
        owner: Any = self.owner
        default = self._default_get_instance
        if default is None or type(owner)._getInstance is default and "_getInstance" not in owner.__dict__:
            return self.instances.get(clazz, connection)
        return owner._getInstance(clazz, connection)

    def remove(self, object_or_id: Any) -> None:
        """Take an object back; one that is not published is left alone.

        Raises:
            ValueError: None was given.
        """
        if object_or_id is None:
            raise ValueError("object_or_id must be an object, a class or an id, not None")
        with _lock:
            object_id = self.id_of(object_or_id)
            if object_id is None and isinstance(object_or_id, str):
                object_id = object_or_id
            published = None if object_id is None else self._published.get(object_id)
            if published is not None:
                self.remove_published(published)

    def remove_published(self, published: Published) -> None:
        """Take a registration back, unless that was done already."""
        with _lock:
            if self._published.get(published.object_id) is published:
                del self._published[published.object_id]
                self._forget_identity_locked(published)
                self._unmark_locked(published)

    def _forget_identity_locked(self, published: Published) -> None:
        """Undo what was noted about the object when it was registered, but for its id and its marks."""
        ids = self._ids.get(published.identity, ())
        if len(ids) > 1:
            ids = tuple([each for each in ids if each != published.object_id])
            self._ids[published.identity] = ids
        else:
            self._ids.pop(published.identity, None)
            unmarked.pop(published.identity, None)
            if published.is_class:
                self.instances.forget(published.registered)
        published.lifetime = None
        if published.finalizer is not None:
            published.finalizer.detach()

    # ------------------------------------------------------------ marks

    def _mark_locked(self, obj_or_class: Any, object_id: str, is_optional: bool = False) -> None:
        try:
            marks.set_marks(obj_or_class, object_id, self.owner)
        except (AttributeError, TypeError) as x:
            if not is_optional:
                raise TypeError("cannot register %r: its type does not take the attributes _pyroId and _pyroDaemon (with "
                                "__slots__, add them there)" % (obj_or_class,)) from x
            unmarked[id(obj_or_class)] = weakref.ref(self)
        else:
            if self._is_closed:
                marks.weaken_mark(obj_or_class, self.owner)

    def _unmark_locked(self, published: Published) -> None:
        """Remove the marks of a registration that has ended.  Another one, here or in another daemon, sets its own."""
        target = published.target
        if marks.id_of(target) != published.object_id or not marks.is_marked_by(target, self.owner):
            return
        table = self if published.identity in self._ids else self._other_table_locked(target)
        object_id = None if table is None else table.id_of(target)
        if table is None or object_id is None:
            marks.remove_marks(target)
        else:
            table._mark_locked(target, object_id)

    def _other_table_locked(self, obj_or_class: Any) -> Optional[ObjectTable]:
        for table in list(_tables):
            if table is not self and not table._is_closed and table.id_of(obj_or_class) is not None:
                return table
        return None

    def close(self) -> None:
        """Let go of the owner: objects stay published, but none of them keeps it alive."""
        with _lock:
            if self._is_closed:
                return
            self._is_closed = True
            for published in list(self._published.values()):
                target = published.target
                if not marks.is_marked_by(target, self.owner):
                    continue
                table = self._other_table_locked(target)
                if table is None:
                    marks.weaken_mark(target, self.owner)
                else:
                    table._mark_locked(target, table.id_of(target) or "")

    # ------------------------------------------------------------ looking up

    def get(self, object_id: str) -> Published:
        """Return what is published under an id.

        Raises:
            DaemonError: nothing is.
        """
        try:
            return self._published[object_id]
        except (KeyError, TypeError):
            raise errors.DaemonError("unknown object '%s': nothing is registered with this id here"
                                     % (object_id,)) from None

    def id_of(self, obj_or_class: Any) -> Optional[str]:
        """Return the id that an object or class itself was last published under here, None if it was not."""
        ids = self._ids.get(id(obj_or_class))
        if not ids:
            return None
        published = self._published.get(ids[-1])
        return ids[-1] if published is not None and published.target is obj_or_class else None

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._published

    def ids(self) -> List[str]:
        """Return all ids, in the order of their registration."""
        with _lock:
            return list(self._published)

    def clear(self) -> None:
        """Take all objects back."""
        for object_id in self.ids():
            self.remove(object_id)


class _Lifetime:
    """A registration that ends with a client's connection: one of the resources that the connection tracks."""

    def __init__(self, table: ObjectTable, published: Published) -> None:
        self._table = table
        self._published = published

    def close(self) -> None:
        """Take the object back."""
        self._table.remove_published(self._published)


def _object_gone(find_table: Callable[[], Optional[ObjectTable]], published: Published) -> None:
    """Forget a weakly registered object that has been garbage-collected."""
    table = find_table()
    if table is not None:
        table.remove_published(published)


class ObjectsById(Mapping[str, Any]):
    """Live view of a table: the registered objects and classes by id, weakly registered ones as their weak references."""

    def __init__(self, table: ObjectTable) -> None:
        self._table = table

    def __getitem__(self, object_id: str) -> Any:
        try:
            return self._table.get(object_id).registered
        except errors.DaemonError as x:
            raise KeyError(object_id) from x

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.ids())

    def __len__(self) -> int:
        return len(self._table.ids())

    def copy(self) -> Dict[str, Any]:
        """Return a dict of what is registered now."""
        return dict(self)

    def __repr__(self) -> str:
        return repr(dict(self))
