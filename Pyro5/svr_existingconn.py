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
        # Fails for a socket that is not connected, before anything of it was changed.
        connected_socket.getpeername()
        self._timeout_before = connected_socket.gettimeout()
        # The loop must never block on it. Its owner gets the old timeout back in end().
        connected_socket.setblocking(False)
        self.sock = connected_socket
        # There is no address that others could connect to.
        self.locationStr = "./u:<<not-bound>>"
        self.watch_wakeup()
        # No handshake is expected, so the limits of an accepted client hold from the first message on.
        self.add_connection(ServerConnection(connected_socket, self, self.limits.message_bytes,
                                    inflated_size=self.limits.inflated_bytes, handshake_done=True, keep_open=True))

    def end(self, connection: ServerConnection) -> None:
        super().end(connection)
        # The program may have closed it already; then there is nothing to restore.
        if self.sock.fileno() != -1:
            self.sock.settimeout(self._timeout_before)
        # The only client has gone, so the loop has nothing to do any more.
        self.shutdown()


def serve_connected(callbacks: DaemonCallbacks, daemon: Any,
                    connected_socket: socket.socket) -> SocketServer_ExistingConnection:
    """Create the server of a connected socket, ready to serve. Raises the same as init_existing()."""
    server = SocketServer_ExistingConnection(callbacks)
    try:
        server.init_existing(daemon, connected_socket)
    except BaseException:
        # The socket stays open: it was not created here.
        server.discard()
        raise
    return server
