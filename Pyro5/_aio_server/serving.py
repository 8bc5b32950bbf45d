"""Publish objects and serve them, in one call."""
from __future__ import annotations

from typing import Any, Mapping, Optional

from .._aio.naming import locate_ns
from .._daemon.transports import Host
from .daemon import Daemon
from .ending import EndOnSignals


async def serve(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0, daemon: Optional[Daemon] = None,
                use_ns: bool = True, verbose: bool = True) -> None:
    """Register objects and classes, and serve them until the daemon is shut down or the task is cancelled; in the task that
    ``asyncio.run`` runs, also until Ctrl-C or SIGTERM. Then remove their names from the name server.

    Args:
        objects: object or class -> name; None: a generated id, and no name in the name server.
        host, port: the address for a new daemon (ignored if `daemon` is given).
        daemon: use this daemon; it is closed at the end, like a new one.
        use_ns: register the names in the name server; if False, the names are the object ids in the daemon.
        verbose: print what is registered.

    Raises:
        NamingError: no name server was found.
    """
    async with daemon if daemon is not None else Daemon(host, port) as serving:
        if use_ns:
            async with await locate_ns() as nameserver:
                await _publish(serving, objects, nameserver, verbose)
        else:
            await _publish(serving, objects, None, verbose)
        with EndOnSignals(serving.shutdown):
            if verbose:
                print("Pyro daemon running.", flush=True)
            await serving.wait_for_shutdown()
    if verbose:
        print("Pyro daemon stopped.", flush=True)


async def _publish(daemon: Daemon, objects: Mapping[Any, Optional[str]], nameserver: Any, verbose: bool) -> None:
    """Register objects, and their names in the name server, from which the daemon removes them when it ends."""
    for obj, name in objects.items():
        uri = daemon.register(obj, name if nameserver is None else None)
        if nameserver is not None and name is not None:
            await daemon.register_with(nameserver, name, obj, safe=False)  # also if a server that was killed still has it
        if verbose:
            print("Object %r:\n    uri = %s%s" % (obj, uri, "\n    name = %s" % name if name else ""), flush=True)


serve.__module__ = "Pyro5.aio"
