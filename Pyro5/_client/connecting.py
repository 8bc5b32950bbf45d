"""Open a connection of a client, and what it sends first."""
from __future__ import annotations

from typing import Any, Optional

from .. import config, socketutil
from .._messages.handshake import HELLO
from .._net import tls
from .._values.uri import URI
from .connection import Connection
from .failures import connection_failure


class FirstValues:
    """What connections of this process send if the program sets nothing else. The command line tools change it.

    Attributes:
        handshake: for the server's validateHandshake.
    """

    handshake: Any = HELLO


first_values = FirstValues()


def open_connection(uri: URI, timeout: Optional[float], max_size: int = 0) -> Connection:
    """Connect to the location of a PYRO URI, with TLS if the setting SSL is on, and return the connection before the
    handshake.

    Args:
        timeout: limit in seconds of connecting and of every later operation; None is no limit.
        max_size: size of the largest message to accept, in bytes; 0 is no limit.

    Raises:
        TimeoutError: the server did not answer in time.
        CommunicationError: the server cannot be reached, or the TLS handshake failed.
    """
    address = uri.sockname or (uri.host, uri.port)
    # Before connecting: a wrong certificate file is an error of the program and not one of the connection.
    tls_context = tls.client_context() if config.SSL else None
    try:
        sock = socketutil.create_socket(connect=address, timeout=timeout, ipv6=None, sslContext=tls_context)
    except OSError as x:
        # skip the error of create_socket in the chain: all it adds is the address, which is in this text already
        raise connection_failure(uri, x) from (x.__cause__ or x)
    return Connection(sock, str(uri), max_size)
