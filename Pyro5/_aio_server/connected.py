"""A connected socket of the program, in the place of a listening one: the daemon serves its other end, without a handshake."""
from __future__ import annotations

import socket
from typing import Any

from .connection import AsyncConnection


class ConnectedSocket:
    """The connected socket that a daemon serves. It still belongs to the program: it is never closed here.

    Attributes:
        sock: that socket.
        location: what the daemon has in the place of an address.
        unreachable_reason, ssl_context: as those of a `Listener` without a port.

    Raises:
        OSError: it is not connected.
        ValueError: it is a TLS socket, which an event loop cannot use.
    """

    location = "./u:<<not-bound>>"
    unreachable_reason = ""
    ssl_context: Any = None

    def __init__(self, sock: socket.socket) -> None:
        sock.getpeername()
        if hasattr(sock, "pending"):
            raise ValueError("a daemon in an event loop cannot serve a connected TLS socket")
        self.sock = sock
        self._timeout = sock.gettimeout()
        self._is_in_use = False

    async def connect(self, loop: Any, make_protocol: Any) -> None:
        """Make the event loop serve the socket."""
        # A duplicate, which the transport closes. It shares the mode: neither blocks from now on.
        self.sock.setblocking(False)
        self._is_in_use = True
        await loop.create_connection(make_protocol, sock=self.sock.dup())

    @staticmethod
    def accept(connection: AsyncConnection) -> None:
        """Begin a connection without a handshake."""
        connection.claim_handshake()
        connection.finish_handshake()
        connection.keep_open = True

    def end(self) -> None:
        """Restore the timeout of the socket. Called when the event loop does not use it any more."""
        self._is_in_use = False
        self.close()

    def close(self) -> None:
        """Restore the timeout of the socket, unless the event loop still uses it."""
        if not self._is_in_use and self.sock.fileno() != -1:  # the program may have closed it
            self.sock.settimeout(self._timeout)
