"""The attributes of a proxy that configure it or show its state, and what of it is copied, pickled, and sent over the wire."""
from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, Set, Tuple

from .. import config, serializers
from .._messages.requests import WireOptions
from .._values.uri import URI
from ..socketutil import effective_timeout, require_timeout
from .connection import Connection
from .link import Link
from .retry import Retry

STATE_ENTRIES = 6  # of the state of a proxy: the tuple that __getstate__ returns and that is sent over the wire


def _link_field(field: str, doc: str) -> Any:
    """Return a property that reads and writes one attribute of the proxy's link."""
    def get(proxy: CommonState) -> Any:
        return getattr(proxy._pyro, field)

    def put(proxy: CommonState, value: Any) -> None:
        setattr(proxy._pyro, field, value)
        _options_changed(proxy._pyro)

    return property(get, put, doc=doc)


def _options_changed(link: Any) -> None:
    """Make plain calls look at the options of a proxy again: what they know is valid for one object `wire`."""
    link.wire = WireOptions(*link.wire)


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
    """Base class of Proxy with the attributes that are stored in its link, and the methods that copy it.

    Only the owner of the proxy may assign the attributes.
    """

    _pyro: Link
    _pyroClearMethods: Callable[[], None]  # forgets the methods that are kept in the instance

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
