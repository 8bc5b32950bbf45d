"""Objects of clients that the server calls over connections which the client has opened."""
from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import aio, client, config, errors
from Pyro5._aio import connecting as connecting_module
from Pyro5._callbacks import endpoint
from Pyro5._net.offered_sockets import MAX_PER_CLIENT, host_of, offered_sockets
from Pyro5._objects.exposure import behavior, expose
from Pyro5.callcontext import current_context
from Pyro5.server import Daemon
from tests._aio.base import AioTestCase, proxy
from tests.faults.relay import FINE, UP, Fault, Relay
from tests.peers import CERTIFICATES, ScriptedServer
from tests.rawclient import wait_until
from tests.support import PATIENCE_SECONDS, daemon_thread


@expose
@behavior(instance_mode="single")
class Hub:
    """The object of the server; it calls what clients pass to it."""

    def __init__(self) -> None:
        self._listeners: List[Any] = []

    def _release(self) -> None:
        for listener in self._listeners:
            listener._pyroRelease()

    def ask(self, listener: Any, value: Any) -> Any:
        with listener:
            return [type(listener) is client.Proxy, listener.answer(value)]

    def subscribe(self, listener: Any) -> None:
        self._listeners.append(listener)

    def publish(self, value: Any) -> List[Any]:
        return [listener.answer(value) for listener in self._listeners]

    def publish_in_thread(self, value: Any) -> None:
        thread = threading.Thread(target=self.publish, args=(value,))
        thread.start()

    def ask_often(self, listener: Any, count: int) -> List[Any]:
        """Use a connection of its own for each call."""
        with contextlib.ExitStack() as at_end:
            proxies = [at_end.enter_context(client.Proxy(listener._pyroUri)) for _ in range(count)]
            return [proxy.answer(number) for number, proxy in enumerate(proxies)]

    def collect(self, listener: Any, count: int) -> List[int]:
        with listener:
            return list(listener.numbers(count))

    def batch(self, listener: Any) -> List[Any]:
        with listener:
            calls = client.BatchProxy(listener)
            calls.answer(1)
            calls.answer(2)
            return list(calls())

    def failure(self, listener: Any) -> str:
        try:
            with listener:
                listener.fail()
        except ZeroDivisionError as x:
            return str(x)
        return ""


@expose
class Listener:
    def __init__(self) -> None:
        self.received: List[Any] = []
        self.called = threading.Event()

    def answer(self, value: Any) -> Any:
        self.received.append((value, current_context.correlation_id))
        self.called.set()
        return ["answered", value]

    def numbers(self, count: int) -> Iterator[int]:
        yield from range(count)

    def fail(self) -> None:
        raise ZeroDivisionError("in the client")


@expose
class AsyncListener:
    def __init__(self) -> None:
        self.threads: List[int] = []

    async def answer(self, value: Any) -> Any:
        await asyncio.sleep(0)
        self.threads.append(threading.get_ident())
        return ["answered", value]


class Case(AioTestCase):
    servertype = "thread"

    def hub(self, **where: Any) -> str:
        hub = Hub()
        self.at_end.callback(hub._release)
        return self.serve(hub, self.servertype, **where)

    async def in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, function, *args)


