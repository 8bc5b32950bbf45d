"""TLS that was set up by a socket of another kind goes on over a transport of an event loop.

Event loops encrypt only connections whose TLS handshake they have done. One that a client has offered for callbacks has done
its handshake before a proxy begins to use it.
"""
from __future__ import annotations

import asyncio
from typing import Any, Optional

from .._net.tls_layer import TlsLayer
from .._net.tls_socket import TlsSocket
from ..protocol import Buffer

__all__ = ["connect_with_tls"]


class _Transport:
    """The methods of a transport that the protocol of a client uses: what is written is encrypted."""

    def __init__(self, transport: Any, layer: TlsLayer) -> None:
        self._transport = transport
        self._layer = layer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the TLS connection, its context, or what the transport knows."""
        end = self._layer.state.end
        own = {"ssl_object": end, "sslcontext": end.context}
        return own[name] if name in own else self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or about to be."""
        return bool(self._transport.is_closing())

    def write(self, data: Buffer) -> None:
        """Encrypt data, and send it."""
        self._layer.encrypt(data)
        self.flush()

    def flush(self) -> None:
        """Send what TLS has to send."""
        data = self._layer.output()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Send what is left, and close the connection."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()


class _Protocol(asyncio.Protocol):
    """Decrypts what a transport receives, for the protocol of a client."""

    def __init__(self, inner: asyncio.Protocol, layer: TlsLayer) -> None:
        self._inner = inner
        self._layer = layer
        self._transport: Any = None
        self._failure: Optional[OSError] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = _Transport(transport, self._layer)
        self._inner.connection_made(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            pieces = self._layer.receive(data)
        except OSError as x:
            self._failure = x
            self._transport.flush()  # the alert that says why
            self._transport.close()
            return
        self._transport.flush()
        for piece in pieces:
            self._inner.data_received(piece)
        if self._layer.closed:
            self._transport.close()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        # The transport refers to this object: without the rest, nothing is left to be collected as a cycle.
        inner, self._transport = self._inner, None
        inner.connection_lost(exc or self._failure)


async def connect_with_tls(protocol: asyncio.Protocol, sock: TlsSocket) -> None:
    """Make a protocol send and receive over a connected socket, whose TLS handshake is done, in the running event loop.

    The socket is closed in any case.

    Raises:
        OSError: encrypted bytes are left to be sent.
    """
    with sock:
        plain, state = sock.without_tls()
    layer = TlsLayer(state, handshake_done=True)
    try:
        await asyncio.get_running_loop().create_connection(lambda: _Protocol(protocol, layer), sock=plain)
    except BaseException:
        plain.close()
        raise
