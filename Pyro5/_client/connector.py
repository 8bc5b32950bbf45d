"""The connections of a proxy: opening them, keeping further ones for other threads, closing them."""
from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Set, Tuple, Union

from .. import LazyModule, config, errors, serializers
from .._messages.requests import WireOptions
from .._net.addresses import is_offered
from .._net import forks
from .._values import plain
from .._values.uri import URI
from ..configure import global_version
from ..constants import DAEMON_NAME
from ..serializers import SerializerBase
from ..socketutil import effective_timeout
from .call_options import RANDOM, deadline_for, earlier, own_deadline, seconds_until
from .connecting import first_values, open_connection
from .connection import Connection
from .pool import OPEN_FIRST, OPEN_SIDE, ConnectionPool, idle_connections

if TYPE_CHECKING:
    from .._net import offered_sockets
    from . import candidates
    from .results import Results
else:
    candidates = LazyModule(globals(), ".candidates")  # for names and tags
    offered_sockets = LazyModule(globals(), ".._net.offered_sockets")

log = logging.getLogger("Pyro5.link")

CONNECTED_SOCKET_LOCATION = "<<connected-socket>>:0"
SHARED, STRICT = "shared", "strict"  # values of the setting PROXY_SHARING
_MEMBERS = ("methods", "oneway", "attrs")  # in the metadata of an object


def connected_socket_uri(object_name: Union[str, URI]) -> URI:
    """Make the uri that stands for an object at the other end of a ready-made socket."""
    if isinstance(object_name, URI) or object_name.upper().startswith("PYRO:"):
        object_name = str(URI(object_name).object)
    return URI("PYRO:%s@%s" % (object_name, CONNECTED_SOCKET_LOCATION))


