"""The part of a proxy that connects it, and closes its connection; objects of this process that its server can call."""
from __future__ import annotations

import functools
import importlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Mapping, Optional

from .. import LazyModule
from ..constants import DAEMON_NAME
from .connection import Connection
from .proxy_state import ProxyState
from .retry import reconnect, wait_until_ready

if TYPE_CHECKING:
    from . import exclusive
else:
    exclusive = LazyModule(globals(), ".exclusive")

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


class ProxyConnecting(ProxyState):
    """Base class of Proxy with the methods that concern its connections, also those that the server uses."""

    _pyroInvoke: Callable[..., Any]

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
