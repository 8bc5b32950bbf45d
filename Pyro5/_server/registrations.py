"""The part of a daemon that registers objects, and tells about those that are registered."""
from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Dict, Iterable, Mapping, Optional

from .. import client, errors
from .._values.uri import URI
from ..constants import DAEMON_NAME
from ..socketutil import SocketConnection
from . import marks
from .daemon_object import DaemonObject
from .dispatch import Dispatcher
from .objects import ObjectsById, ObjectTable
from .streams import StreamsById, StreamTable

__all__ = ["Registrations", "own_get_instance"]


class Registrations:
    """Base of Daemon, which sets the attributes."""

    natLocationStr: Optional[str]
    _objects: ObjectTable
    _streams: StreamTable
    _dispatcher: Dispatcher

    @property
    def locationStr(self) -> str:
        """Where this daemon listens."""
        raise NotImplementedError

    def register(self, obj_or_class: Any, objectId: Optional[str] = None, force: bool = False, weak: bool = False, *,
                 expose: Iterable[str] = (), lifetime: Any = None) -> URI:
        """Publish an object, or a class whose instances are made as its @behavior says, and return its URI.

        An object or class may be registered in several daemons.

        Args:
            objectId: the id that clients use; None, empty, False: a generated one.
            force: replace what is registered with this id, and register an object that is registered here already.
            weak: do not keep the object alive; it is unregistered when it is garbage-collected.
            expose: names of methods and attributes that are exposed besides those marked with @expose, for objects whose
                class cannot be marked.
            lifetime: the connection of a client, ``current_context.client``: the object is unregistered when that client
                disconnects.

        Raises:
            DaemonError: the object, or the id, is registered already; or that client is gone.
            AttributeError: the object has no such name to expose, or the name is private.
            TypeError: the object's type takes no attributes (_pyroId, _pyroDaemon) and no names are to be exposed; a class
                was to be weak; the lifetime is no connection.
            PyroError, UnicodeEncodeError: the id cannot be part of a URI.
        """
        if weak and inspect.isclass(obj_or_class):
            raise TypeError("only objects can be registered weakly, not classes")
        if lifetime is not None and not isinstance(lifetime, SocketConnection):
            raise TypeError("lifetime must be a client's connection, such as current_context.client, not %r" % (lifetime,))
        if isinstance(expose, str):
            raise TypeError("expose must be a list of names, not one name: %r" % expose)
        if objectId and isinstance(objectId, str):
            objectId.encode("utf-8")  # it has to be one that clients can send ...
            if Registrations.uriFor(self, objectId).object != objectId:  # ... and that fits into a URI
                raise errors.PyroError("%r cannot be an object id: what follows an @ in a URI is the location" % objectId)
        if objectId == DAEMON_NAME and force:
            self._register_own(obj_or_class)
            return self.uriFor(DAEMON_NAME)
        return self.uriFor(self._objects.add(obj_or_class, objectId, force, weak, expose, lifetime))

    def _register_own(self, daemon_object: Any) -> None:
        """Publish the daemon's own remote object."""
        self._objects.add(daemon_object, DAEMON_NAME, force=True)
        self._dispatcher.find_get_metadata = functools.partial(_overridden_get_metadata, daemon_object)

    def unregister(self, objectOrId: Any) -> None:
        """Take an object or class back, given itself or by its id.  Calls that are running go on."""
        if isinstance(objectOrId, str) and objectOrId == DAEMON_NAME:
            return
        self._objects.remove(objectOrId)

    def uriFor(self, objectOrId: Any, nat: bool = True) -> URI:
        """Give the URI of an object or class that is registered here, or of any object id (it is not checked).

        Args:
            nat: use the address for the outside if there is one.

        Raises:
            DaemonError: the object is not registered here.
        """
        object_id = objectOrId if isinstance(objectOrId, str) else self._id_of(objectOrId)
        if object_id is None:
            raise errors.DaemonError("%r is not registered in this daemon, so it has no URI" % (objectOrId,))
        location = self.natLocationStr if nat and self.natLocationStr else self.locationStr
        return URI("PYRO:%s@%s" % (object_id, location))

    def _id_of(self, obj: Any) -> Optional[str]:
        """Return the id that an object, or else its class, is registered with here; None if it is not."""
        object_id = self._objects.id_of(obj)
        if object_id is None and marks.daemon_of(obj) == self:
            object_id = marks.inherited_id(obj)
        return object_id if object_id is not None and object_id in self._objects else None

    def proxyFor(self, objectOrId: Any, nat: bool = True) -> client.Proxy:
        """Give a proxy for an object that is registered here, with its metadata, not connected yet.

        Raises:
            DaemonError: it is not registered here.
        """
        uri = self.uriFor(objectOrId, nat)
        members = self._objects.get(str(uri.object)).members
        proxy = client.Proxy(uri)
        proxy._pyroMethods = set(members.methods)
        proxy._pyroOneway = set(members.oneway)
        proxy._pyroAttrs = set(members.attrs)
        return proxy

    def resetMetadataCache(self, objectOrId: Any, nat: bool = True) -> None:
        """Look anew at what an object's class exposes, after members were added or removed; proxies made from now on see
        it.

        Raises:
            DaemonError: it is not registered here.
        """
        self._objects.get(str(self.uriFor(objectOrId, nat).object)).refresh_members()

    @property
    def objectsById(self) -> Mapping[str, Any]:
        """What is registered, by id, its own object included: a live view that cannot be changed.  Of weakly registered
        objects it has the weak references."""
        return ObjectsById(self._objects)

    @property
    def streaming_responses(self) -> Mapping[str, Any]:
        """The open item streams by id: a live view that cannot be changed, of tuples: the client's connection (None while it
        is gone), the time of opening, the time when it will be closed for lack of a client (0 while there is one; both of
        time.monotonic()), the iterator."""
        return StreamsById(self._streams)

    @property
    def _pyroInstances(self) -> Dict[type, Any]:
        """The instances of classes of mode ``single``, by class; those that are taken out are made anew."""
        return self._objects.instances.single

    def _getInstance(self, clazz: type, conn: Any) -> Any:
        """Override it to choose, or to refuse by an exception, the instance of a registered class for a call of a client.

        Args:
            conn: the client's SocketConnection.
        """
        return self._objects.instances.get(clazz, conn)


# Programs override these, or replace them on the class or on the object: only then they are called for each request, or each
# handshake.
own_get_instance, _own_get_metadata = Registrations._getInstance, DaemonObject.get_metadata


def _overridden_get_metadata(daemon_object: Any) -> Optional[Callable[[str], Any]]:
    """Return the method of a daemon's own object if it is not the one of this package."""
    method: Optional[Callable[[str], Any]] = getattr(daemon_object, "get_metadata", None)
    return None if getattr(method, "__func__", None) is _own_get_metadata else method
