"""The client: proxies, which call the methods of remote objects as if these were local objects."""
from __future__ import annotations

import functools
import importlib
import logging
import socket
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from . import LazyModule, protocol
from . import config as config
from ._client.call_options import checked_pick
from ._client.connecting import first_values
from ._client.connector import connected_socket_uri
from ._client.link import Link
from ._client.methods import _RemoteMethod, repeated
from ._client.name_server import NameServerMethods, located
from ._client.operators import ProxyOperators, may_be_remote
from ._client.plain_calls import NOT_MADE, call_plainly
from ._client.proxy_state import STATE_ENTRIES, ProxyState
from ._client.retry import Retry
from ._messages import replies, requests
from ._messages.handshake import HELLO
from ._messages.requests import BATCH_METHOD, SerializedBlob
from ._net.addresses import Host
from ._observe.interceptors import of_clients
from ._values import classes, plain
from ._values.uri import URI
from .callcontext import current_context as current_context
from .constants import DAEMON_NAME

if TYPE_CHECKING:
    from ._client import batch, interception, results, streams
    from ._client.batch import BatchedCall, BatchProxy, _BatchedRemoteMethod as _BatchedRemoteMethod
    from .typed import ProxyClass
else:
    ProxyClass = type
    batch = LazyModule(globals(), "._client.batch")
    interception = LazyModule(globals(), "._client.interception")
    results = LazyModule(globals(), "._client.results")  # for registered types
    streams = LazyModule(globals(), "._client.streams")

__all__ = ["Proxy", "BatchProxy", "SerializedBlob", "locate_ns"]

log = logging.getLogger("Pyro5.client")

# Methods that a program may replace on a single proxy. That proxy keeps no methods, so that every call uses the replacement.
_HOOKS = frozenset(("_pyroInvoke", "_pyroAnnotations", "_pyroValidateHandshake"))
WIRE_TAG = "Pyro5.client.Proxy"


