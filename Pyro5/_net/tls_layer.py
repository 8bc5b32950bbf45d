"""TLS for connections whose bytes are sent and received by a transport of an event loop.

The TLS of asyncio's own servers reports a connection only after its TLS handshake: the limits on the number of connections and
on the time of a handshake would not include clients that never finish it.
"""
from __future__ import annotations

import ssl
from typing import Any, List, Optional

from ..protocol import Buffer
from .tls_socket import TlsState

READ_BYTES = 64 * 1024
FEED_BYTES = 16 * 1024
EMPTY_BYTES = 64 * 1024


class TlsLayer:
    """One end of a TLS connection, without a socket. Not thread-safe.

    Args:
        state: of the connection.
        handshake_done: whether its handshake is done.

    Attributes:
        state: see above.
        handshake_done: data can be sent and received.
        closed: the other side has sent its last byte.
        has_answered: there were bytes to send, so the first, costly step of the handshake is done.
    """

    def __init__(self, state: TlsState, handshake_done: bool = False) -> None:
        self.state = state
        self._end, self._incoming, self._outgoing = state
        self.handshake_done = handshake_done
        self.closed = self.has_answered = False
        self._empty_bytes = 0  # received since the last data

    def receive(self, data: bytes) -> List[bytes]:
        """Decrypt received bytes, and return the data in pieces. Call `output` afterwards.

        Raises:
            ssl.SSLError: the other side does not use TLS, its certificate is refused, or the data is invalid.
            OSError: the other side has sent much without any data, such as key updates, each of which costs time.
        """
        # TLS without a socket: the transport moves the bytes, so the same code serves every event loop.
        # In steps: thousands of key updates fit into what is received at once.
        pieces: List[bytes] = []
        for start in range(0, len(data), FEED_BYTES):
            self._empty_bytes += self._incoming.write(data[start:start + FEED_BYTES])
            count = len(pieces)
            self._read_into(pieces)
            if len(pieces) > count:
                self._empty_bytes = 0
            elif self._empty_bytes > EMPTY_BYTES:
                raise OSError("the other side sends TLS records without data")
        return pieces

    def _read_into(self, pieces: List[bytes]) -> None:
        """Decrypt what has been fed, and append the data."""
        try:
            if not self.handshake_done:
                self._end.do_handshake()
                self.handshake_done = True
            piece = self._end.read(READ_BYTES)
            while piece:
                pieces.append(piece)
                piece = self._end.read(READ_BYTES)
            self.closed = True
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self.closed = True

    def encrypt(self, data: Buffer) -> None:
        """Encrypt data to be sent. Call `output` afterwards."""
        view = memoryview(data)
        while view:
            view = view[self._end.write(view):]

    def output(self) -> bytes:
        """Return the bytes to send now."""
        data = self._outgoing.read()
        self.has_answered = self.has_answered or bool(data)
        return data

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the certificate of the other side, as `ssl.SSLSocket.getpeercert`."""
        return self._end.getpeercert(binary_form)

    def get_channel_binding(self, cb_type: str) -> Optional[bytes]:
        """Return what identifies the connection, as `ssl.SSLSocket.get_channel_binding`."""
        return self._end.get_channel_binding(cb_type)

    def refuses_handshake(self, error: BaseException) -> bool:
        """Return whether an error means that the handshake was refused by one side, rather than interrupted."""
        return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
