"""TLS that begins on a socket of threads and goes on in an event loop."""
from __future__ import annotations

import asyncio
import os
import socket
import ssl
import unittest
from typing import Any, List, Optional, Tuple

from Pyro5._aio.connecting import connect_with_tls
from Pyro5._net.tls_socket import TlsSocket
from tests.peers import CERTIFICATES
from tests.support import PATIENCE_SECONDS

BLOCK = b"b" * 65536


class Recording(asyncio.Protocol):
    """Records what a transport reports."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.received = bytearray()
        self.paused: List[bool] = []
        self.error: Optional[Exception] = None
        self.changed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def pause_writing(self) -> None:
        self.paused.append(True)

    def resume_writing(self) -> None:
        self.paused.append(False)
        self.changed.set()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self.error = exc
        self.transport = None
        self.changed.set()

    async def wait(self, condition: Any) -> None:
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), PATIENCE_SECONDS)


class TlsTransport(unittest.IsolatedAsyncioTestCase):
    async def connected(self) -> Tuple[Recording, TlsSocket]:
        """Return the protocol of a server's end in this loop, and the client's end."""
        here, there = socket.socketpair()
        for sock in (here, there):
            sock.settimeout(PATIENCE_SECONDS)
            self.addCleanup(sock.close)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(os.path.join(CERTIFICATES, "server.pem"), os.path.join(CERTIFICATES, "server.key"))
        server = TlsSocket(here, context, True)
        client = TlsSocket(there, ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "ca.pem")), False, "127.0.0.1")
        self.addCleanup(client.close)
        handshake = self.in_thread(client.do_handshake)
        server.do_handshake()
        await handshake
        server.setblocking(False)
        protocol = Recording()
        await connect_with_tls(protocol, server)
        self.assertEqual(-1, server.fileno())
        return protocol, client

    def in_thread(self, function: Any, *args: Any) -> Any:
        return asyncio.get_running_loop().run_in_executor(None, function, *args)

    async def test_data_in_both_directions(self) -> None:
        protocol, client = await self.connected()
        client.sendall(b"question")
        await protocol.wait(lambda: protocol.received == b"question")
        protocol.transport.write(b"answer")
        self.assertEqual(b"answer", await self.in_thread(client.recv, 100))
        self.assertEqual(client.get_channel_binding(), protocol.transport.get_extra_info("ssl_object").get_channel_binding())
        protocol.transport.close()
        self.assertEqual(b"", await self.in_thread(client.recv, 100))
        await protocol.wait(lambda: protocol.transport is None)

    async def test_a_client_that_does_not_read(self) -> None:
        protocol, client = await self.connected()
        blocks = 0
        while not protocol.paused:
            protocol.transport.write(BLOCK)
            blocks += 1
        for _ in range(blocks):
            received = 0
            while received < len(BLOCK):
                received += len(await self.in_thread(client.recv, len(BLOCK) - received))
        await protocol.wait(lambda: protocol.paused == [True, False])
        protocol.transport.abort()
        await protocol.wait(lambda: protocol.transport is None)

    async def test_the_client_ends_tls(self) -> None:
        protocol, client = await self.connected()
        client.sendall(b"last")
        ended = self.in_thread(_unwrap, client)
        await protocol.wait(lambda: protocol.transport is None)
        self.assertEqual((b"last", None), (bytes(protocol.received), protocol.error))
        await ended

    async def test_invalid_data(self) -> None:
        protocol, client = await self.connected()
        plain, _state = client.without_tls()
        self.addCleanup(plain.close)
        plain.sendall(b"this is not a TLS record")
        await protocol.wait(lambda: protocol.transport is None)
        self.assertIsInstance(protocol.error, ssl.SSLError)

    async def test_bytes_that_are_not_sent(self) -> None:
        _protocol, client = await self.connected()
        client.setblocking(False)
        with self.assertRaises(ssl.SSLWantWriteError):
            for _ in range(1000):
                client.sendall(BLOCK)
        with self.assertRaisesRegex(OSError, "encrypted bytes have not been sent"):
            await connect_with_tls(Recording(), client)
        self.assertEqual(-1, client.fileno())
        _protocol.transport.abort()
        await _protocol.wait(lambda: _protocol.transport is None)


def _unwrap(sock: TlsSocket) -> None:
    """End TLS; the other side closes the connection without an answer."""
    try:
        sock.unwrap()
    except OSError:
        pass


if __name__ == "__main__":
    unittest.main()
