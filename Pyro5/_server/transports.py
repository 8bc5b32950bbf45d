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
    server_class = SERVER_TYPES.get(config.SERVERTYPE)
    if server_class is None:
        reason = ValueError("the setting SERVERTYPE is one of: %s" % ", ".join(SERVER_TYPES))
        raise errors.PyroError("invalid server type '%s'" % config.SERVERTYPE) from reason
    server = server_class(callbacks)
    try:
        server.init(daemon, str(server_host() if host is None else host), port, unixsocket)
    except BaseException:
        server.discard()
        raise
    return server


def nat_address(nathost: Host, natport: Optional[int], unixsocket: Optional[str]) -> Any:
    """Return (host, port) to publish instead of the address listened on, None without NAT; port 0: the same port."""
    if unixsocket:
        if nathost or natport:
            raise ValueError("nathost and natport cannot be used with a Unix domain socket")
        return None
    nathost = nathost or config.NATHOST
    natport = config.NATPORT or 0 if natport is None else natport
    if not nathost:
        if natport:
            raise ValueError("natport %d was given without nathost" % natport)
        return None
    return str(nathost), natport
