"""What a proxy is apart from its calls: the attributes that configure it or show its state; what of it is copied, pickled, and
sent over the wire; its connections; objects of this process that its server can call.
"""
from __future__ import annotations

import functools
import importlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, ContextManager, List, Mapping, Optional, Sequence, Set, Tuple

from .. import LazyModule, config, serializers
from .._values.uri import URI
from ..constants import DAEMON_NAME
from ..socketutil import effective_timeout, require_timeout
from .connection import Connection
from .link import Link
from .retry import Retry, reconnect, wait_until_ready

if TYPE_CHECKING:
    from . import exclusive
else:
    exclusive = LazyModule(globals(), ".exclusive")

STATE_ENTRIES = 6  # of the state of a proxy: the tuple that __getstate__ returns and that is sent over the wire

_creating = threading.Lock()  # held while the endpoint of a link is created: one, also if several threads register objects


def load_endpoint(name: str = "endpoint") -> Any:
    """Return a module of the package _callbacks."""
    return importlib.import_module("..._callbacks." + name, __name__)


def register_callback(link: Any, loop: Any, obj: Any) -> Any:
    """Make an object available to the server of an asyncio proxy, and return its URI. May block.

    Args:
        loop: the event loop that runs the async methods of the object.
    """
    with _creating:
        if link.callbacks is None:
            adapt = functools.partial(load_endpoint("in_loop").run_async_methods_in, loop)
            link.callbacks = load_endpoint().Endpoint(link.bound_uri, link.serializer, link.handshake, link.timeout, adapt)
            weakref.finalize(link, link.callbacks.stop).atexit = False  # if it is not released
        return link.callbacks.register(obj)


def _link_field(field: str, doc: str) -> Any:
    """Return a property that reads and writes one attribute of the proxy's link."""
    def get(proxy: CommonState) -> Any:
        return getattr(proxy._pyro, field)

    def put(proxy: CommonState, value: Any) -> None:
        setattr(proxy._pyro, field, value)
        _options_changed(proxy._pyro)

    return property(get, put, doc=doc)


def _options_changed(link: Any) -> None:
    """Make plain calls look at the options of a proxy again. Called after the change."""
    link.options_mark = object()  # one assignment: the change of another thread at the same time is not lost


class CommonState:
    """Base class of all proxies, also those of asyncio programs: what they have in common is stored in their links."""

    _pyro: Any
    _pyroUri: URI = _link_field("uri", "The URI of the object; always a PYRO URI after `_pyroBind`.")
    _pyroMaxRetries: int = _link_field("max_retries", "How many times a call is repeated after a lost connection or timeout. "
                                        "The object may execute a repeated call more than once.")
    _pyroHandshake: Any = _link_field("handshake", "Application data to send in the handshake, see Daemon.validateHandshake.")
    _pyroMethods: Set[str] = _link_field("methods", "Names of the methods that the object exposes.")
    _pyroOneway: Set[str] = _link_field("oneway", "Names of the methods whose calls do not wait for a reply.")
    _pyroAttrs: Set[str] = _link_field("attrs", "Names of the attributes that the object exposes.")

    @property
    def _pyroRetry(self) -> Optional[Retry]:
        """How calls that fail are repeated; None: `_pyroMaxRetries` times. Assigning anything else raises TypeError."""
        retry: Optional[Retry] = self._pyro.retry
        return retry

    @_pyroRetry.setter
    def _pyroRetry(self, retry: Optional[Retry]) -> None:
        if not (retry is None or isinstance(retry, Retry)):
            raise TypeError("a Retry or None is needed, not %s" % type(retry).__name__)
        self._pyro.retry = retry
        _options_changed(self._pyro)

    @property
    def _pyroSerializer(self) -> Optional[str]:
        """Name of the serializer of this proxy; None for the setting SERIALIZER. ValueError if it is assigned and unknown."""
        name: Optional[str] = self._pyro.serializer_name
        return name

    @_pyroSerializer.setter
    def _pyroSerializer(self, name: Optional[str]) -> None:
        # look it up before anything is changed: an unknown name raises an exception here
        self._pyro.serializer = serializers.get_serializer(name or config.SERIALIZER)
        self._pyro.serializer_name = name
        _options_changed(self._pyro)

    def __getstate__(self) -> Tuple[str, Tuple[str, ...], Tuple[str, ...], Tuple[str, ...], Any, Optional[str]]:
        link = self._pyro
        # Sorted, so that equal proxies have equal states.
        return (str(link.uri), tuple(sorted(link.oneway)), tuple(sorted(link.methods)), tuple(sorted(link.attrs)),
                link.handshake, link.serializer_name)

    def __copy__(self) -> Any:
        raise NotImplementedError

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()  # connections are never copied, so nothing is shared

    def __dir__(self) -> List[str]:
        return sorted({*object.__dir__(self), *self._pyro.methods, *self._pyro.attrs})


