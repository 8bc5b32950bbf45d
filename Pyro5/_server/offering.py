"""Connections that become those of the server's proxies: their client offers them, so that its objects can be called."""
from __future__ import annotations

import logging
from typing import Any

from .._net.offered_sockets import offered_sockets
from .._wire.features import CALLBACKS

__all__ = ["OfferedConnection", "is_offering"]

log = logging.getLogger("Pyro5.server.loop")


def is_offering(connection: Any) -> bool:
    """Return whether a connection has no handshake yet, or will be offered: only clients that do so announce the feature."""
    if not hasattr(connection, "handshake_done"):
        return False
    return not connection.handshake_done or connection.features is not None and CALLBACKS in connection.features


class OfferedConnection:
    """Stands in the place of a deferred call: it runs when the server has sent its replies and stopped using the connection.

    Args:
        host: the name of the client in the URIs of its objects.
    """

    is_oneway = False

    def __init__(self, connection: Any, host: str) -> None:
        self._connection = connection
        self._host = host
        self.running = self  # what the server cancels at its end

    def cancel(self, reason: str) -> None:
        """Do nothing: it takes no time."""

    def start(self) -> None:
        """Remove the connection from the server, and make it available to proxies."""
        connection = self._connection
        sock = connection.give_away()
        if sock is not None:
            log.debug("client %s offers a connection for callbacks", connection.peer_address)
            offered_sockets.add(self._host, sock, connection.server)
