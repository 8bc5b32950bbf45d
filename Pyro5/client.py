"""The client: proxies, through which the methods of remote objects are called as if they were local."""
from __future__ import annotations

import functools
import importlib
import logging
import socket
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

from . import config, protocol, serializers
from ._client import discovery
from ._client.batch import BatchedCall, BatchProxy
from ._client.batch import _BatchedRemoteMethod as _BatchedRemoteMethod
from ._client.connection import Connection
from ._client.discovery import Host
from ._client.link import Link, connected_socket_uri
from ._client.methods import _RemoteMethod, with_retries
from ._client.names import may_be_remote
from ._client.operators import ProxyOperators, UnsupportedOperatorError
from ._client.reconnecting import reconnect
from ._client.streams import ItemStream
from ._client.streams import _StreamResultIterator as _StreamResultIterator
from ._values import classes, plain
from ._wire import calls
from ._wire.calls import BATCH_METHOD, SerializedBlob
from ._wire.uri import URI
from .callcontext import current_context as current_context
from .constants import DAEMON_NAME
from .socketutil import effective_timeout, require_timeout
from .typed import ProxyClass

__all__ = ["Proxy", "BatchProxy", "SerializedBlob", "locate_ns"]

log = logging.getLogger("Pyro5.client")

# Methods that a program may replace on one proxy: it then keeps no methods, so that each call comes past them.
_HOOKS = frozenset(("_pyroInvoke", "_pyroAnnotations", "_pyroValidateHandshake"))
WIRE_TAG = "Pyro5.client.Proxy"

STATE_ENTRIES = 6
ProxyState = Tuple[str, Tuple[str, ...], Tuple[str, ...], Tuple[str, ...], Any, Optional[str]]


def _link_field(field: str, doc: str) -> Any:
    """Make the property of a proxy that shows one field of its link."""
    def get(proxy: Proxy) -> Any:
        return getattr(proxy._pyro, field)

    def put(proxy: Proxy, value: Any) -> None:
        setattr(proxy._pyro, field, value)

    return property(get, put, doc=doc)


