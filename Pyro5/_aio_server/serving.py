"""Publish objects and serve them, in one call."""
from __future__ import annotations

import asyncio
import logging
from typing import Any, Dict, Mapping, Optional

from .. import errors
from .._aio.naming import locate_ns
from .._aio.proxy import Proxy
from .._server.transports import Host
from .._values.uri import URI
from ..server import REMOVE_TIMEOUT_SECONDS
from .daemon import Daemon

__all__ = ["serve"]

log = logging.getLogger("Pyro5.server")


async def serve(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0, daemon: Optional[Daemon] = None,
                use_ns: bool = True, verbose: bool = True) -> None:
    """Register objects and classes, and serve them until the daemon is shut down or the task is cancelled. Then remove their
    names from the name server.

    Args:
        objects: object or class -> name; None: a generated id, and no name in the name server.
        host, port: the address for a new daemon (ignored if `daemon` is given).
        daemon: use this daemon; it is closed at the end, like a new one.
        use_ns: register the names in the name server; if False, the names are the object ids in the daemon.
        verbose: print what is registered.

    Raises:
        NamingError: no name server was found.
    """
    names: Dict[str, URI] = {}
    nameserver: Optional[Proxy] = None
    async with daemon if daemon is not None else Daemon(host, port) as serving:
        try:
            if use_ns:
                nameserver = await locate_ns()
            await _publish(serving, objects, nameserver, verbose, names)
            if verbose:
                print("Pyro daemon running.", flush=True)
            await serving.wait_for_shutdown()
        finally:
            if nameserver is not None:
                await _remove_names(names, nameserver)


async def _publish(daemon: Daemon, objects: Mapping[Any, Optional[str]], nameserver: Any, verbose: bool,
                   names: Dict[str, URI]) -> None:
    """Register objects; the names that are registered in the name server are added to `names`."""
    for obj, name in objects.items():
        uri = daemon.register(obj, name if nameserver is None else None)
        if nameserver is not None and name is not None:
            names[name] = uri
            await nameserver.register(name, uri)
        if verbose:
            print("Object %r:\n    uri = %s%s" % (obj, uri, "\n    name = %s" % name if name else ""), flush=True)


async def _remove_names(names: Mapping[str, URI], nameserver: Any) -> None:
    """Remove names from the name server, except those that have been registered with another URI meanwhile."""
    try:
        nameserver._pyroTimeout = REMOVE_TIMEOUT_SECONDS  # it may be unreachable
        await asyncio.gather(*[_remove_name(name, uri, nameserver) for name, uri in names.items()])
    except errors.PyroError as x:
        log.warning("the names of the objects that were served may still be in the name server: %s", x)
    finally:
        await nameserver._pyroRelease()


async def _remove_name(name: str, uri: URI, nameserver: Any) -> None:
    try:
        if URI(await nameserver.lookup(name)) == uri:
            await nameserver.remove(name)
    except (errors.NamingError, TypeError):  # it has been removed meanwhile; or the answer is no URI
        return


serve.__module__ = "Pyro5.aio"