class ThreadServer(Case):
    async def test_objects_are_called_in_the_middle_of_a_call_and_by_other_threads(self) -> None:
        def use(uri: str) -> None:
            listener = Listener()
            with client.Proxy(uri) as hub:
                made = hub._pyroCallback(listener)
                self.assertIsInstance(made, client.Proxy)
                self.assertEqual(hub.ask(listener, 1), [True, ["answered", 1]])
                self.assertEqual(hub.ask(made, 2), [True, ["answered", 2]])
                hub.subscribe(listener)
                self.assertEqual(hub.publish(3), [["answered", 3]])
                listener.called.clear()
                hub.publish_in_thread(4)
                self.assertTrue(listener.called.wait(PATIENCE_SECONDS))
                self.assertEqual([value for value, _ in listener.received], [1, 2, 3, 4])

        await self.in_thread(use, self.hub())

    async def test_streams_batches_and_exceptions(self) -> None:
        def use(uri: str) -> None:
            listener = Listener()
            with client.Proxy(uri) as hub:
                hub._pyroCallback(listener)
                self.assertEqual(hub.collect(listener, 20), list(range(20)))
                self.assertEqual(hub.batch(listener), [["answered", 1], ["answered", 2]])
                self.assertEqual(hub.failure(listener), "in the client")

        await self.in_thread(use, self.hub())

    async def test_more_connections_than_are_waiting(self) -> None:
        def use(uri: str) -> None:
            listener = Listener()
            with client.Proxy(uri) as hub:
                hub._pyroCallback(listener)
                self.assertEqual(hub.ask_often(listener, 10), [["answered", number] for number in range(10)])

        await self.in_thread(use, self.hub())

    async def test_async_methods_run_in_the_event_loop_of_the_program(self) -> None:
        listener, plain = AsyncListener(), Listener()
        async with proxy(self.hub()) as hub:
            made = await hub._pyroCallback(listener)
            self.assertIsInstance(made, aio.Proxy)
            self.assertEqual(await hub.ask(listener, 1), [True, ["answered", 1]])
            self.assertEqual(await hub.ask(made, 2), [True, ["answered", 2]])
            await hub._pyroCallback(plain)
            self.assertEqual(await hub.ask(plain, 3), [True, ["answered", 3]])
        self.assertEqual(set(listener.threads), {threading.get_ident()})

    async def test_nothing_listens(self) -> None:
        def use(uri: str) -> None:
            with client.Proxy(uri) as hub:
                hub._pyroCallback(Listener())
                self.assertEqual(hub._pyro.callbacks.daemon.sockets, [])
                self.assertIs(hub._pyroCallback(self.listener).__class__, client.Proxy)
                self.assertEqual(hub._pyroCallback(self.listener)._pyroUri, hub._pyroCallback(self.listener)._pyroUri)

        self.listener = Listener()
        await self.in_thread(use, self.hub())

    async def test_a_released_proxy_ends_it(self) -> None:
        def use(uri: str) -> None:
            with client.Proxy(uri) as other:
                with client.Proxy(uri) as hub:
                    hub._pyroCallback(self.listener)
                    hub.subscribe(self.listener)
                    self.assertEqual(other.publish(1), [["answered", 1]])
                with self.assertRaises(errors.CommunicationError):
                    other.publish(2)
            self.assertFalse([each for each in threading.enumerate() if each.name in ("Pyro-offers", "Pyro-callbacks")])

        self.listener = Listener()
        await self.in_thread(use, self.hub())
        self.assertEqual(len(self.listener.received), 1)

    async def test_a_proxy_that_is_dropped_ends_it_too(self) -> None:
        hub = await proxy(self.hub())
        await hub._pyroCallback(AsyncListener())
        threads = hub._pyro.callbacks._threads
        await hub._pyro.release()
        del hub
        for thread in threads:
            await self.in_thread(thread.join, PATIENCE_SECONDS)
            self.assertFalse(thread.is_alive())

    async def test_unix_sockets(self) -> None:
        if not hasattr(socket, "AF_UNIX"):
            self.skipTest("this system has no Unix domain sockets")
        listener = AsyncListener()
        async with proxy(self.hub(unixsocket="\0pyro-callbacks-%s-%d" % (self.servertype, os.getpid()))) as hub:
            await hub._pyroCallback(listener)
            self.assertEqual(await hub.ask(listener, 1), [True, ["answered", 1]])

    async def test_connections_that_no_proxy_uses_are_limited_and_removed(self) -> None:
        secret = "secret " + self.servertype
        host = host_of(secret)

        def use(uri: str) -> None:
            offered = []
            for _ in range(MAX_PER_CLIENT):
                with client.Proxy(uri) as hub:
                    hub._pyroBind()
                    connection = endpoint.open_connection(hub._pyro.bound_uri, PATIENCE_SECONDS)
                    connection.handshake(hub._pyro.serializer, 0, "stage", "hello", hub._pyro.wire, extra=["cb"])
                    connection.call(hub._pyro.serializer, 1, "Pyro.Daemon", "offer_connection", [secret], hub._pyro.wire)
                    offered.append(connection)
            wait_until(lambda: len(offered_sockets._by_host.get(host, ())) == MAX_PER_CLIENT)
            with client.Proxy("PYRO:Pyro.Daemon@" + uri.partition("@")[2]) as daemon:
                with self.assertRaisesRegex(errors.DaemonError, "too many connections for callbacks"):
                    daemon._pyroInvoke("offer_connection", [secret], {})
            for connection in offered:
                connection.close()
            wait_until(lambda: offered_sockets.remove_closed() or not offered_sockets._by_host[host])

        await self.in_thread(use, self.hub())
        self.at_end.close()
        self.assertNotIn(host, offered_sockets._by_host)


    async def test_through_a_relay_that_only_connects_to_the_server(self) -> None:
        def use(relay: Relay, uri: str) -> None:
            listener = Listener()
            with client.Proxy(uri) as hub:
                hub._pyroCallback(listener)
                hub.subscribe(listener)
                self.assertEqual(hub.ask_often(listener, 5), [["answered", number] for number in range(5)])
                self.assertEqual(hub.collect(listener, 20), list(range(20)))
                self.assertEqual(hub.publish("now"), [["answered", "now"]])
                # That of the proxy, and at least one for each connection of the server.
                self.assertGreater(relay.connections, 5)

        location = self.hub().partition("@")[2]
        host, _, port = location.rpartition(":")
        with Relay((host, int(port)), lambda number: Fault(FINE, UP, 0)) as relay:
            await self.in_thread(use, relay, "PYRO:stage@" + relay.location)
            async with proxy("PYRO:stage@" + relay.location) as hub:
                listener = AsyncListener()
                await hub._pyroCallback(listener)
                self.assertEqual(await hub.ask(listener, 1), [True, ["answered", 1]])


class MultiplexServer(ThreadServer):
    servertype = "multiplex"