class Proxy(ProxyOperators, metaclass=ProxyClass):
    """
    Stands in for a remote object: calls of its methods, and access to its attributes, happen there.

    A proxy belongs to one thread at a time: the one that made it (or got it from a call, and used it first), or that called
    `_pyroClaimOwnership` last. If that thread was serving a client, those that serve the same client may use it too.

    It connects when it is first used; after a communication error, or `_pyroRelease`, it connects again when it is next
    used. Use it as a context manager to have the connection released in the end.

    Names that begin with ``_pyro``, and those that a subclass defines, belong to the proxy; all others to the object.

    Args:
        uri: of the object: text or a URI. With connected_socket only the object's name.
        connected_socket: talk over this socket, whose other end is a daemon's; it is never closed here.

    Raises:
        PyroError: the uri is not valid.
        ValueError: the setting SERIALIZER is unknown.
    """

    _pyro: Link

    def __class_getitem__(cls, interface: Any) -> Any:
        """Give this class, which type checkers then take for one of the interface: see Pyro5.typed."""
        return cls

    def __init__(self, uri: Union[str, URI], connected_socket: Optional[socket.socket] = None) -> None:
        if connected_socket is not None:
            uri = connected_socket_uri(uri)
        self._pyro = Link(URI(uri), connected_socket)

    _pyroUri: URI = _link_field("uri", "The URI of the object; after `_pyroBind` always a PYRO one.")
    _pyroConnection: Optional[Connection] = _link_field("connection", "The connection, None while there is none.")
    _pyroSeq: int = _link_field("seq", "Sequence number of the last request.")
    _pyroMaxRetries: int = _link_field("max_retries", "How often a call is tried again after a lost connection or a timeout; "
                                                 "mind what happens if the object gets it twice.")
    _pyroHandshake: Any = _link_field("handshake", "The value to introduce oneself with when connecting.")
    _pyroMethods: Set[str] = _link_field("methods", "Names of the methods that the object exposes.")
    _pyroOneway: Set[str] = _link_field("oneway", "Names of the methods whose calls do not wait for an answer.")
    _pyroAttrs: Set[str] = _link_field("attrs", "Names of the attributes that the object exposes.")
    _pyroRawWireResponse: bool = _link_field("raw_response", "If true, calls return the reply message as it came.")

    @property
    def _pyroTimeout(self) -> Optional[float]:
        """Seconds that a call may take before it raises TimeoutError; None and 0 are no limit, a negative number means
        the setting COMMTIMEOUT."""
        return self._pyro.timeout

    @_pyroTimeout.setter
    def _pyroTimeout(self, seconds: Optional[float]) -> None:
        require_timeout(seconds)
        self._pyro.timeout = seconds
        if self._pyro.connection is not None:
            self._pyro.connection.timeout = effective_timeout(seconds)

    @property
    def _pyroSerializer(self) -> Optional[str]:
        """Name of the serializer of this proxy; None for the one that is configured."""
        return self._pyro.serializer_name

    @_pyroSerializer.setter
    def _pyroSerializer(self, name: Optional[str]) -> None:
        self._pyro.serializer = serializers.get_serializer(name or config.SERIALIZER)
        self._pyro.serializer_name = name

    @property
    def _pyroLocalSocket(self) -> Any:
        """The address of this side of the connection, ``(ip, port)`` for IPv4; None while not connected."""
        connection = self._pyro.connection
        return None if connection is None else connection.sock.getsockname()

    # ------------------------------------------------------------ calls

    def __getattr__(self, name: str) -> Any:
        # only names that are not the proxy's own get here; a method's first, as every call does
        link = self.__dict__.get("_pyro")
        if link is not None and name in link.methods:
            return self._pyroMethod(link, name)
        if link is None or (name.startswith("_") and not may_be_remote(name)):
            raise AttributeError("proxy has no attribute %r, and it is not a name that can be exposed" % name)
        if name in link.attrs:
            return with_retries(link.max_retries, self._pyroInvoke, calls.GETATTR_METHOD, (name,), None)
        if self._pyroLearn():
            return getattr(self, name)
        raise AttributeError("remote object '%s' has no exposed attribute or method '%s'" % (link.uri, name))

    def _pyroMethod(self, link: Link, name: str) -> _RemoteMethod:
        if type(self) is not Proxy or not _HOOKS.isdisjoint(self.__dict__):
            return _RemoteMethod(self._pyroInvoke, name, link.max_retries)
        # One without overridden methods keeps it: the next look finds it in the instance, without __getattr__ (0.7 us). It
        # refers to the link, not to the proxy, so that the proxy goes away, and the connection with it, when it is dropped.
        method = self.__dict__[name] = _RemoteMethod(functools.partial(_invoke, link), name)
        return method

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_pyro" or hasattr(type(self), name):
            object.__setattr__(self, name, value)
            if name in _HOOKS:  # replaced for this proxy: the methods that are kept would go past it
                self._pyroForgetMethods()
            return
        if name.startswith("_pyro"):
            if type(self) is Proxy:
                raise AttributeError("a proxy has no attribute '%s'" % name)
            object.__setattr__(self, name, value)  # a subclass's own
            return
        self._pyroLearn()
        if name not in self._pyro.attrs:
            raise AttributeError("remote object '%s' has no exposed attribute '%s'" % (self._pyro.uri, name))
        with_retries(self._pyro.max_retries, self._pyroInvoke, calls.SETATTR_METHOD, (name, value), None)

    def __delattr__(self, name: str) -> None:
        if name in self._pyro.attrs or name in self._pyro.methods:
            raise AttributeError("'%s' of remote object '%s' cannot be deleted: clients can call methods, read attributes and "
                                 "assign those that have a setter" % (name, self._pyro.uri))
        object.__delattr__(self, name)

    def _pyroLearn(self) -> bool:
        """Connect if nothing is known yet about what the object exposes, and tell whether that was so."""
        if self._pyro.methods or self._pyro.attrs:
            return False
        self._pyroConnect()
        return True

    def _pyroInvoke(self, methodname: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int = 0,
                    objectId: Optional[str] = None) -> Any:
        """
        Call a method of the object once, whether or not it is known to be exposed.

        Every call goes through here, those for attributes, batches and items of streams included: override it to see, change
        or repeat calls. `_pyroMaxRetries` is heeded by the callers.

        Args:
            kwargs: None for the reserved methods, which take no keyword arguments.
            flags: FLAGS constants of the protocol module.
            objectId: call this object of the same daemon instead.
        """
        link = self._pyro
        connection = link.maybe_ready() or self._pyroConnect()
        if methodname in link.oneway:
            flags |= protocol.FLAGS_ONEWAY
        result = link.call(connection, methodname, vargs, kwargs, flags, objectId, self._pyroAnnotations())
        if type(result) is calls.StreamOpened:
            return ItemStream(str(result.stream_id), self)
        return result

    def _pyroInvokeBatch(self, calls: Sequence[BatchedCall], oneway: bool = False) -> Any:
        """
        Make the calls of a batch, in one request.

        Args:
            calls: of each the method's name, the positional and the keyword arguments.
            oneway: do not wait for the results.

        Returns:
            The list of results, in which the last one may be an ExceptionWrapper; None with oneway.
        """
        flags = protocol.FLAGS_BATCH | (protocol.FLAGS_ONEWAY if oneway else 0)
        return with_retries(self._pyro.max_retries, self._pyroInvoke, BATCH_METHOD, calls, None, flags)

    def _pyroAnnotations(self) -> Optional[Dict[str, bytes]]:
        """Give annotations to send with every request, besides those in current_context. To be overridden."""
        return None

    # ------------------------------------------------------------ connecting

    def _pyroBind(self) -> bool:
        """
        Connect now, and replace a PYRONAME or PYROMETA uri by the PYRO uri that it leads to.

        Returns:
            False if the proxy was connected before.
        """
        connected = self._pyro.maybe_ready() is not None
        if not connected or self._pyro.uri.protocol != "PYRO":
            self._pyroConnect(replace_uri=True)
        return not connected

    def _pyroConnect(self, replace_uri: bool = False) -> Connection:
        self._pyroForgetMethods()
        return self._pyro.connect(self._pyroValidateHandshake, replace_uri)

    def _pyroGetMetadata(self, objectId: Optional[str] = None, known_metadata: Optional[Mapping[str, Any]] = None) -> None:
        """
        Learn what the object exposes: ask its daemon, now and again, or take what is known.

        Args:
            objectId: ask about this object of the same daemon instead.
            known_metadata: a dict with the keys methods, oneway and attrs; no question is asked.

        Raises:
            PyroError: the object exposes nothing.
        """
        if not known_metadata:
            link = self._pyro
            if link.maybe_ready() is None:
                self._pyroConnect()  # this learns what the own object exposes
                if objectId is None:
                    return
            known_metadata = self._pyroInvoke("get_metadata", [objectId or link.object_id], {}, objectId=DAEMON_NAME)
        self._pyroForgetMethods()
        self._pyro.learn(known_metadata)

    def _pyroRelease(self) -> None:
        """Close the connection; the next use of the proxy makes a new one. Any thread may do this."""
        self._pyro.release()

    def _pyroReconnect(self, tries: int = 100000000) -> None:
        """
        Close the connection and make a new one, waiting a little longer after every failure.

        Raises:
            ConnectionClosedError: it failed for the last time.
        """
        if tries < 1:
            raise ValueError("tries must be at least 1, not %r" % tries)
        self._pyroRelease()
        reconnect(self._pyroConnect, tries)

    def _pyroValidateHandshake(self, response: Any) -> None:
        """Look at what the server answered in the handshake; raise an exception to refuse it. To be overridden."""
        return

    def _pyroClaimOwnership(self) -> None:
        """Make the calling thread the owner of this proxy; its connection stays."""
        self._pyro.claim()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None:
        self._pyroRelease()

    def _pyroForgetMethods(self) -> None:
        for name in [name for name, value in self.__dict__.items() if type(value) is _RemoteMethod]:
            del self.__dict__[name]

    # ------------------------------------------------------------ operators, see also ProxyOperators

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Proxy) and self._pyro.uri == other._pyro.uri)

    def __hash__(self) -> int:
        return hash(self._pyro.uri)

    def __repr__(self) -> str:
        connection = self._pyro.connection
        state = "not connected" if connection is None else "connected %s" % connection.family()
        return "<%s at 0x%x; %s; for %s>" % (WIRE_TAG, id(self), state, self._pyro.uri)

    def __dir__(self) -> List[str]:
        return sorted({*object.__dir__(self), *self._pyro.methods, *self._pyro.attrs})

    def _pyroExposes(self, name: str) -> bool:
        self._pyroLearn()
        return name in self._pyro.methods

    def _pyroOperator(self, name: str) -> Callable[..., Any]:
        if not self._pyroExposes(name):
            raise UnsupportedOperatorError("remote object '%s' has no exposed method '%s'" % (self._pyro.uri, name))
        return _RemoteMethod(self._pyroInvoke, name, self._pyro.max_retries)

    # ------------------------------------------------------------ copies

    def __getstate__(self) -> ProxyState:
        link = self._pyro
        return (str(link.uri), tuple(sorted(link.oneway)), tuple(sorted(link.methods)), tuple(sorted(link.attrs)),
                link.handshake, link.serializer_name)

    def __setstate__(self, state: Sequence[Any]) -> None:
        # Pyrolite sends more than these six
        uri, oneway, methods, attrs, handshake, serializer_name = state[:STATE_ENTRIES]
        link = Link(URI(uri))
        link.oneway, link.methods, link.attrs = set(oneway), set(methods), set(attrs)
        link.handshake = handshake
        self._pyroForgetMethods()
        self._pyro = link
        if serializer_name is not None:
            self._pyroSerializer = serializer_name

    def __copy__(self) -> Proxy:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied.__setstate__(self.__getstate__())
        copied._pyro.timeout = self._pyro.timeout
        copied._pyro.max_retries = self._pyro.max_retries
        copied._pyro.raw_response = self._pyro.raw_response
        return copied

    def __deepcopy__(self, memo: Any) -> Proxy:
        return self.__copy__()