class Proxy(ProxyState, ProxyOperators, metaclass=ProxyClass):
    """Represents a remote object: method calls and attribute accesses are sent to it over the network.

    Any thread may use a proxy. Calls of several threads run at the same time, over up to PROXY_CONNECTIONS connections, if
    the server says that this makes no difference; otherwise they take turns on one connection, as for objects with
    sessions, and servers of other releases. With the setting PROXY_SHARING "strict" a proxy belongs to one thread, as in
    other releases: the one that created it, that called `_pyroClaimOwnership` last, or, for a proxy that was received, that
    used it first (and threads that serve the same client as that one). Using it in another thread then raises PyroError.

    The proxy connects when it is first used, and again at the next use after a communication error or `_pyroRelease`. Use it
    as a context manager to release the connections at the end of the block.

    Names that begin with ``_pyro``, and those that a subclass defines, are attributes of the proxy. All other names are
    attributes of the remote object.

    Args:
        uri: the URI of the object, a str or URI. With connected_socket only the name of the object is used.
        connected_socket: a socket that is connected to a daemon. The proxy uses it and never closes it.
        timeout: seconds that a call may take, as `_pyroTimeout`; None for the setting COMMTIMEOUT.
        retry: how calls that fail are repeated, as `_pyroRetry`; None: as the setting MAX_RETRIES says.
        wait_for_ready: wait until the server can be reached, instead of raising an error; with a timeout, as long as that.
        serializer: name of the serializer, as `_pyroSerializer`; None for the setting SERIALIZER.
        handshake: application data to send in the handshake, as `_pyroHandshake`.
        pick: which object to prefer if several are registered under a name: ``random``, or ``least`` for the one that clients
            have looked up least often. Those that cannot be reached are skipped.

    Raises:
        PyroError: the uri is not valid.
        ValueError: the serializer, or pick, is unknown.
    """

    def __class_getitem__(cls, interface: Any) -> Any:
        """Return this class, or what creates proxies that rebuild results of types of `register_types`. See Pyro5.typed."""
        return results.with_interface(cls, interface)

    def __init__(self, uri: Union[str, URI], connected_socket: Optional[socket.socket] = None, *,
                 timeout: Optional[float] = None, retry: Optional[Retry] = None, wait_for_ready: bool = False,
                 serializer: Optional[str] = None, handshake: Any = HELLO, pick: str = "random") -> None:
        if connected_socket is not None:
            uri = connected_socket_uri(uri)
        # The only attribute: everything else is in the link, so that a copy, and code without a proxy, can use it.
        self._pyro = Link(URI(uri), connected_socket)
        self._pyro.handshake = first_values.handshake if handshake is HELLO else handshake
        self._pyro.pick = checked_pick(pick)
        self._pyro.wait_for_ready = wait_for_ready
        if timeout is not None:
            self._pyroTimeout = timeout
        if retry is not None:
            self._pyroRetry = retry
        if serializer is not None:
            self._pyroSerializer = serializer

    # ------------------------------------------------------------ calls

    def __getattr__(self, name: str) -> Any:
        # Python calls this only for names that are not attributes of the proxy itself. Methods come first, because they are
        # used most. Read _pyro from the instance: as an attribute it would call this method again if it is missing.
        link = self.__dict__.get("_pyro")
        if link is not None and name in link.methods:
            return self._pyroMakeMethod(link, name)
        if link is None or (name.startswith("_") and not may_be_remote(name)):
            raise AttributeError("a proxy has no attribute %r, and this name cannot be exposed by remote objects" % name)
        # Attributes are requested for every access, their values may change. The name may also be new to a proxy that has not
        # been connected yet: then connect and look again.
        if name in link.attrs:
            value = _access(self, requests.GETATTR_METHOD, (name,))
            return results.rebuilt(link.results, name, value) if link.results else value
        if not self._pyroEnsureMetadata() and not link.has_member(name):
            raise AttributeError("remote object '%s' has no exposed attribute or method '%s'" % (link.uri, name))
        return getattr(self, name)

    def _pyroMakeMethod(self, link: Link, name: str) -> _RemoteMethod:
        """Return a method of the object, and keep it in the instance if nothing of the proxy is overridden."""
        if type(self) is not Proxy or not _HOOKS.isdisjoint(self.__dict__) or name in link.results:
            return self._pyroMethod(name)
        # A proxy without overridden methods keeps the method in the instance: the next access does not call __getattr__, which
        # saves 0.7 us per call. The method refers to the link and not to the proxy: without a reference cycle, a proxy that is
        # dropped is destroyed at once, and its connection closed.
        method = self.__dict__[name] = _RemoteMethod(functools.partial(_invoke, link), name, 0, link)
        return method

    def _pyroMethod(self, name: str) -> _RemoteMethod:
        """Return a method of the object, whose calls go through `_pyroInvoke`."""
        link = self._pyro
        invoke: Callable[..., Any] = self._pyroInvoke
        if name in link.results:
            invoke = functools.partial(results.send_and_rebuild, link, invoke)
        if link.retry is None:
            return _RemoteMethod(invoke, name, link.max_retries, link)
        return _RemoteMethod(functools.partial(repeated, link, invoke), name, 0, link)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_pyro" or hasattr(type(self), name):
            object.__setattr__(self, name, value)
            if name in _HOOKS:  # replaced on this proxy: the methods kept in the instance do not call it
                self._pyroClearMethods()
            return
        # An unknown name of this form is a mistake. Sending it to the server would turn the mistake into a remote
        # error.
        if name.startswith("_pyro"):
            if type(self) is Proxy:
                raise AttributeError("a proxy has no attribute '%s'" % name)
            object.__setattr__(self, name, value)  # an attribute of the subclass
            return
        self._pyroEnsureMetadata()
        if not self._pyro.has_attribute(name):
            raise AttributeError("remote object '%s' has no exposed attribute '%s'" % (self._pyro.uri, name))
        _access(self, requests.SETATTR_METHOD, (name, value))

    def __delattr__(self, name: str) -> None:
        if name in self._pyro.attrs or name in self._pyro.methods:
            raise AttributeError("'%s' of remote object '%s' cannot be deleted: clients can only call methods, and read and "
                                 "assign attributes" % (name, self._pyro.uri))
        object.__delattr__(self, name)

    def _pyroEnsureMetadata(self) -> bool:
        """Connect if the metadata of the object is not known yet, and return whether this was necessary."""
        link = self._pyro
        # Once known, the names are kept even after a lost connection: no access has to connect only to look.
        if link.methods or link.attrs:
            return False
        connect = self._pyroConnect
        if link.retry is not None or link.max_retries:
            connect = functools.partial(repeated, link, lambda name: self._pyroConnect(), "connect")
        link.connect_once(connect, lambda: bool(link.methods or link.attrs))
        return True

    def _pyroInvoke(self, methodname: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int = 0,
                    objectId: Optional[str] = None) -> Any:
        """Call a method of the object once. It need not be among the exposed methods that the proxy knows.

        All calls use this method if it is overridden, including those for attributes, batches and items of streams. Override
        it to observe, change or repeat calls. The callers of this method repeat it as `_pyroMaxRetries` or `_pyroRetry` says.

        Args:
            methodname: the name of the method.
            vargs: the positional arguments.
            kwargs: the keyword arguments; None for the reserved methods, which have none.
            flags: FLAGS constants of the protocol module.
            objectId: the id of another object of the same daemon, to call that one.

        Returns:
            The result of the method; None for a oneway call.

        Raises:
            CommunicationError: connecting or the call failed.
            PyroError: the calling thread is not the owner of the proxy.
            Exception: the exception that the method raised.
        """
        if of_clients.installed and objectId is None:
            return interception.run_intercepted(self._pyro, self._pyroSend, methodname, vargs, kwargs, flags)
        return self._pyroSend(methodname, vargs, kwargs, flags, objectId)

    def _pyroSend(self, methodname: str, vargs: Any, kwargs: Any, flags: int, objectId: Optional[str] = None) -> Any:
        """Do what `_pyroInvoke` does, without the interceptors."""
        link = self._pyro
        # the items of a stream are requested over the connection that opened it
        home = link.stream_homes.get(vargs[0]) if objectId == DAEMON_NAME and link.stream_homes and vargs else None
        connection = link.acquire_ready()
        if connection is not None and home is not None and connection is not home:
            link.unlock(connection)
            connection = None
        if connection is None:
            connection = link.acquire(self._pyroConnect, self._pyroValidateHandshake, home)
        flags, annotations = link.prepare(connection, methodname, flags, self._pyroAnnotations)
        result = link.call(connection, methodname, vargs, kwargs, flags, objectId, annotations)
        # the exact class: an isinstance test would run code of the class of the result
        if type(result) is replies.StreamOpened:
            return streams.ItemStream(str(result.stream_id), self)
        return result

    def _pyroInvokeBatch(self, calls: Sequence[BatchedCall], oneway: bool = False) -> Any:
        """Send the calls of a batch in one request.

        Args:
            calls: the method name, the positional and the keyword arguments of each call.
            oneway: do not wait for the results.

        Returns:
            The list of results, of which the last one may be an ExceptionWrapper; None if oneway is true.
        """
        flags = protocol.FLAGS_BATCH | (protocol.FLAGS_ONEWAY if oneway else 0)
        values = repeated(self._pyro, self._pyroInvoke, BATCH_METHOD, calls, None, flags)
        return results.rebuilt_batch(self._pyro.results, calls, values) if self._pyro.results else values

    def _pyroAnnotations(self) -> Optional[Dict[str, bytes]]:
        """Return annotations (4-character id -> bytes) to send with every request, in addition to those in current_context.

        Override as needed. Called in the thread of each call; what it raises is raised by the call, which is not made.
        """
        return None

    # ------------------------------------------------------------ with statements, and methods kept in the instance

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None:
        self._pyroRelease()

    def _pyroClearMethods(self) -> None:
        """Remove the methods that are kept in the instance. Any thread may call this."""
        for name in [name for name, value in list(self.__dict__.items()) if type(value) is _RemoteMethod]:
            self.__dict__.pop(name, None)  # another thread may do the same

    # ------------------------------------------------------------ operators, see also ProxyOperators

    def __eq__(self, other: object) -> bool:
        # never remote: proxies are kept in sets and dicts, where a comparison must not fail or block
        return self is other or (isinstance(other, Proxy) and self._pyro.uri == other._pyro.uri)

    def __hash__(self) -> int:
        return hash(self._pyro.uri)

    def __repr__(self) -> str:
        connection = self._pyro.connection
        state = "not connected" if connection is None else "connected %s" % connection.family()
        return "<%s at 0x%x; %s; for %s>" % (WIRE_TAG, id(self), state, self._pyro.uri)

    def _pyroExposes(self, name: str) -> bool:
        """Return whether the object exposes a method with this name. Connects if that is not known yet."""
        self._pyroEnsureMetadata()
        return name in self._pyro.methods