class AsyncServer(Case):
    async def test_objects_are_called(self) -> None:
        listener, plain, served = AsyncListener(), Listener(), Hub()
        self.at_end.callback(served._release)
        async with aio.Daemon() as daemon:
            async with proxy(str(daemon.register(served))) as hub:
                await hub._pyroCallback(listener)
                await hub._pyroCallback(plain)
                self.assertEqual(await hub.ask(listener, 1), [True, ["answered", 1]])
                self.assertEqual(await hub.ask(plain, 2), [True, ["answered", 2]])
                await hub.subscribe(plain)
                self.assertEqual(await hub.publish(3), [["answered", 3]])

    async def test_async_methods_call_them(self) -> None:
        @expose
        @behavior(instance_mode="single")
        class Async:
            async def ask(self, listener: Any, value: Any) -> Any:
                async with aio.Proxy(listener._pyroUri) as remote:
                    return await asyncio.gather(remote.answer(value), remote.answer(value + 1))

        listener = AsyncListener()
        async with aio.Daemon() as daemon:
            async with proxy(str(daemon.register(Async()))) as remote:
                await remote._pyroCallback(listener)
                self.assertEqual(await remote.ask(listener, 1), [["answered", 1], ["answered", 2]])


class Tls(Case):
    async def test_callbacks_are_encrypted(self) -> None:
        config.SSL = True
        config.SSL_SERVERCERT = os.path.join(CERTIFICATES, "server.pem")
        config.SSL_SERVERKEY = os.path.join(CERTIFICATES, "server.key")
        config.SSL_CACERTS = os.path.join(CERTIFICATES, "ca.pem")

        def use(uri: str) -> None:
            listener = Listener()
            with client.Proxy(uri) as hub:
                hub._pyroCallback(listener)
                self.assertEqual(hub.ask(listener, 1), [True, ["answered", 1]])

        await self.in_thread(use, self.hub(host="localhost"))


class OtherServers(Case):
    async def test_a_server_of_another_release(self) -> None:
        def script(peer: Any) -> Any:
            request = peer.welcome(["ask"])
            peer.wait_for_close()
            return bytes(request.annotations["FEAT"]).split()

        def use(uri: str) -> None:
            with client.Proxy(uri) as hub:
                hub._pyroBind()
                with self.assertRaisesRegex(errors.PyroError, "of another release, which cannot call objects over a conn"):
                    hub._pyroCallback(Listener())

        with ScriptedServer(script, script) as server:
            await self.in_thread(use, server.uri)
        self.assertEqual([b"cb" in announced for announced in server.results], [False, True])

    async def test_a_server_that_cannot_be_reached(self) -> None:
        def use(uri: str) -> None:
            with self.assertRaises(errors.CommunicationError):
                client.Proxy(uri)._pyroCallback(Listener())

        with ScriptedServer(lambda peer: None) as server:
            await self.in_thread(use, server.uri)

    async def test_a_client_that_has_offered_nothing(self) -> None:
        uri = "PYRO:obj@%s:1" % host_of("unknown")

        def use() -> None:
            with self.assertRaisesRegex(errors.CommunicationError, "the client that has this object is not connected"):
                client.Proxy(uri).answer(1)

        await self.in_thread(use)
        with self.assertRaisesRegex(errors.CommunicationError, "the client that has this object is not connected"):
            await proxy(uri)

    async def test_cancelled_while_it_waits_for_a_connection(self) -> None:
        host, (here, there) = host_of("cancelled"), socket.socketpair()
        self.addCleanup(there.close)
        self.addCleanup(here.close)
        offered_sockets.expect(host, 1)
        waits = threading.Event()

        def nowhere(host: str) -> Any:
            waits.set()
            return None, False

        with mock.patch.object(offered_sockets, "take_elsewhere", nowhere):
            connecting = asyncio.create_task(connecting_module._take_offered(host))
            await self.wait_for_event(waits)
            connecting.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await connecting
        server = object()
        offered_sockets.add(host, here, server)
        there.settimeout(PATIENCE_SECONDS)
        self.assertEqual(b"", await self.in_thread(there.recv, 1))
        offered_sockets.close_all(server)

    async def test_a_server_that_starts_again(self) -> None:
        def use() -> None:
            config.SERVERTYPE = "thread"
            first = Daemon()
            port = first.sock.getsockname()[1]
            uri = first.register(Hub(), "hub")
            listener = Listener()
            with client.Proxy(uri) as hub:
                with daemon_thread(first):
                    hub._pyroCallback(listener)
                    self.assertEqual(hub.ask(listener, 1), [True, ["answered", 1]])
                second = Daemon(port=port)
                second.register(Hub(), "hub")
                with daemon_thread(second):
                    host = hub._pyro.callbacks.daemon.locationStr.partition(":")[0]
                    wait_until(lambda: offered_sockets._by_host.get(host))
                    hub._pyroReconnect()
                    self.assertEqual(hub.ask(listener, 2), [True, ["answered", 2]])

        await self.in_thread(use)