class ProxyState(CommonState):
    """Base class of Proxy with the attributes that are stored in its link, the methods that copy it, and those that concern
    its connections, also those that the server uses.

    Only the owner of the proxy may assign the attributes.
    """

    _pyro: Link
    _pyroClearMethods: Callable[[], None]  # forgets the methods that are kept in the instance
    _pyroInvoke: Callable[..., Any]

    _pyroConnection: Optional[Connection] = _link_field("connection", "The connection, None while not connected.")
    _pyroRawWireResponse: bool = _link_field("raw_response", "Whether calls return the reply message, see the "
                                             "module protocol, not the result in it.")

    @property
    def _pyroSeq(self) -> int:
        """Sequence number of the last request."""
        return self._pyro.pool.seq

    @_pyroSeq.setter
    def _pyroSeq(self, number: int) -> None:
        self._pyro.pool.seq = number

    @property
    def _pyroTimeout(self) -> Optional[float]:
        """Timeout of a call in seconds, after which it raises TimeoutError. None and 0 are no limit, a negative number is the
        setting COMMTIMEOUT. Assigning anything else raises ValueError.
        """
        return self._pyro.timeout

    @_pyroTimeout.setter
    def _pyroTimeout(self, seconds: Optional[float]) -> None:
        # Checked here: a wrong timeout would otherwise raise an error in some later call.
        require_timeout(seconds)
        self._pyro.timeout = seconds
        _options_changed(self._pyro)
        # the socket of an existing connection has a timeout of its own
        for connection in self._pyro.pool.connections():
            connection.timeout = effective_timeout(seconds)

    @property
    def _pyroLocalSocket(self) -> Any:
        """The local address of the connection, ``(ip, port)`` for IPv4; None while not connected."""
        # Read once: another thread may release the proxy between the test and the use.
        connection = self._pyro.connection
        return None if connection is None else connection.sock.getsockname()

    def __setstate__(self, state: Sequence[Any]) -> None:
        # Pyrolite, the client for Java and .NET, sends a seventh entry
        uri, oneway, methods, attrs, handshake, serializer_name = state[:STATE_ENTRIES]
        link = Link(URI(uri))  # not connected, and owned by this thread: connections are never copied
        link.oneway, link.methods, link.attrs = set(oneway), set(methods), set(attrs)
        link.handshake = handshake
        self._pyroClearMethods()
        self._pyro = link
        if serializer_name is not None:
            self._pyroSerializer = serializer_name

    def __copy__(self) -> Any:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)  # attributes of a subclass; __setstate__ replaces the link and kept methods
        copied.__setstate__(self.__getstate__())
        # These are not in the state on the wire, whose form 5.x has fixed.
        copied._pyro.timeout = self._pyro.timeout
        copied._pyro.max_retries = self._pyro.max_retries
        copied._pyro.raw_response = self._pyro.raw_response
        copied._pyro.retry = self._pyro.retry
        copied._pyro.pick = self._pyro.pick
        copied._pyro.wait_for_ready = self._pyro.wait_for_ready
        copied._pyro.results = self._pyro.results
        return copied

    # ------------------------------------------------------------ connections

    def _pyroBind(self) -> bool:
        """Connect now, and replace a PYRONAME or PYROMETA URI by the PYRO URI that it was resolved to.

        Returns:
            False if the proxy was connected already.

        Raises:
            NamingError: the uri cannot be resolved.
            CommunicationError: connecting failed.
        """
        link = self._pyro
        if not link.is_ready():
            return link.connect_once(lambda: self._pyroConnect(replace_uri=True), link.is_ready)
        if link.uri.protocol != "PYRO":
            self._pyroConnect(replace_uri=True)
        return False

    def _pyroConnect(self, replace_uri: bool = False) -> Connection:
        """Open a connection and return it. With replace_uri, `_pyroUri` becomes the URI that was connected to."""
        self._pyroClearMethods()  # the object may be another one after a reconnect, and expose other methods
        link, validate = self._pyro, self._pyroValidateHandshake
        if link.wait_for_ready:
            return wait_until_ready(lambda: link.connect(validate, replace_uri), link.deadline_for_waiting(), str(link.uri))
        return link.connect(validate, replace_uri)

    def _pyroGetMetadata(self, objectId: Optional[str] = None, known_metadata: Optional[Mapping[str, Any]] = None) -> None:
        """Request the metadata of the object from its daemon, and store the names that it exposes.

        Args:
            objectId: the id of another object of the same daemon, to use its metadata.
            known_metadata: a dict with the keys methods, oneway and attrs, to be stored without a request.

        Raises:
            PyroError: the object exposes nothing.
            CommunicationError: connecting or the request failed.
        """
        if not known_metadata:
            link = self._pyro
            if not link.is_ready():
                link.connect_once(self._pyroConnect, link.is_ready)  # stores the metadata of the object itself
                if objectId is None:
                    return
            known_metadata = self._pyroInvoke("get_metadata", [objectId or link.object_id], {}, objectId=DAEMON_NAME)
        self._pyroClearMethods()
        self._pyro.set_metadata(known_metadata)

    def _pyroExclusive(self, timeout: Optional[float] = None) -> ContextManager[None]:
        """Use the object exclusively for the block of a with statement: the calls of all other clients raise BusyError.

        All threads that use this proxy can call the object meanwhile, one after the other. The server ends the exclusive use
        when the connection ends, so a client that crashes does not block the others.

        Args:
            timeout: seconds to wait for other clients, which may be using the object, and other threads; None: any time.

        Raises:
            BusyError: another client is still using the object after this time.
            PyroError: the server is of another release, which does not know exclusive use.
        """
        return exclusive.exclusive_use(self, timeout)

    def _pyroRelease(self) -> None:
        """Close the connection. The next use of the proxy makes a new one. Any thread may call this."""
        self._pyro.release()

    def _pyroReconnect(self, tries: int = 100000000) -> None:
        """Close the connection and make a new one, with increasing pauses (0.1 to 2 seconds) between the attempts.

        If another thread has connected the proxy since a call of the calling thread failed, that connection is kept: threads
        that share a proxy do not close each other's new connections.

        Args:
            tries: the maximum number of attempts.

        Raises:
            ConnectionClosedError: the last attempt failed.
            ValueError: tries is less than 1.
        """
        if tries < 1:
            raise ValueError("tries must be at least 1, not %r" % tries)
        reconnect(self._pyro, self._pyroRelease, self._pyroConnect, tries)

    def _pyroValidateHandshake(self, response: Any) -> None:
        """Check the server's handshake response: raise an exception to refuse the connection. Override as needed."""
        return

    def _pyroClaimOwnership(self) -> None:
        """Make the calling thread the owner of this proxy. The connection is kept.

        Any thread may call this. The program must ensure that the previous owner has finished its calls.
        """
        self._pyro.claim()

    def _pyroCallback(self, obj: Any) -> Any:
        """Make an object available to the server, which calls it over connections that this process opens.

        So this process needs no daemon and no listening port, and may be behind a NAT router. Its members have to be exposed,
        as those of objects in a daemon. Pass the object, or the proxy that is returned, as an argument of a call: the server
        receives an ordinary proxy. Calls of it run in threads of this process until the proxy is released.

        Raises:
            PyroError: the server is of another release, which does not know such callbacks.
            DaemonError: the object is registered in another daemon.
            CommunicationError: the server cannot be reached.
        """
        link = self._pyro
        link.connect_once(self._pyroConnect, link.is_ready)
        with _creating:
            if link.callbacks is None:
                link.callbacks = load_endpoint().Endpoint(link.bound_uri, link.serializer, link.handshake, link.timeout)
            return link.callbacks.daemon.proxyFor(link.callbacks.register(obj).object)