class Connector:
    """Opens and closes the connections to one object. COMMTIMEOUT is read here, once; other settings whenever they were
    changed.

    Several threads may use it. The first connection is opened by one thread at a time; further ones are opened only by threads
    that the pool asks to, so that there are never more than allowed.

    Args:
        uri: of the object; PYRONAME and PYROMETA are resolved anew for every first connection.
        connected_socket: use this one and leave it open, if the uri is that of `connected_socket_uri`.

    Attributes:
        bound_uri: the PYRO uri of the object that the connection is, or was last, made to.
        pick: which of several objects to prefer, see `candidates.connect_to_any`.
        object_id: the object's id in its daemon; known once connected.
        connection: the connection that was opened first; None while there is none.
        pool: all connections, and who uses them.
        fork_count: the number of forks when the pool was made.
        methods, oneway, attrs, idempotent: the names that the object exposes; empty while nothing is known.
        parallel: whether several connections may be open: the server says that this makes no difference to the object.
        max_connections: how many there may be then.
        stream_homes: the connection of each open item stream, by the stream's id.
        results: the functions that rebuild the results of some methods, as the interface of the proxy demands.
        callbacks: the objects of this process that the server can call, see _callbacks.endpoint; None: there are none.
        is_plain: messages are neither compressed nor logged.
        options_mark: another object after each change of a setting or an option: what was derived from them is invalid.
        raw_response: calls return the reply messages, whose payloads the program reads: they are as those of other releases.
    """

    __slots__ = ("uri", "bound_uri", "object_id", "connection", "connected_socket", "fork_count", "timeout", "wire",
                 "serializer_name", "serializer", "handshake", "methods", "oneway", "attrs", "idempotent", "settings_version",
                 "pool", "parallel", "is_strict", "max_connections", "stream_homes", "results", "raw_response",
                 "pick", "callbacks", "is_plain", "options_mark", "announced", "__weakref__")

    def __init__(self, uri: URI, connected_socket: Optional[socket.socket] = None) -> None:
        self.uri = uri
        self.bound_uri = uri
        self.pick = RANDOM
        self.object_id = ""
        self.connection: Optional[Connection] = None
        self.connected_socket = connected_socket
        self.fork_count = forks.number
        self.pool = ConnectionPool()
        self.parallel = False
        self.results: Results = {}
        self.raw_response = False
        self.callbacks: Any = None
        self.announced: Tuple[str, ...] = ()  # features besides those of every client
        self.stream_homes: Dict[str, Connection] = {}
        self.timeout: Optional[float] = config.COMMTIMEOUT or None
        self.serializer_name: Optional[str] = None
        self.handshake: Any = first_values.handshake
        self.methods: Set[str] = set()
        self.oneway: Set[str] = set()
        self.attrs: Set[str] = set()
        self.idempotent: Set[str] = set()
        self.wire: WireOptions
        self.serializer: SerializerBase
        self.is_strict: bool
        self.is_plain: bool
        self.options_mark: object
        self.max_connections: int
        self._read_settings()

    def _read_settings(self) -> None:
        """Read the settings that take effect as soon as they are changed.

        `call` and `connect` do this when the number of ``global_version`` has changed. A call costs one comparison of ints.
        """
        # Read the number before the settings: if another thread changes a setting in between, the number that is stored here
        # is already out of date, and the next call reads the settings again.
        version = global_version.number
        self.wire = WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION))
        if self.serializer_name is None:
            self.serializer = serializers.get_serializer(config.SERIALIZER)
        self.max_connections = max(config.PROXY_CONNECTIONS, 1)
        if config.PROXY_SHARING not in (SHARED, STRICT):
            raise ValueError("config.PROXY_SHARING is %r, it must be %r or %r" % (config.PROXY_SHARING, SHARED, STRICT))
        self.is_strict = config.PROXY_SHARING == STRICT
        if self.is_strict:
            self.pool.by_thread.clear()  # each thread is checked again
        for connection in self.pool.connections():
            connection.read_settings(self.wire.max_size)
        self.is_plain = not (self.wire.compress or config.LOGWIRE)
        self.options_mark = object()
        # In a child process 0 until the connections of the parent are removed: plain calls notice a fork by this number.
        self.settings_version = version if self.fork_count == forks.number else 0

    def __del__(self) -> None:
        # any attribute may be missing if the constructor raised an exception
        if getattr(self, "callbacks", None) is not None:
            self.callbacks.stop()
            self.callbacks = None
        if getattr(self, "pool", None) is not None and self.pool.connections():
            self.release()

    @property
    def can_reconnect(self) -> bool:
        """Whether a new connection to the object can be made: not if the proxy was created with a connected socket."""
        return self.uri.location != CONNECTED_SOCKET_LOCATION

    def check_usable(self) -> None:
        """Raise PyroError if the calling thread may not use the proxy."""

    def connect(self, validate: Callable[[Any], None], replace_uri: bool = False) -> Connection:
        """Close the first connection if there is one, make a new one, and return it.

        Args:
            validate: called with the server's handshake response; may raise an exception to refuse the connection.
            replace_uri: replace the uri by the PYRO URI that it was resolved to.

        Raises:
            NamingError: the uri cannot be resolved.
            CommunicationError: the server cannot be reached, or refuses the connection.
            PyroError: the calling thread may not use the proxy, or the object exposes nothing.
        """
        # A child process must not send anything over a socket that the parent uses too: replies would be mixed up.
        if self.fork_count != forks.number:
            self._close_inherited()
        self.check_usable()
        if global_version.number != self.settings_version:
            self._read_settings()
        try:
            connecting = self.pool.connecting
            with connecting:
                connection = self._connect(validate, replace_uri)
                self.pool.add(connection, threading.get_ident(), OPEN_FIRST)
        except errors.PyroError as x:
            raise errors.not_sent(x)  # noqa: B904  # the same error
        log.debug("connected to %s", connection.target)
        return connection

    def connect_once(self, connect: Callable[[], Any], is_done: Callable[[], bool]) -> bool:
        """Connect unless another thread has done so meanwhile, and return whether it was necessary.

        Args:
            connect: calls `connect`.
            is_done: returns whether there is nothing to do.
        """
        # In a forked child the lock may be held by a thread of the parent, which does not exist here.
        if self.fork_count != forks.number:
            self._close_inherited()
        # Asked again under the lock: several threads may find at the same moment that there is no connection.
        connecting = self.pool.connecting
        with connecting:
            if is_done():  # the thread that was faster has connected
                return False
            connect()
            return True

    def _connect(self, validate: Callable[[Any], None], replace_uri: bool) -> Connection:
        if self.connection is not None:
            # A socket that the program has passed is used again, unless it is out of sync.
            self.drop(self.connection, keep_socket=not self.connection.mid_exchange)
        connection = self._open(replace_uri)
        connection.objectId = self.object_id
        try:
            self._handshake(connection, validate)
        except BaseException:
            self.drop(connection)
            raise
        if not connection.keep_open:
            # After the handshake, whose time limit covers all of its steps, the timeout applies to each step of a call.
            connection.timeout = effective_timeout(self.timeout)
        return connection

    def _open_another(self, kind: str, validate: Callable[[Any], None]) -> Optional[Connection]:
        """Open a further connection to the same object, and return it locked; None if the server refuses to have more."""
        if not self.can_reconnect:
            raise errors.PyroError("the call is nested in another one that '%s' is still answering, over a socket that it was "
                                   "given: there is no second connection for it" % self.uri)
        connection = None
        try:
            connection = self._open_to(self.bound_uri)
            # Locked before it is in the pool, so that the thread which opened it is the first to use it.
            connection.lock.acquire()
            connection.user = threading.get_ident()
            connection.objectId = self.object_id
            response, _ = connection.handshake(self.serializer, self.pool.seq, self.object_id, self.handshake, self.wire,
                                              not self.raw_response, self.announced)
            validate(response)
            connection.timeout = effective_timeout(self.timeout)
        except BaseException as x:
            if connection is not None:
                connection.close()
            # A nested call cannot wait for another connection, so its caller gets the error.
            if kind is OPEN_SIDE:
                raise
            self.pool.cancel_opening(threading.get_ident())
            if connection is None or not isinstance(x, errors.CommunicationError):
                raise
            log.info("no further connection to %s, calls of several threads take turns: %s", self.bound_uri, x)
            # The server has refused: asking for each call again would cost it, and the caller, a connection attempt each time.
            self.parallel = False
            return None
        self.pool.add(connection, threading.get_ident(), kind)
        idle_connections.add(self)
        return connection

    def close_idle(self, idle_before: float) -> bool:
        """Close further connections that were not used after this monotonic time; return whether some are left."""
        for connection in self.pool.idle_connections(self.connection, idle_before):
            connection.close()
        return self.pool.has_extras(self.connection)

    def release(self) -> None:
        """Close all connections. Any thread may do this; calls that are in flight then fail."""
        if self.fork_count != forks.number:
            self._close_inherited()
            return
        # Removed from the tables first: threads that look for a connection meanwhile open a new one.
        self.connection = None
        self.stream_homes.clear()
        for connection in self.pool.remove_all():
            connection.close()
        idle_connections.discard(self)
        callbacks, self.callbacks = self.callbacks, None
        if callbacks is not None:
            callbacks.close()

    def drop(self, connection: Connection, keep_socket: bool = False) -> None:
        """Close a connection that cannot be used any more.

        Args:
            keep_socket: a socket that was given to the proxy can be used again; else it is of no use any more.
        """
        connection.mid_exchange = True  # for threads that have found it already
        # A copy, because finalizers of streams change the dict in any thread.
        for stream_id in [stream_id for stream_id, home in list(self.stream_homes.items()) if home is connection]:
            self.forget_stream(stream_id)
        self.pool.discard(connection)
        if self.connection is connection:
            self.connection = self.pool.first()
        if not keep_socket:
            # It is out of sync, and must not be used for another connection.
            self.connected_socket = None
        connection.close()

    def forget_stream(self, stream_id: str) -> None:
        """Note that an item stream has ended, or is not used any more."""
        connection = self.stream_homes.pop(stream_id, None)
        if connection is not None:
            connection.streams.discard(stream_id)

    def _close_inherited(self) -> None:
        """Begin anew in a forked process: the connections, and the threads that hold locks, belong to the parent."""
        # A new pool, because a thread of the parent may have held the mutex at the moment of the fork, and is missing here.
        inherited, self.pool = self.pool, ConnectionPool()
        self.connection = None
        self.stream_homes = {}
        self.fork_count = forks.number
        for connection in inherited.inherited():
            connection.close_inherited()

    def _time_to_connect(self) -> Optional[float]:
        timeout = effective_timeout(self.timeout) if own_deadline(self) is None else None
        left = seconds_until(deadline_for(self))
        if left == 0:  # as the timeout of a socket, this would mean that it does not block
            raise errors.not_sent(errors.TimeoutError("connecting to %s: the deadline of the call has passed" % self.uri))
        return earlier(timeout, left)

    def _open(self, replace_uri: bool) -> Connection:
        if not self.can_reconnect:
            return self._use_connected_socket()
        if self.uri.protocol == "PYRO":
            connection = self._connect_to(self.uri)
        else:
            connection = candidates.connect_to_any(self.uri, self._connect_to, self._time_to_connect(), self.pick)
        # From now on, the proxy stays with this object, even if the name is registered for another one.
        if replace_uri:
            self.uri = self.bound_uri
        return connection

    def _connect_to(self, uri: URI) -> Connection:
        connection = self._open_to(uri)
        self.bound_uri = uri
        self.object_id = str(uri.object)
        return connection

    def _open_to(self, uri: URI) -> Connection:
        """Connect to the location of a PYRO URI, or use a connection that the process of the object has offered."""
        timeout = self._time_to_connect()
        if not is_offered(uri.host):
            return open_connection(uri, timeout, self.wire.max_size)
        try:
            sock = offered_sockets.offered_sockets.take(str(uri.host), timeout)
            sock.settimeout(timeout)
        except OSError as x:
            raise errors.not_sent(errors.CommunicationError("cannot connect to %s: %s" % (uri, x))) from x
        return Connection(sock, str(uri), self.wire.max_size)

    def _use_connected_socket(self) -> Connection:
        sock = self.connected_socket
        if sock is None:
            raise errors.ConnectionClosedError("the connected socket of the proxy for '%s' was closed or is out of sync; "
                                               "create a new proxy with a new socket" % self.uri)
        timeout = effective_timeout(self.timeout)
        if timeout is not None or sock.gettimeout() == 0:
            sock.settimeout(timeout)
        self.object_id = str(self.uri.object)
        return Connection(sock, str(self.uri), self.wire.max_size, keep_open=True)

    def _handshake(self, connection: Connection, validate: Callable[[Any], None]) -> None:
        """Perform the handshake (not over a connected socket, which has none) and store the metadata of the object."""
        response = metadata = None
        if not connection.keep_open:
            response, metadata = connection.handshake(self.serializer, self.pool.seq, self.object_id, self.handshake,
                                                      self.wire, not self.raw_response, self.announced)
        # Connected sockets have no handshake, which would bring the metadata.
        if metadata is None:
            seq = self.pool.seq = (self.pool.seq + 1) & 0xFFFF
            metadata = connection.call(self.serializer, seq, DAEMON_NAME, "get_metadata", [self.object_id], self.wire)
        self.set_metadata(metadata)
        self.parallel = self.parallel and connection.features is not None and not connection.keep_open
        # The application's validation may call the object: it finds the connection, which other threads do not see yet.
        self.connection = connection
        self.pool.by_thread[threading.get_ident()] = connection
        if not connection.keep_open:
            validate(response)

    def has_member(self, name: str) -> bool:
        """Return whether the object exposes a name. Waits while another thread is connecting, and stores the names."""
        # The lock is held by a thread while it connects: its result is awaited instead of an error that the name is unknown.
        connecting = self.pool.connecting
        with connecting:
            return name in self.methods or name in self.attrs

    def has_attribute(self, name: str) -> bool:
        """Return whether the object exposes an attribute. Waits while another thread is connecting, and stores the names."""
        connecting = self.pool.connecting
        with connecting:
            return name in self.attrs

    def set_metadata(self, metadata: Any) -> None:
        """Store what the server says about the object.

        Raises:
            ProtocolError: the metadata is malformed.
            PyroError: the object exposes nothing.
        """
        self.methods, self.oneway, self.attrs, self.idempotent, has_sessions = parse_metadata(metadata, self.uri)
        self.parallel = not has_sessions


def parse_metadata(metadata: Any, uri: Any) -> Tuple[Set[str], Set[str], Set[str], Set[str], bool]:
    """Return what a server says about an object: the names of its methods, of those that are oneway, of its attributes and of
    its idempotent methods; and whether each connection may have an instance of its own, as is assumed of other releases.

    Raises:
        ProtocolError: the metadata cannot be used.
        PyroError: the object exposes nothing.
    """
    # nothing is used before its exact type is known: it came over the network
    if type(metadata) is not dict or not all([plain.is_texts(metadata.get(key)) for key in _MEMBERS]):
        raise errors.ProtocolError("the server sent malformed metadata of '%s': %s" % (uri, plain.text_of(metadata)))
    methods, oneway, attrs = (set(metadata[key]) for key in _MEMBERS)
    if not methods and not attrs:
        raise errors.PyroError("remote object '%s' doesn't expose any methods or attributes. Did you forget setting "
                               "@expose on them?" % uri)
    idempotent = metadata.get("idempotent")
    # Only a server of this library sends the last two. Without them, the safe assumption is made: not idempotent,
    # with sessions.
    return (methods, oneway, attrs, set(idempotent or ()) if plain.is_texts(idempotent) else set(),
            metadata.get("session") is not False)
