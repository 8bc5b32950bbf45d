"""The objects and classes that a daemon has registered, by id."""
from __future__ import annotations

import inspect
import threading
import uuid
import weakref
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from .. import callcontext, errors
from .._values import registered_types
from . import exposure, marks
from .arguments import rebuilders_for
from .instances import Instances
from .members import exposed_members, forget_members, with_names

GetInstance = Callable[[Any, Any], Any]  # called with the class and the connection


class PublishedObject:
    """A registered object or class.

    Args:
        obj_or_class: what is registered; `target` afterwards.
        weak: keep only a weak reference to it.
        expose: names that are exposed in addition to those marked with @expose.
        get_instance: called with the class and a connection, returns the instance for a call; None for an object.

    Attributes:
        object_id: the id that clients use.
        registered: the object or class itself; the weak reference if it was weakly registered.
        members: the names that clients may use.
        direct: the names of ordinary methods that are called with the arguments as they arrive.
        rebuilders: the functions that rebuild the arguments of other methods, and of attributes that are assigned, by name.
        fixed_instance: the object that serves all calls; None if instance_for() has to be called.
        identity: the id() of the object or class.
        finalizer: removes a weakly registered object when it is garbage-collected.
        lifetime: the resource of a client's connection that removes the registration when the client disconnects.
        is_temporary: it has a generated id, and was registered by a call of a client. There may be thousands of these, each
            for a short time.
    """

    __slots__ = ("object_id", "members", "direct", "rebuilders", "fixed_instance", "identity", "finalizer", "lifetime",
                 "is_temporary", "_expose", "_get_instance", "registered", "_weak")

    def __init__(self, obj_or_class: Any, object_id: str, weak: bool = False, expose: Iterable[str] = (),
                 get_instance: Optional[GetInstance] = None) -> None:
        self.object_id = object_id
        self.identity = id(obj_or_class)  # without keeping a weakly registered object alive
        self._expose = tuple(expose)
        self._set_members(obj_or_class)
        self.finalizer: Any = None
        self.lifetime: Any = None
        self.is_temporary = False
        self._weak = weak
        self.registered: Any = weakref.ref(obj_or_class) if weak else obj_or_class
        self._get_instance = get_instance
        # Nearly all objects have one: for plain calls, this attribute is read instead of calling instance_for().
        self.fixed_instance: Any = None if weak or get_instance is not None else obj_or_class

    @property
    def target(self) -> Any:
        """The object or class itself; None if it was weakly registered and has been garbage-collected."""
        return self.registered() if self._weak else self.registered

    @property
    def is_class(self) -> bool:
        """Whether it is a class, whose instances serve the calls."""
        return self._get_instance is not None

    def instance_for(self, connection: Any) -> Any:
        """Return the object that serves a call on this connection. Thread-safe.

        Raises:
            DaemonError: the weakly registered object has been garbage-collected.
            Exception: raised by the class or its instance creator.
        """
        if self.fixed_instance is not None:
            return self.fixed_instance
        if self._get_instance is not None:
            return self._get_instance(self.registered, connection)
        target = self.target
        if target is None:
            raise errors.DaemonError("unknown object '%s': it does not exist any more" % self.object_id)
        return target

    def refresh_members(self) -> None:
        """Read again which members the object's class exposes."""
        target = self.target
        forget_members(target)
        self._set_members(target)

    def _set_members(self, target: Any) -> None:
        members = exposed_members(target)
        self.members = with_names(target, members, self._expose) if self._expose else members
        self.refresh_rebuilders(target)

    def refresh_rebuilders(self, target: Any) -> None:
        """Read again which parameters of the methods have annotations of registered types."""
        # before `direct`: a call in another thread that finds a method missing there looks for its function here
        self.rebuilders = rebuilders_for(target, self.members)
        self.direct = self.members.direct.difference(self.rebuilders, self.members.concurrent)

    def rebuilt_value(self, attribute: str, value: Any) -> Any:
        """Return the value to assign to an attribute. Raises TypeError if it does not fit the annotation."""
        rebuild = self.rebuilders.get(attribute)
        return value if rebuild is None else rebuild((value,), {})[0][0]


# Guards the tables of all daemons and the marks (_pyroId, _pyroDaemon) of their objects. One lock for all, because an
# object may be in several daemons, and its marks name the last one. Reentrant: registering can trigger garbage
# collection, and that the finalizer of a weakly registered object.
_lock = threading.RLock()
_tables: weakref.WeakSet[ObjectTable] = weakref.WeakSet()
# By id() of an object that cannot have these attributes: a weak reference to the table it is in.
unmarked: Dict[int, Callable[[], Optional[ObjectTable]]] = {}


def table_of_unmarked(obj: Any) -> Optional[ObjectTable]:
    """Return the table that contains an object without marks, None if there is none."""
    # The table may be gone, and its number may have been given to a new object: both are checked.
    find = unmarked.get(id(obj))
    table = None if find is None else find()
    return table if table is not None and table.id_of(obj) is not None else None


