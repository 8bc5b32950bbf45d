"""Create the socket server of a daemon, and determine its external address behind a NAT router."""
from __future__ import annotations

from typing import Any, Mapping, Optional, Type, Union

from .. import config, errors
from .._net.addresses import IPAddress, server_host
from ..svr_multiplex import SocketServer_Multiplex
from ..svr_threads import SocketServer_Threadpool
from .callbacks import DaemonCallbacks
from .loop import SocketServer

SERVER_TYPES: Mapping[str, Type[SocketServer]] = {"thread": SocketServer_Threadpool, "multiplex": SocketServer_Multiplex}

Host = Union[str, IPAddress, None]


def listen(callbacks: DaemonCallbacks, daemon: Any, host: Host, port: int, unixsocket: Optional[str]) -> SocketServer:
    """Create the socket server that the setting SERVERTYPE names, and start listening.

    Args:
        host: None: the setting HOST.

    Raises:
        PyroError: there is no such server type.
        OSError: cannot listen on that address.
    """
    # Read for each daemon, so that one program can have daemons of both types.
    server_class = SERVER_TYPES.get(config.SERVERTYPE)
    if server_class is None:
        # As the cause, so that the text names the setting while the class of the exception stays that of 5.x.
        reason = ValueError("the setting SERVERTYPE is one of: %s" % ", ".join(SERVER_TYPES))
        raise errors.PyroError("invalid server type '%s'" % config.SERVERTYPE) from reason
    server = server_class(callbacks)
    try:
        server.init(daemon, str(server_host() if host is None else host), port, unixsocket)
    # Else the selector and the wake-up of a daemon that could not bind would stay open until the garbage collection.
    except BaseException:
        server.discard()
        raise
    return server


def nat_address(nathost: Host, natport: Optional[int], unixsocket: Optional[str]) -> Any:
    """Return (host, port) to publish instead of the address listened on, None without NAT; port 0: the same port."""
    # A router forwards ports. There is nothing to forward for a socket in the file system.
    if unixsocket:
        if nathost or natport:
            raise ValueError("nathost and natport cannot be used with a Unix domain socket")
        return None
    nathost = nathost or config.NATHOST
    # 0 has a meaning of its own, so only None stands for "not given".
    natport = config.NATPORT or 0 if natport is None else natport
    if not nathost:
        if natport:
            raise ValueError("natport %d was given without nathost" % natport)
        return None
    # The port that was listened on is not known before, so the caller replaces 0 by it.
    return str(nathost), natport
