"""The base class of daemons: their parts, and the objects that are registered in them."""
from __future__ import annotations

import copyreg
import functools
import inspect
import logging
import time
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple

from .. import client, config, errors
from .._calls.dispatch import Dispatcher
from .._calls.plain_calls import PlainCalls
from .._calls.streams import StreamsById, StreamTable
from .._client.lease_keeper import Lease, LeaseKeeper
from .._net.addresses import address_text
from .._objects import marks
from .._objects.instances import close_session_instances
from .._objects.objects import ObjectsById, ObjectTable
from .._processes.siblings import Siblings
from .._server.connection import ServerConnection
from .._server.oneway import OnewayCalls
from .._values.uri import URI
from ..configure import global_version
from ..constants import DAEMON_NAME, DEFAULT_TTL
from ..socketutil import SocketConnection
from .daemon_object import DaemonObject
from .observed import Observed
from .transports import dispatch_options, oneway_limits, stream_limits

log = logging.getLogger("Pyro5.server")


def _ignore_error(daemon: Any, client_sock: Any, method: Callable[..., Any], vargs: Any, kwargs: Mapping[str, Any],
                 exception: Exception) -> None:
    """Do nothing: the default of Daemon.methodcall_error_handler. Exceptions are logged in any case."""


class Registrations(Observed):
    """Base class of the daemons, which set the attributes."""

    natLocationStr: Optional[str]
    transportServer: Any
    _dispatcher: Dispatcher
    _async_methods: Any  # runs them
    _plain_calls: Optional[PlainCalls] = None
    _siblings: Optional[Siblings] = None  # the other processes of this daemon, if there are any

    def _create_parts(self) -> None:
        """Create the parts that the dispatcher needs."""
        self.methodcall_error_handler: Callable[..., None] = _ignore_error
        self._objects: ObjectTable = ObjectTable(self, _default_get_instance)
        self._leases: LeaseKeeper = LeaseKeeper()
        lifetime, linger, max_streams = stream_limits()
        self._streams: StreamTable = StreamTable(lifetime, linger, time.monotonic, max_streams)
        self._oneway_calls = OnewayCalls(*oneway_limits())

    def _set_location(self, nat: Any, unreachable_reason: str) -> None:
        """Set the published address, and warn if clients cannot reach it.

        Args:
            nat: as `nat_address` returns it.
        """
        self.natLocationStr = None if nat is None else address_text((nat[0], nat[1] or self.sock.getsockname()[1]))
        # Not with NAT: then the published address is another one.
        if unreachable_reason and nat is None:
            self._warn_unreachable(unreachable_reason)

    def _read_settings(self) -> None:
        """Apply the current settings. Several threads may do this at the same time."""
        version = global_version.number  # first: the next comparison finds changes that are made from here on
        self._dispatcher.set_options(dispatch_options(), self._oneway_calls.start if config.ONEWAY_THREADED else None)
        self._streams.set_limits(*stream_limits())
        self._oneway_calls.set_limits(*oneway_limits())
        if self._plain_calls is not None:
            self._plain_calls.set_options(version)
        self._settings_version = version  # last: until then, other threads do not rely on the old values

    def _apply_settings(self) -> None:
        """Apply the current settings, if they have changed."""
        # Comparing one number costs 20 ns; reading the settings takes some microseconds.
        if global_version.number != self._settings_version:
            self._read_settings()

    def _free(self, connection: ServerConnection) -> None:
        """Free what belongs to a connection that has ended."""
        # Streams first: they may linger. Session objects and tracked resources end with the connection.
        self._streams.client_disconnected(connection)
        # Before the session objects, whose close() may block: the object must not stay reserved for so long.
        self._dispatcher.exclusive.client_gone(connection)
        close_session_instances(connection, self._async_methods.spawn)
        self._dispatcher.statistics.connection_ended(connection)
        connection.close()

    @property
    def locationStr(self) -> str:
        """The address that this daemon listens on: ``host:port`` or ``./u:path``."""
        return str(self.transportServer.locationStr)

    @property
    def sock(self) -> Any:
        """The listening socket."""
        return self.transportServer.sock

    def _warn_unreachable(self, reason: str) -> None:
        log.warning("listening on %s: %s", self.locationStr, reason)

    def __repr__(self) -> str:
        what = "%s.%s at %#x" % (type(self).__module__, type(self).__name__, id(self))
        if not hasattr(self, "transportServer"):
            # An attribute may be missing: repr() is also called for a daemon whose constructor has failed, in its traceback.
            return "<%s; not here>" % what  # deserialized, see _daemon_from_state
        return "<%s; %s; %d objects>" % (what, self.locationStr, len(self._objects.ids()))

    def __reduce__(self) -> Tuple[Any, ...]:
        """Return what creates an empty Daemon, the same as deserializing one. Daemons cannot be pickled or copied, but
        registered objects, which refer to them, can.
        """
        return copyreg.__newobj__, (type(self),)  # type: ignore[attr-defined]

    def register(self, obj_or_class: Any, objectId: Optional[str] = None, force: bool = False, weak: bool = False, *,
                 expose: Iterable[str] = (), lifetime: Any = None) -> URI:
        """Publish an object, or a class whose instances are created as its @behavior says, and return its URI.

        An object or class may be registered in several daemons. May be called from any thread.

        Args:
            obj_or_class: the object or class.
            objectId: the id that clients use; None, empty or False: a generated one.
            force: replace what is registered with this id, and register an object that is registered here already.
            weak: do not keep the object alive; it is unregistered when it is garbage-collected.
            expose: names of methods and attributes to expose in addition to those marked with @expose, for objects
                whose class cannot be marked.
            lifetime: the connection of a client, ``current_context.client``: the object is unregistered when this
                client disconnects.

        Raises:
            DaemonError: the object or the id is registered already, or that client has disconnected.
            AttributeError: the object has no such name to expose, or the name is private.
            TypeError: the object's type does not allow the new attributes _pyroId and _pyroDaemon (and expose is
                empty); a class cannot be registered weakly; lifetime is not a connection.
            PyroError, UnicodeEncodeError: the id cannot be part of a URI.
        """
        # A class is held by its module, so a weak reference to it would never end.
        if weak and inspect.isclass(obj_or_class):
            raise TypeError("only objects, not classes, can be registered weakly")
        if lifetime is not None and not isinstance(lifetime, SocketConnection):
            raise TypeError("lifetime must be a client's connection, such as current_context.client, not %r" % (lifetime,))
        # A str is iterable: its letters would be taken as names of members.
        if isinstance(expose, str):
            raise TypeError("expose must be a list of names, not one name: %r" % expose)
        if objectId and isinstance(objectId, str):
            # Both checks fail now for an id that no client could use.
            objectId.encode("utf-8")
            # That of this class: one that a program has overridden is called once, for the result below.
            if Registrations.uriFor(self, objectId).object != objectId:
                raise errors.PyroError("%r cannot be an object id: what follows an @ in a URI is the location" % objectId)
        # Replacing the daemon's own object also replaces the source of the metadata in handshakes.
        if objectId == DAEMON_NAME and force:
            self._register_own(obj_or_class)
            return self.uriFor(DAEMON_NAME)
        return self.uriFor(self._objects.add(obj_or_class, objectId, force, weak, expose, lifetime))

    def _register_own(self, daemon_object: Any) -> None:
        """Register the daemon's own remote object."""
        self._objects.add(daemon_object, DAEMON_NAME, force=True)
        self._dispatcher.find_custom_get_metadata = functools.partial(_overridden_get_metadata, daemon_object)

    def register_with(self, nameserver: Any, name: str, obj_or_class: Any, ttl: float = DEFAULT_TTL, *,
                      safe: Optional[bool] = None, metadata: Optional[Iterable[str]] = None, member: bool = False) -> Lease:
        """Register an object or class in a name server, with a lease that this daemon renews until it is closed.

        If it is not registered here, it is registered first. When the name server was away, or has lost its registrations, the
        name is registered again. It is removed when the daemon is closed, when its request loop has been shut down, and at
        the end of the program; and soon after the object is not registered here any more.

        Args:
            nameserver: a proxy for a name server (`locate_ns`), or a `NameServer` of this process. One of another release has
                no leases: there it is an ordinary registration.
            ttl: seconds after which the name is removed if this process is killed or cannot be reached.
            safe, metadata, member: as for `NameServer.register`.

        Raises:
            NamingError: another server has the name.
            CommunicationError: the name server cannot be reached.
        """
        is_registered = self._id_of(obj_or_class) is not None
        uri = self.uriFor(obj_or_class) if is_registered else self.register(obj_or_class)
        try:
            return self._leases.register(nameserver, name, uri, ttl, functools.partial(self._has_id, str(uri.object)),
                                         safe=safe, metadata=metadata, member=member or None)
        except BaseException:
            if not is_registered:
                self.unregister(obj_or_class)
            raise

    def _has_id(self, object_id: str) -> bool:
        return object_id in self._objects

    def unregister(self, objectOrId: Any) -> None:
        """Unregister an object or class, given itself or by its id. Running calls continue. May be called from any thread."""
        # Clients need it to fetch metadata and item streams.
        if isinstance(objectOrId, str) and objectOrId == DAEMON_NAME:
            return
        self._objects.remove(objectOrId)

    def uriFor(self, objectOrId: Any, nat: bool = True) -> URI:
        """Return the URI of a registered object or class, or of any object id (which need not be registered).

        Args:
            objectOrId: an object, a class or an id.
            nat: use the external address (nathost, natport) if there is one.

        Raises:
            DaemonError: the object is not registered in this daemon.
        """
        object_id = objectOrId if isinstance(objectOrId, str) else self._id_of(objectOrId)
        # Not the id of another daemon's registration: the URI would lead to an object that is not there.
        if object_id is None:
            raise errors.DaemonError("%r is not registered in this daemon, so it has no URI" % (objectOrId,))
        location = self.natLocationStr if nat and self.natLocationStr else self.locationStr
        return URI("PYRO:%s@%s" % (object_id, location))

    def _id_of(self, obj: Any) -> Optional[str]:
        """Return the id that an object, or else its class, is registered with here; None if neither is."""
        object_id = self._objects.id_of(obj)
        # An instance of a registered class: it has the id of the class.
        if object_id is None and marks.daemon_of(obj) == self:
            object_id = marks.inherited_id(obj)
        return object_id if object_id is not None and object_id in self._objects else None

    def proxyFor(self, objectOrId: Any, nat: bool = True) -> client.Proxy:
        """Return a proxy for a registered object. It has the object's metadata, but is not connected yet.

        Raises:
            DaemonError: the object is not registered in this daemon.
        """
        uri = self.uriFor(objectOrId, nat)
        members = self._objects.get(str(uri.object)).members
        proxy = client.Proxy(uri)
        proxy._pyroMethods = set(members.methods)  # proxies change these sets when they connect: each proxy has its own
        proxy._pyroOneway = set(members.oneway)
        proxy._pyroAttrs = set(members.attrs)
        return proxy

    def resetMetadataCache(self, objectOrId: Any, nat: bool = True) -> None:
        """Read again what an object's class exposes, after members were added or removed. Proxies that connect
        afterwards see the new members.

        Raises:
            DaemonError: the object is not registered in this daemon.
        """
        self._objects.get(str(self.uriFor(objectOrId, nat).object)).refresh_members()

    @property
    def objectsById(self) -> Mapping[str, Any]:
        """Live read-only mapping: id -> registered object or class, including the daemon's own object. For weakly
        registered objects it has the weak references.
        """
        return ObjectsById(self._objects)

    @property
    def streaming_responses(self) -> Mapping[str, Any]:
        """Live read-only mapping: id of an open item stream -> tuple of the client's connection (None while it is
        disconnected), the time of opening, the time when it will be closed if the client does not come back (0 while
        it is connected), and the iterator. Times are those of time.monotonic().
        """
        return StreamsById(self._streams)

    @property
    def _pyroInstances(self) -> Dict[type, Any]:
        """The instances of classes with instance mode ``single``, by class. Removed ones are created again when needed."""
        return self._objects.instances.single

    def _getInstance(self, clazz: type, conn: Any) -> Any:
        """Override it to choose the instance of a registered class that serves a call, or to refuse the call by an exception.

        Args:
            clazz: the registered class.
            conn: the client's SocketConnection.
        """
        return self._objects.instances.get(clazz, conn)


# The originals of methods that programs override in a subclass, or replace on the class or the object. Only then are
# they called: for each request (_getInstance) or each handshake (get_metadata).
_default_get_instance, _default_get_metadata = Registrations._getInstance, DaemonObject.get_metadata


def _overridden_get_metadata(daemon_object: Any) -> Optional[Callable[[str], Any]]:
    """Return get_metadata() of a daemon's own object if a program has overridden or replaced it, else None."""
    method: Optional[Callable[[str], Any]] = getattr(daemon_object, "get_metadata", None)
    return None if getattr(method, "__func__", None) is _default_get_metadata else method
