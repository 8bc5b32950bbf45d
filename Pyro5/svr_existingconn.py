"""Serve one connected socket, such as one end of a socketpair()."""
from __future__ import annotations

import socket
from typing import Any, Optional

from ._server.callbacks import DaemonCallbacks
from ._server.connection import ServerConnection
from .svr_multiplex import SocketServer_Multiplex


class SocketServer_ExistingConnection(SocketServer_Multiplex):
    """Serves the peer of a connected socket, without a handshake. The loop ends when the peer closes its side.

    The socket still belongs to the caller: its timeout is restored at the end, and it is never closed here.
    """

    def __init__(self, callbacks: DaemonCallbacks) -> None:
        super().__init__(callbacks)
        self._timeout_before: Optional[float] = None

    def init_existing(self, daemon: Any, connected_socket: socket.socket) -> None:
        """Prepare to serve this socket.

        Raises:
            OSError: the socket is not connected.
        """
        connected_socket.getpeername()
        self._timeout_before = connected_socket.gettimeout()
        connected_socket.setblocking(False)
        self.sock = connected_socket
        self.locationStr = "./u:<<not-bound>>"
        self.watch_wakeup()
        self.add_connection(ServerConnection(connected_socket, self, self.limits.message_bytes,
                                    inflated_size=self.limits.inflated_bytes, handshake_done=True, keep_open=True))

    def end(self, connection: ServerConnection) -> None:
        super().end(connection)
        if self.sock.fileno() != -1:
            self.sock.settimeout(self._timeout_before)
        self.shutdown()


def serve_connected(callbacks: DaemonCallbacks, daemon: Any,
                    connected_socket: socket.socket) -> SocketServer_ExistingConnection:
    """Create the server of a connected socket, ready to serve. Raises the same as init_existing()."""
    server = SocketServer_ExistingConnection(callbacks)
    try:
        server.init_existing(daemon, connected_socket)
    except BaseException:
        server.discard()
        raise
    return server
