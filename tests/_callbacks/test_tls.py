"""Objects of clients that the server calls over TLS connections which the client has opened."""
from __future__ import annotations

import asyncio
import os
import threading
from typing import Any, List
from unittest import mock

from Pyro5 import aio, client, config, errors
from Pyro5._net import offered_sockets as offered_sockets_module
from Pyro5._net.offered_sockets import offered_sockets
from Pyro5._objects.exposure import behavior, expose
from tests._aio.base import AioTestCase, proxy
from tests.peers import CERTIFICATES

LARGE = "x" * 300000


@expose
@behavior(instance_mode="single")
class Hub:
    """The object of the server; it calls what clients pass to it."""

    def __init__(self) -> None:
        self.kept: Any = None

    def ask(self, listener: Any, value: Any) -> Any:
        with listener:
            return [listener.answer(value), len(listener.answer(LARGE))]

    async def ask_in_loop(self, listener: Any, value: Any) -> Any:
        async with aio.Proxy(listener._pyroUri) as remote:
            answers = await asyncio.gather(remote.answer(value), remote.answer(LARGE), remote.answer(value))
            return [answers[0], len(answers[1])]

    async def keep(self, listener: Any) -> None:
        self.kept = await aio.Proxy(listener._pyroUri)

    async def ask_kept(self, value: Any) -> Any:
        return await self.kept.answer(value)

    async def release_kept(self) -> None:
        await self.kept._pyroRelease()


@expose
class Listener:
    def __init__(self) -> None:
        self.gone = threading.Event()

    def answer(self, value: Any) -> Any:
        return value


@expose
class AsyncListener:
    async def answer(self, value: Any) -> Any:
        await asyncio.sleep(0)
        return value


class Case(AioTestCase):
    def setUp(self) -> None:
        super().setUp()
        config.SSL = True
        config.SSL_SERVERCERT, config.SSL_SERVERKEY = _certificate("server.pem"), _certificate("server.key")
        config.SSL_CACERTS = _certificate("ca.pem")

    def hub(self, servertype: str) -> str:
        return self.serve(Hub(), servertype, host="localhost")

    async def in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, function, *args)

    async def check(self, servertype: str) -> None:
        """Call objects of both kinds of client from the server, with both kinds of proxy."""
        uri, expected = self.hub(servertype), ["hello", len(LARGE)]

        def use() -> List[Any]:
            listener = Listener()
            with client.Proxy(uri) as hub:
                hub._pyroCallback(listener)
                return [hub.ask(listener, "hello"), hub.ask_in_loop(listener, "hello")]

        self.assertEqual(await self.in_thread(use), [expected, expected])
        async with proxy(uri) as hub:
            for listener in (Listener(), AsyncListener()):
                await hub._pyroCallback(listener)
                self.assertEqual(await hub.ask(listener, "hello"), expected)
                self.assertEqual(await hub.ask_in_loop(listener, "hello"), expected)


class Calls(Case):
    async def test_a_daemon_in_an_event_loop(self) -> None:
        await self.check("aio")

    async def test_a_thread_server(self) -> None:
        await self.check("thread")

    async def test_a_multiplex_server(self) -> None:
        await self.check("multiplex")

    async def test_certificates_of_clients(self) -> None:
        config.SSL_REQUIRECLIENTCERT = True
        config.SSL_CLIENTCERT, config.SSL_CLIENTKEY = _certificate("client.pem"), _certificate("client.key")
        await self.check("aio")


class Ends(Case):
    async def test_the_client_ends_it(self) -> None:
        uri, listener = self.hub("aio"), Listener()
        async with proxy(uri) as other:
            async with proxy(uri) as hub:
                await hub._pyroCallback(listener)
                await hub.keep(listener)
                self.assertEqual(await other.ask_kept(1), 1)
            # Without the time for a client to offer the next connection.
            with mock.patch.object(offered_sockets_module, "MAX_WAIT_SECONDS", 0.01):
                with self.assertRaises(errors.CommunicationError):
                    await other.ask_kept(2)
            await other.release_kept()

    async def test_the_server_ends_it(self) -> None:
        listener = Listener()
        async with proxy(self.hub("aio")) as hub:
            await hub._pyroCallback(listener)
            served = hub._pyro.callbacks.daemon
            ended = threading.Event()
            served.clientDisconnect = lambda connection: ended.set()
            await hub.keep(listener)
            self.assertEqual(await hub.ask_kept(1), 1)
            await hub.release_kept()
            await self.wait_for_event(ended)
            # The client has offered others, which work.
            self.assertEqual(await hub.ask_in_loop(listener, 2), [2, len(LARGE)])

    async def test_nothing_is_left_when_the_daemon_ends(self) -> None:
        listener = AsyncListener()
        async with aio.Daemon("localhost") as daemon:
            uri = str(daemon.register(Hub(), "hub"))
            async with proxy(uri) as hub:
                await hub._pyroCallback(listener)
                self.assertEqual(await hub.ask(listener, 1), [1, len(LARGE)])
                host = hub._pyro.callbacks.daemon.locationStr.partition(":")[0]
                self.assertIn(host, offered_sockets._by_host)
        self.assertNotIn(host, offered_sockets._by_host)


def _certificate(name: str) -> str:
    return os.path.join(CERTIFICATES, name)