def _invoke(link: Link, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Do what `_pyroInvoke` does for proxies that override nothing: at once, if the connection is ready."""
    connection = link.maybe_ready()
    if (connection is None or link.max_retries or Proxy._pyroInvoke is not _own_invoke
            or Proxy._pyroAnnotations is not _own_annotations):
        return with_retries(link.max_retries, _proxy_with(link)._pyroInvoke, name, args, kwargs)
    result = link.call(connection, name, args, kwargs, protocol.FLAGS_ONEWAY if name in link.oneway else 0)
    if type(result) is calls.StreamOpened:
        return ItemStream(str(result.stream_id), _proxy_with(link))
    return result


# A program may replace these on the class: then they are called.
_own_invoke, _own_annotations = Proxy._pyroInvoke, Proxy._pyroAnnotations


def _proxy_with(link: Link) -> Proxy:
    """Give another proxy that shares a link; whoever needs one does not keep the first one alive."""
    proxy = Proxy.__new__(Proxy)
    proxy._pyro = link
    return proxy


def _proxy_from_wire(state: Sequence[Any], convert: classes.Convert) -> Proxy:
    # nothing is used before its exact type is known: it came over the network
    if not (len(state) >= STATE_ENTRIES and type(state[0]) is str and all(map(plain.is_texts, state[1:4]))
            and (state[5] is None or type(state[5]) is str)):
        raise ValueError("invalid Proxy state: %s" % plain.text_of(state))
    proxy = Proxy.__new__(Proxy)
    proxy.__setstate__(state)
    proxy._pyro.seal()
    proxy._pyro.handshake = convert(state[4])
    return proxy


def _deliver(proxy: Proxy) -> None:
    proxy._pyro.disown()  # the method that gets it may run in another thread, as a oneway call does


classes.register_own_class(Proxy, WIRE_TAG, Proxy.__getstate__, _proxy_from_wire, _deliver)


def locate_ns(host: Host = "", port: Optional[int] = None, broadcast: bool = True, *, delay_time: float = 0.0) -> Proxy:
    """
    Return a proxy for a name server somewhere in the network.

    It is connected, unless the name server was found by a broadcast.

    Args:
        host: where the name server is; without it, look at this machine, ask by broadcast, then try NS_HOST.
        port: of the name server if the host is given, else of the broadcast responder; the configured one if None.
        broadcast: whether to use broadcasts at all; with the setting BROADCAST_LOOKUP off none are used anyway.
        delay_time: seconds to wait for a name server to be there; 0 stands for the setting NS_LOOKUP_DELAY.

    Raises:
        NamingError: there is none; the text lists every place that was looked at.
    """
    return discovery.retry_until_found(
        lambda: discovery.locate(_bound_proxy, Proxy, host, port, broadcast), delay_time)


def _bound_proxy(uri: URI, limit_seconds: Optional[float]) -> Proxy:
    proxy = Proxy(uri)
    usual_timeout = proxy._pyroTimeout
    proxy._pyroTimeout = discovery.shorter(limit_seconds, effective_timeout(usual_timeout))
    proxy._pyroBind()
    proxy._pyroTimeout = usual_timeout
    return proxy


# Modules that programs reach through this one.
_MODULES = {name: "." + name for name in (
    "callcontext", "constants", "core", "errors", "protocol", "serializers", "socketutil")}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name], __package__)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