def _refresh_rebuilders() -> None:
    # Rebuilding the functions reads annotations, which may run code of the program: outside of the lock.
    with _lock:
        published = [each for table in list(_tables) for each in list(table.by_id.values())]
    for each in published:
        target = each.target
        if target is not None:
            each.refresh_rebuilders(target)


registered_types.on_change(_refresh_rebuilders)


class _ById(Dict[str, PublishedObject]):
    """Registered objects by id; asking for one that is not there raises DaemonError."""

    def __missing__(self, object_id: str) -> PublishedObject:
        raise errors.DaemonError("unknown object '%s': nothing is registered with this id here" % (object_id,))


class ObjectTable:
    """Registered objects and classes by id. Thread-safe.

    Args:
        owner: the ``_pyroDaemon`` of the registered objects.
        default_get_instance: the original function ``_getInstance`` of the owner's class. As long as the owner does
            not override or replace it, instances are created without calling it.

    Attributes:
        owner: see above.
        instances: the instances of the registered classes.
        by_id: what is registered. For reading: the dispatcher saves the call of `get`, 9 byte codes of each request.
    """

    def __init__(self, owner: Any, default_get_instance: Any = None) -> None:
        self.instances = Instances()
        self.owner = owner
        self._default_get_instance = default_get_instance
        self._is_closed = False
        # Read without the lock by every call; each change is a single assignment or deletion.
        self.by_id: Dict[str, PublishedObject] = _ById()
        self._ids: Dict[int, Tuple[str, ...]] = {}  # by id() of the object, the latest registration last
        with _lock:
            _tables.add(self)

    def add(self, obj_or_class: Any, object_id: Optional[str] = None, force: bool = False, weak: bool = False,
            expose: Iterable[str] = (), lifetime: Any = None) -> str:
        """Register an object or a class, and return its id.

        Args:
            object_id: None or empty: a generated one.
            force: replace what is registered with this id, and register an object that is registered already.
            weak: do not keep the object alive; it is unregistered when it is garbage-collected.
            expose: names that are exposed in addition to those marked with @expose. An object whose type does not
                allow new attributes can be registered only with this argument; it has no marks then.
            lifetime: the connection of a client; the object is unregistered when this client disconnects.

        Raises:
            DaemonError: it is registered here already, or the id is in use (without force), or that client has disconnected.
            AttributeError: the object has no such name to expose, or the name is private.
            TypeError: the id is not a str, or the object's type allows no new attributes or no weak references.
        """
        is_generated = not object_id
        if not object_id:
            object_id = "obj_" + uuid.uuid4().hex
        elif not isinstance(object_id, str):
            raise TypeError("objectId must be a str or None, not %s" % type(object_id).__name__)
        expose = tuple(expose)
        with _lock:
            if not force:
                self._check_free_locked(obj_or_class, object_id)
            is_class = inspect.isclass(obj_or_class)
            published = PublishedObject(obj_or_class, object_id, weak, expose, self._get_instance if is_class else None)
            published.is_temporary = is_generated and callcontext.running_call() is not None
            self._mark_locked(obj_or_class, object_id, may_lack_marks=bool(expose))
            # Marks first: if they cannot be set, nothing has changed yet.
            replaced = self.by_id.get(object_id)
            if replaced is not None:
                self._forget_identity_locked(replaced)
            # a single assignment: concurrent calls see either the old or the new object
            self.by_id[object_id] = published
            self._ids[published.identity] = self._ids.get(published.identity, ()) + (object_id,)
            if replaced is not None and replaced.target is not obj_or_class:
                self._unmark_locked(replaced)
            if weak:
                published.finalizer = weakref.finalize(obj_or_class, _remove_collected, weakref.ref(self), published)
                published.finalizer.atexit = False
        if lifetime is not None:
            self._bind_lifetime(lifetime, published)
        return object_id

    def _bind_lifetime(self, connection: Any, published: PublishedObject) -> None:
        # In this order: the connection may end between any two of these steps, and either it finds the resource, or the check
        # below finds that it has ended.
        published.lifetime = _Lifetime(self, published)
        # The connection closes its tracked resources at its end, in any thread.
        connection.tracked_resources.add(published.lifetime)
        if getattr(connection, "ended", False):  # disconnected meanwhile, its resources may be freed
            self.remove_published(published)
            raise errors.DaemonError("cannot register '%s' for the lifetime of a client that has disconnected"
                                     % published.object_id)

    def _check_free_locked(self, obj_or_class: Any, object_id: str) -> None:
        present_id = self.id_of(obj_or_class)
        if present_id is not None:
            raise errors.DaemonError("object or class is already registered, as '%s' (use force=True to register it "
                                     "again)" % present_id)
        if object_id in self.by_id:
            raise errors.DaemonError("an object is already registered with the id '%s' (use force=True to replace it)"
                                     % object_id)

    def has_sessions(self, published: PublishedObject) -> bool:
        """Return whether each connection may have an instance of its own, so that the calls of a client must share one."""
        if not published.is_class:
            return False
        return self._overrides_instances() or exposure.instancing_of(published.target)[0] == "session"

    def _overrides_instances(self) -> bool:
        owner, default = self.owner, self._default_get_instance
        return default is not None and (type(owner)._getInstance is not default or "_getInstance" in owner.__dict__)

    def _get_instance(self, clazz: type, connection: Any) -> Any:
        """Return the instance of a class that serves a call: by the owner's _getInstance() if that was overridden or replaced.
        """
        # Checked in every call (0.1 us), because programs may replace the method of the class or of the daemon at any time.
        owner: Any = self.owner
        if not self._overrides_instances():
            return self.instances.get(clazz, connection)
        return owner._getInstance(clazz, connection)

    def remove(self, object_or_id: Any) -> None:
        """Unregister an object, or do nothing if it is not registered.

        Raises:
            ValueError: the argument is None.
        """
        if object_or_id is None:
            raise ValueError("object_or_id must be an object, a class or an id, not None")
        with _lock:
            object_id = self.id_of(object_or_id)
            if object_id is None and isinstance(object_or_id, str):
                object_id = object_or_id
            published = None if object_id is None else self.by_id.get(object_id)
            if published is not None:
                self.remove_published(published)

    def remove_published(self, published: PublishedObject) -> None:
        """Remove this registration, or do nothing if it was removed or replaced."""
        with _lock:
            if self.by_id.get(published.object_id) is published:
                del self.by_id[published.object_id]
                self._forget_identity_locked(published)
                self._unmark_locked(published)

    def _forget_identity_locked(self, published: PublishedObject) -> None:
        """Remove what the table stores about an object besides its id and its marks."""
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
            # Else it would run later, for an object that may be registered again.
            published.finalizer.detach()

    # ------------------------------------------------------------ marks

    def _mark_locked(self, obj_or_class: Any, object_id: str, may_lack_marks: bool = False) -> None:
        try:
            marks.set_marks(obj_or_class, object_id, self.owner)
        except (AttributeError, TypeError) as x:
            if not may_lack_marks:
                raise TypeError("cannot register %r: its type does not take the attributes _pyroId and _pyroDaemon (with "
                                "__slots__, add them there)" % (obj_or_class,)) from x
            unmarked[id(obj_or_class)] = weakref.ref(self)
        else:
            if self._is_closed:
                marks.weaken_mark(obj_or_class, self.owner)

    def _unmark_locked(self, published: PublishedObject) -> None:
        """Remove the marks of a registration that has ended, or set those of another registration of the object, here
        or in another daemon.
        """
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
        """Release the owner: objects stay registered, but none of them keeps the daemon alive."""
        # Afterwards the objects refer to the daemon weakly, or to another daemon they are in.
        with _lock:
            if self._is_closed:
                return
            self._is_closed = True
            # The marks of an object that is in an open daemon too name that one from now on.
            for published in list(self.by_id.values()):
                target = published.target
                if not marks.is_marked_by(target, self.owner):
                    continue
                table = self._other_table_locked(target)
                if table is None:
                    marks.weaken_mark(target, self.owner)
                else:
                    table._mark_locked(target, table.id_of(target) or "")

    # ------------------------------------------------------------ lookup

    def get(self, object_id: str) -> PublishedObject:
        """Return the object that is registered with an id. Takes no lock: reading a dict is atomic.

        Raises:
            DaemonError: there is none.
        """
        try:
            return self.by_id[object_id]
        except TypeError:  # it cannot be the key of a dict
            return self.by_id.__missing__(object_id)  # type: ignore[attr-defined,no-any-return]

    def id_of(self, obj_or_class: Any) -> Optional[str]:
        """Return the id that an object or class was last registered with here, None if it is not registered."""
        ids = self._ids.get(id(obj_or_class))
        if not ids:
            return None
        published = self.by_id.get(ids[-1])
        # id() of a garbage-collected object can be that of a new one: compare the objects.
        return ids[-1] if published is not None and published.target is obj_or_class else None

    def __contains__(self, object_id: str) -> bool:
        return object_id in self.by_id

    def ids(self) -> List[str]:
        """Return all ids in the order of registration."""
        with _lock:
            return list(self.by_id)


class _Lifetime:
    """Ends a registration with a client's connection, which closes it as one of its tracked resources."""

    def __init__(self, table: ObjectTable, published: PublishedObject) -> None:
        self._table = table
        self._published = published

    def close(self) -> None:
        """Unregister the object."""
        self._table.remove_published(self._published)


def _remove_collected(find_table: Callable[[], Optional[ObjectTable]], published: PublishedObject) -> None:
    """Remove a weakly registered object that has been garbage-collected."""
    table = find_table()
    if table is not None:
        table.remove_published(published)


class ObjectsById(Mapping[str, Any]):
    """Live read-only view of a table: id -> object or class; for weakly registered objects their weak references."""

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
        """Return a dict of the current contents."""
        return dict(self)

    def __repr__(self) -> str:
        return repr(dict(self))
