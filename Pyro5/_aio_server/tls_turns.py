"""TLS handshakes of many clients at once: one step in each iteration of the event loop, shared out between their addresses.

See also `_server.tls_handshakes`, which does this for the other server types.
"""
from __future__ import annotations

from typing import Any, Callable, Dict

from .._server.address_queue import AddressQueue, address_key
from .connection import AsyncConnection

HELD_BYTES = 64 * 1024  # that a client may send before it is its turn; no part of a handshake is as long


class TlsTurns:
    """Connections that have received a part of their TLS handshake. Belongs to the thread of the event loop.

    Args:
        handle: called with a connection and the received bytes, when it is its turn.
        schedule: calls a function in the next iteration of the event loop, after the events of all connections.
    """

    def __init__(self, handle: Callable[[AsyncConnection, bytes], None],
                 schedule: Callable[[Callable[[], None]], Any]) -> None:
        self._handle = handle
        self._schedule = schedule
        self._queue = AddressQueue()
        self._held: Dict[AsyncConnection, bytearray] = {}
        self._is_scheduled = False

    def add(self, connection: AsyncConnection, data: bytes) -> None:
        """Keep received bytes until it is the turn of their connection. Raises OSError if there are too many."""
        held = self._held.get(connection)
        if held is None:
            held = self._held[connection] = bytearray()
            self._queue.add(connection, address_key(connection.peer_address))
        held += data
        if len(held) > HELD_BYTES:
            raise OSError("the other side sends too much before its TLS handshake")
        self._continue()

    def take(self, connection: AsyncConnection) -> bytes:
        """Remove a connection, and return the bytes that it has received and that were not handled."""
        self._queue.discard(connection)
        return bytes(self._held.pop(connection, b""))

    def _continue(self) -> None:
        if self._queue and not self._is_scheduled:
            self._is_scheduled = True
            self._schedule(self._run)

    def _run(self) -> None:
        self._is_scheduled = False
        # Connections may have ended since this was scheduled.
        if self._queue:
            connection = self._queue.take()
            self._handle(connection, bytes(self._held.pop(connection)))
        self._continue()