def _invoke(link: Link, name: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int = 0) -> Any:
    """Call a method as `_pyroInvoke` does, for proxies that override nothing.

    If the call is no plain one, but there is a usable connection, this saves the calls of repeated() and _pyroInvoke().
    """
    connection = None
    # Nothing is replaced on the class either.
    if not of_clients.installed and Proxy._pyroInvoke is _own_invoke and Proxy._pyroAnnotations is _own_annotations:
        result = NOT_MADE if flags else call_plainly(link, name, args, kwargs)
        if result is not NOT_MADE:
            return result if type(result) is not replies.StreamOpened else _stream_of(link, result)
        if link.max_retries or link.retry is not None:
            return repeated(link, functools.partial(_attempt, _proxy_sharing(link)), name, args, kwargs, flags)
        connection = link.acquire_ready()
    if connection is None:
        return repeated(link, _proxy_sharing(link)._pyroInvoke, name, args, kwargs, flags)
    result = link.call(connection, name, args, kwargs, protocol.FLAGS_ONEWAY if name in link.oneway else flags)
    return result if type(result) is not replies.StreamOpened else _stream_of(link, result)


def _access(proxy: Proxy, method: str, args: Sequence[Any]) -> Any:
    """Read or assign an attribute of the object."""
    link, invoke = proxy._pyro, proxy._pyroInvoke
    if (type(proxy) is Proxy and _HOOKS.isdisjoint(proxy.__dict__) and not of_clients.installed
            and Proxy._pyroInvoke is _own_invoke and Proxy._pyroAnnotations is _own_annotations):  # as in _invoke()
        result = call_plainly(link, method, args, None)
        if result is not NOT_MADE:
            return result if type(result) is not replies.StreamOpened else streams.ItemStream(str(result.stream_id), proxy)
        if link.max_retries or link.retry is not None:
            invoke = functools.partial(_attempt, proxy)
    return repeated(link, invoke, method, args, None)


