"""Connections to objects of clients: the process of the object has opened and offered them, see _net.offered_sockets."""
from __future__ import annotations

from typing import Optional

from .. import errors
from .._net.offered_sockets import is_offered, offered_sockets
from .._values.uri import URI
from . import connection
from .connection import Connection

__all__ = ["open_connection"]


def open_connection(uri: URI, timeout: Optional[float], max_size: int = 0) -> Connection:
    """Connect to the location of a PYRO URI, or use a connection that the process of the object has offered.

    Arguments and errors as for `connection.open_connection`.
    """
    if not is_offered(uri.host):
        return connection.open_connection(uri, timeout, max_size)
    try:
        sock = offered_sockets.take(str(uri.host), timeout)
        sock.settimeout(timeout)
    except OSError as x:
        raise errors.not_sent(errors.CommunicationError("cannot connect to %s: %s" % (uri, x))) from x
    return Connection(sock, str(uri), max_size)
