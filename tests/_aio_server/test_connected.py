"""Pyro5.aio.Daemon with a connected socket: no handshake, the end with the other side, and the socket returned unchanged."""
from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, Optional

from Pyro5 import aio
from Pyro5._objects.exposure import expose
from Pyro5.client import Proxy
from tests._aio.base import AioTestCase
from tests.support import PATIENCE_SECONDS


@expose
class Post:
    def echo(self, value: Any) -> Any:
        return value

    async def double(self, value: Any) -> Any:
        await asyncio.sleep(0)
        return 2 * value


class Connected(AioTestCase):
    def pair(self, timeout: Optional[float] = None) -> Any:
        own, other = socket.socketpair()
        self.at_end.callback(own.close)
        self.at_end.callback(other.close)
        own.settimeout(timeout)
        return own, other

    async def use(self, other: socket.socket, *values: Any) -> Any:
        def calls() -> Any:
            with Proxy("post", connected_socket=other) as post:
                return [(post.echo(value), post.double(value)) for value in values]
        return await asyncio.get_running_loop().run_in_executor(None, calls)

    async def test_calls_and_the_end_with_the_other_side(self) -> None:
        own, other = self.pair(7.5)
        daemon = aio.Daemon(connected_socket=own)
        daemon.register(Post(), "post")
        serving = asyncio.ensure_future(daemon.serve_forever())
        large = "x" * 1000000
        self.assertEqual(await self.use(other, 1, large), [(1, 2), (large, 2 * large)])
        self.assertEqual(own.gettimeout(), 0.0)
        other.close()
        await asyncio.wait_for(serving, PATIENCE_SECONDS)
        self.assertEqual(own.gettimeout(), 7.5)
        self.assertNotEqual(own.fileno(), -1)

    async def test_the_socket_is_usable_afterwards(self) -> None:
        own, other = self.pair()
        async with aio.Daemon(connected_socket=own) as daemon:
            daemon.register(Post(), "post")
            self.assertEqual(await self.use(other, "a"), [("a", "aa")])
        self.assertIsNone(own.gettimeout())
        thread = threading.Thread(target=other.sendall, args=(b"still usable",))
        thread.start()
        self.assertEqual(own.recv(100), b"still usable")
        thread.join()

    async def test_a_daemon_that_never_served(self) -> None:
        own, _other = self.pair(7.5)
        await aio.Daemon(connected_socket=own).close()
        self.assertEqual(own.gettimeout(), 7.5)

    async def test_sockets_that_cannot_be_served(self) -> None:
        with socket.socket() as sock, self.assertRaises(OSError):
            aio.Daemon(connected_socket=sock)
