"""Objects of this process that the server of a proxy can call, see _callbacks.endpoint."""
from __future__ import annotations

import functools
import importlib
import threading
import weakref
from typing import Any

__all__ = ["CallbackMethods", "load_endpoint", "register_callback"]

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
            link.callbacks = load_endpoint().endpoint_of(link.bound_uri, link.serializer, link.handshake, link.timeout, adapt)
            weakref.finalize(link, link.callbacks.stop).atexit = False  # if it is not released
        return link.callbacks.register(obj)


class CallbackMethods:
    """The method of a proxy that makes objects of this process available to its server."""

    _pyro: Any

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
        link.connect_once(self._pyroConnect, link.is_ready)  # type: ignore[attr-defined]
        with _creating:
            if link.callbacks is None:
                link.callbacks = load_endpoint().endpoint_of(link.bound_uri, link.serializer, link.handshake, link.timeout)
            return link.callbacks.daemon.proxyFor(link.callbacks.register(obj).object)