def _attempt(proxy: Proxy, name: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int = 0) -> Any:
    """Make one attempt of a call that is repeated if it fails."""
    result = NOT_MADE if flags else call_plainly(proxy._pyro, name, args, kwargs, True)
    if result is NOT_MADE:
        return proxy._pyroInvoke(name, args, kwargs, flags)
    return result if type(result) is not replies.StreamOpened else streams.ItemStream(str(result.stream_id), proxy)


def _stream_of(link: Link, opened: replies.StreamOpened) -> streams.ItemStream:
    return streams.ItemStream(str(opened.stream_id), _proxy_sharing(link))


# The original functions: a program may replace them on the class, and _invoke() then has to call the replacements.
_own_invoke, _own_annotations = Proxy._pyroInvoke, Proxy._pyroAnnotations


def _proxy_sharing(link: Link) -> Proxy:
    """Return a second proxy with the same link, for code that must not keep the first proxy alive."""
    proxy = Proxy.__new__(Proxy)
    proxy._pyro = link
    return proxy


def _proxy_from_wire(state: Sequence[Any], convert: classes.Convert) -> Proxy:
    # untrusted: check the exact types first, so that no code of the values' own classes runs
    if not (len(state) >= STATE_ENTRIES and type(state[0]) is str and all(map(plain.is_texts, state[1:4]))
            and (state[5] is None or type(state[5]) is str)):
        raise ValueError("invalid Proxy state: %s" % plain.text_of(state))
    proxy = Proxy.__new__(Proxy)
    proxy.__setstate__(state)
    # Converters of the program run while the message is decoded. They must not call the proxy: an attacker could then make
    # this process connect to any address just by sending a message.
    proxy._pyro.mark_in_transit()
    proxy._pyro.handshake = convert(state[4])
    return proxy


def _on_delivery(proxy: Proxy) -> None:
    # The decoding thread does not become the owner: a oneway call that gets the proxy runs in another thread.
    proxy._pyro.clear_owner()


classes.register_own_class(Proxy, WIRE_TAG, Proxy.__getstate__, _proxy_from_wire, _on_delivery)


class NameServerProxy(NameServerMethods, Proxy):
    """A proxy for a name server, see `locate_ns`. It is sent to other processes as an ordinary proxy."""


_own: Any = classes.own_class(WIRE_TAG)
classes.register_own_dict(NameServerProxy, WIRE_TAG, lambda proxy: {"__class__": WIRE_TAG, "state": proxy.__getstate__()},
                          _own.build, _own.deliver)


def locate_ns(host: Host = "", port: Optional[int] = None, broadcast: bool = True, *,
              delay_time: float = 0.0) -> NameServerProxy:
    """Find a name server, and return a proxy for it.

    The proxy is connected, unless the name server was found by a broadcast.

    Args:
        host: the host of the name server. By default this machine is tried, then a broadcast, then the setting NS_HOST.
        port: the port of the name server if host is given, otherwise of the broadcast responder; None for the setting.
        broadcast: whether to use broadcasts; none are sent either if the setting BROADCAST_LOOKUP is off.
        delay_time: seconds to wait until a name server is running; 0 means the setting NS_LOOKUP_DELAY.

    Raises:
        NamingError: no name server was found; the text lists the places that were tried.
    """
    found: NameServerProxy = located(NameServerProxy, (host, port, broadcast), delay_time)
    return found


# Modules, and some classes, that programs use as attributes of this one.
_MODULES = frozenset(("callcontext", "constants", "core", "errors", "protocol", "serializers", "socketutil"))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module("." + name, __package__)
    if name in ("BatchProxy", "_BatchedRemoteMethod"):
        return getattr(batch, name)
    if name == "_StreamResultIterator":
        return streams._StreamResultIterator
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
