"""The name server, without blocking the event loop. Searches and lookups run in threads of the loop's default executor."""
from __future__ import annotations

import time
from typing import Any, Optional, Union

from .. import client
from .._client import discovery
from .._client.discovery import Host
from .._values.uri import URI
from .connecting import in_thread
from .name_server import NameServerProxy
from .proxy import Proxy
from .waiting import until_ready

__all__ = ["locate_ns", "resolve", "wait_for"]


async def resolve(uri: Union[str, URI], delay_time: float = 0.0) -> URI:
    """Return the PYRO URI that a PYRONAME or PYROMETA URI refers to, as `Pyro5.api.resolve` does.

    Raises:
        NamingError: the name is not registered, or no name server was found.
        CommunicationError: the communication with the name server failed.
    """
    uri = URI(uri)
    return uri if uri.protocol == "PYRO" else await in_thread(discovery.resolve, uri, delay_time)


async def locate_ns(host: Host = "", port: Optional[int] = None, broadcast: bool = True, *,
                    delay_time: float = 0.0) -> NameServerProxy:
    """Find a name server, and return a proxy for it. Arguments as for `Pyro5.api.locate_ns`.

    Raises:
        NamingError: no name server was found; the text lists the places that were tried.
    """
    found = NameServerProxy(await in_thread(_find_ns, host, port, broadcast, delay_time))
    found._pyroLocated = (host, port, broadcast)
    return found


def _find_ns(host: Host, port: Optional[int], broadcast: bool, delay_time: float) -> URI:
    with client.locate_ns(host, port, broadcast, delay_time=delay_time) as found:
        return found._pyroUri


async def wait_for(uri: Union[str, URI], timeout: Optional[float] = None, **options: Any) -> Proxy:
    """Wait until an object can be called, and return a proxy for it, which is connected.

    Args:
        timeout: seconds to wait, None for any time.
        options: keyword arguments of Proxy.

    Raises:
        TimeoutError: the object cannot be called in time; the text has the last reason.
        PyroError: the uri is not valid.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    proxy = Proxy(uri, **options)
    await until_ready(proxy._pyroBind, deadline, str(proxy._pyroUri))
    return proxy
