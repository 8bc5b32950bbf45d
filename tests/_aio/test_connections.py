"""Connections of asyncio proxies: servers of other releases, servers that misbehave, lost connections, event loops."""
from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import threading
import unittest
import warnings
from typing import Any, Callable, List
from unittest import mock

from Pyro5 import aio, config, errors, protocol
from Pyro5._aio import connection as connection_module
from Pyro5._objects.exposure import behavior, expose
from tests.peers import CERTIFICATES, Peer, ScriptedServer, free_port

from .base import AioTestCase, Stage, proxy


def echoing(peer: Peer) -> None:
    peer.welcome(["echo"])
    peer.serve(lambda method, value: value)


class OldServers(AioTestCase):
    """A scripted server answers as servers of other releases do: it announces no features."""

    async def test_calls_in_flight_are_limited_and_nothing_new_is_sent(self) -> None:
        most, enough = 64, threading.Event()

        def script(peer: Peer) -> Any:
            peer.welcome()
            requests = [peer.read_call() for _ in range(most)]
            enough.set()
            peer.sock.setblocking(False)
            with self.assertRaises(BlockingIOError):
                peer.sock.recv(1)
            peer.sock.settimeout(20)
            for request in requests:
                peer.answer(request, request.args[0])
            peer.serve(lambda method, value: value)
            return {(message.corr_id, message.annotations_size) for message, *_ in requests}

        with ScriptedServer(script) as server, mock.patch.object(connection_module, "WINDOW_OF_OTHERS", most):
            async with proxy(server.uri, timeout=20) as remote:
                await remote
                results = await asyncio.gather(*[remote.echo(number) for number in range(100)])
            self.assertEqual(results, list(range(100)))
            self.assertTrue(enough.is_set())
        self.assertEqual(server.results, [{(bytes(16), 0)}])

    async def test_a_oneway_method(self) -> None:
        def script(peer: Peer) -> Any:
            peer.welcome(["note"], oneway=["note"])
            request = peer.read_call()
            peer.wait_for_close()
            return request.message.flags & protocol.FLAGS_ONEWAY

        with ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                self.assertIsNone(await remote.note(1))
        self.assertEqual(server.results, [protocol.FLAGS_ONEWAY])

    async def test_the_connection_is_left_after_an_error_that_ends_it(self) -> None:
        def refusing(peer: Peer) -> None:
            peer.welcome()
            peer.fail(peer.read_call(), errors.SecurityError("refused"))

        with ScriptedServer(refusing, echoing) as server:
            async with proxy(server.uri) as remote:
                with self.assertRaisesRegex(errors.SecurityError, "refused"):
                    await remote.echo(1)
                self.assertEqual(await remote.echo(2), 2)

    async def test_metadata_is_requested_if_the_server_did_not_send_it(self) -> None:
        def script(peer: Peer) -> None:
            peer.send(protocol.MSG_CONNECTOK, peer.read(), {"handshake": "hello", "meta": None})
            peer.answer(peer.read_call(), {"methods": ["echo"], "oneway": [], "attrs": []})
            peer.serve(lambda method, value: value)

        with ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                self.assertEqual(await remote.echo(1), 1)

    async def test_streams_item_by_item(self) -> None:
        config.ITER_STREAM_BATCH = 10

        def script(peer: Peer) -> None:
            peer.welcome(["frames"])
            peer.open_stream(peer.read_call(), "abcd")
            peer.fail(peer.read_call(), TypeError("DaemonObject.get_next_stream_item() takes 2 arguments"))
            peer.answer(peer.read_call(), 1)
            peer.fail(peer.read_call(), StopIteration())
            peer.wait_for_close()

        with ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                self.assertEqual([each async for each in remote.frames()], [1])


class Faults(AioTestCase):
    """Every call in flight fails once, and the next call works, over a new connection."""

    async def check(self, answer: Callable[[Peer, List[Any]], None], text: str, error: Any = errors.ProtocolError) -> None:
        def script(peer: Peer) -> None:
            peer.welcome()
            answer(peer, [peer.read_call() for _ in range(3)])

        with ScriptedServer(script, echoing) as server:
            async with proxy(server.uri) as remote:
                await remote
                outcomes = await asyncio.gather(*[remote.echo(number) for number in range(3)], return_exceptions=True)
                wrong = [each for each in outcomes if not isinstance(each, int)]
                self.assertEqual([each for each in outcomes if isinstance(each, int)], list(range(3 - len(wrong))))
                self.assertTrue(wrong)
                for each in wrong:
                    self.assertIsInstance(each, error)
                    self.assertRegex(str(each), "^calling echo of PYRO:thing@.*" + text)
                    self.assertIsNone(each.sent)
                self.assertEqual(len({id(each) for each in wrong}), len(wrong))
                self.assertEqual(await remote.echo("next"), "next")

    async def test_garbage(self) -> None:
        await self.check(lambda peer, requests: peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3),
                         "this is not the Pyro protocol")

    async def test_an_unknown_sequence_number(self) -> None:
        await self.check(lambda peer, requests: peer.answer(requests[0], 0, seq=777), "reply out of sync")

    async def test_replies_in_another_order(self) -> None:
        def answer(peer: Peer, requests: List[Any]) -> None:
            for request in (requests[0], requests[2], requests[1]):
                peer.answer(request, request.args[0])

        await self.check(answer, "reply out of sync")

    async def test_a_reply_that_comes_twice(self) -> None:
        def answer(peer: Peer, requests: List[Any]) -> None:
            peer.answer(requests[0], 0)
            peer.answer(requests[0], 0)

        await self.check(answer, "reply out of sync")

    async def test_a_message_of_another_type(self) -> None:
        await self.check(lambda peer, requests: peer.send(protocol.MSG_PING, requests[0].message, b"pong"),
                         "message of type 6")

    async def test_a_reply_that_is_too_large(self) -> None:
        def answer(peer: Peer, requests: List[Any]) -> None:
            config.MAX_MESSAGE_SIZE = 0  # only the connections that are open have the limit
            peer.answer(requests[0], "x" * 2000)

        config.MAX_MESSAGE_SIZE = 1000
        await self.check(answer, "message too large")

    async def test_a_connection_that_ends(self) -> None:
        def answer(peer: Peer, requests: List[Any]) -> None:
            peer.answer(requests[0], 0)

        await self.check(answer, "connection closed by the other side|connection lost", errors.ConnectionClosedError)

    async def test_another_serializer(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome()
            peer.answer(peer.read_call(), 1, serializer="json")

        with ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                with self.assertRaisesRegex(errors.SerializeError, "the reply uses serializer 3, the request used 1"):
                    await remote.echo(1)

    async def test_a_connection_that_is_lost_with_many_calls(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome()
            peer.read_call()

        with ScriptedServer(script) as server, mock.patch.object(connection_module, "WINDOW_OF_OTHERS", 1000):
            async with proxy(server.uri) as remote:
                await remote
                outcomes = await asyncio.gather(*[remote.echo(number) for number in range(1000)], return_exceptions=True)
        self.assertEqual({type(each) for each in outcomes}, {errors.ConnectionClosedError})
        self.assertEqual({each.sent for each in outcomes}, {None})  # type: ignore[union-attr]

    async def test_calls_that_were_not_sent_say_so(self) -> None:
        with ScriptedServer(echoing) as server:
            async with proxy(server.uri) as remote:
                await remote
                call = asyncio.create_task(remote.echo(1))
                while not remote._pyro.connections[0].pending:
                    await asyncio.sleep(0)
                remote._pyro.connections[0].abort()
                with self.assertRaises(errors.ConnectionClosedError) as caught:
                    await call
                self.assertIs(caught.exception.sent, False)

    async def test_release_with_calls_in_flight(self) -> None:
        stage = Stage()
        remote = await proxy(self.serve(stage))
        call = asyncio.create_task(remote.wait())
        await self.wait_for_event(stage.entered)
        await remote._pyroRelease()
        with self.assertRaisesRegex(errors.ConnectionClosedError, "the proxy was released"):
            await call
        stage.gate.set()

    async def test_a_server_that_is_not_there(self) -> None:
        remote = proxy("PYRO:thing@127.0.0.1:%d" % free_port())
        outcomes = await asyncio.gather(*[remote.echo(number) for number in range(3)], return_exceptions=True)
        for outcome in outcomes:
            self.assertIsInstance(outcome, errors.CommunicationError)
            self.assertRegex(str(outcome), r"cannot connect to PYRO:thing@.*: Connection refused \(is the server running")
            self.assertIs(outcome.sent, False)
        self.assertEqual(len({id(each) for each in outcomes}), 3)

    async def test_a_server_that_refuses_the_connection(self) -> None:
        with ScriptedServer(lambda peer: peer.send(protocol.MSG_CONNECTFAIL, peer.read(), "go away")) as server:
            with self.assertRaisesRegex(errors.CommunicationError, "connecting to PYRO:thing.*go away"):
                await proxy(server.uri)

    async def test_a_stalled_server_costs_a_bounded_buffer(self) -> None:
        go, seen = threading.Event(), threading.Event()

        def script(peer: Peer) -> None:
            peer.welcome()
            seen.set()
            go.wait()
            peer.serve(lambda method, value: len(value))

        with ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                await remote
                await self.wait_for_event(seen)
                calls = [asyncio.create_task(remote.echo("x" * 100000)) for _ in range(200)]
                (connection,) = remote._pyro.connections
                while not connection._is_paused:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                self.assertLess(connection.transport.get_write_buffer_size() + connection._queued_bytes, 1000000)
                go.set()
                self.assertEqual(set(await asyncio.gather(*calls)), {100000})


class Parallel(AioTestCase):
    async def test_calls_that_take_long_do_not_stop_others(self) -> None:
        stage = Stage()
        async with proxy(self.serve(stage)) as remote:
            slow = asyncio.create_task(remote.wait())
            await self.wait_for_event(stage.entered)
            while not remote._pyro.connections[0].is_stalled:
                await asyncio.sleep(0.001)
            self.assertEqual(await remote.echo("quick"), "quick")
            self.assertEqual(len(remote._pyro.connections), 2)
            stage.gate.set()
            self.assertEqual(await slow, "open")

    async def test_no_more_connections_than_the_setting_says(self) -> None:
        config.PROXY_CONNECTIONS = 1
        stage = Stage()
        async with proxy(self.serve(stage)) as remote:
            slow = asyncio.create_task(remote.wait())
            await self.wait_for_event(stage.entered)
            quick = asyncio.create_task(remote.echo(1))
            stage.gate.set()
            self.assertEqual([await slow, await quick], ["open", 1])
            self.assertEqual(len(remote._pyro.connections), 1)

    async def test_an_object_with_sessions_keeps_one_connection(self) -> None:
        stage = Stage()

        @expose
        @behavior(instance_mode="session")
        class Session:
            def wait(self) -> str:
                return stage.wait()

        async with proxy(self.serve(Session)) as remote:
            calls = [asyncio.create_task(remote.wait()) for _ in range(3)]
            await self.wait_for_event(stage.entered)
            self.assertFalse(remote._pyro.parallel)
            stage.gate.set()
            self.assertEqual(await asyncio.gather(*calls), ["open"] * 3)
            self.assertEqual(len(remote._pyro.connections), 1)


class Places(AioTestCase):
    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
    async def test_unix_sockets(self) -> None:
        with ScriptedServer(echoing, family=socket.AF_UNIX) as server:
            async with proxy(server.uri) as remote:
                self.assertEqual(await asyncio.gather(*[remote.echo(each) for each in range(200)]), list(range(200)))

    async def test_ipv6(self) -> None:
        async with proxy(self.serve(Stage(), host="::1")) as remote:
            self.assertEqual(await remote.echo(1), 1)

    def serve_with_tls(self, served: Any) -> str:
        config.SSL = True
        config.SSL_SERVERCERT = os.path.join(CERTIFICATES, "server.pem")
        config.SSL_SERVERKEY = os.path.join(CERTIFICATES, "server.key")
        config.SSL_CACERTS = os.path.join(CERTIFICATES, "ca.pem")
        return self.serve(served, host="localhost")

    async def test_a_tls_connection_that_is_lost_leaves_no_warning(self) -> None:
        @expose
        class Ending:
            def end(self) -> None:
                raise SystemExit

        uri = self.serve_with_tls(Ending())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with proxy(uri) as remote:
                with self.assertRaises(errors.ConnectionClosedError):
                    await remote.end()
            del remote
            gc.collect()
        self.assertEqual([], [str(each.message) for each in caught])

    async def test_tls(self) -> None:
        uri = self.serve_with_tls(Stage())
        async with proxy(uri) as remote:
            self.assertEqual(await asyncio.gather(*[remote.echo(each) for each in range(50)]), list(range(50)))
            self.assertEqual(await remote.echo("x" * 1000000), "x" * 1000000)

    async def test_handshake_data(self) -> None:
        responses: List[Any] = []

        class Checking(aio.Proxy):
            def _pyroValidateHandshake(self, response: Any) -> None:
                responses.append(response)
                if response == "bad":
                    raise ValueError("refused by the client")

        def script(response: str) -> Callable[[Peer], Any]:
            def handshake(peer: Peer) -> Any:
                request = peer.welcome(response=response)
                peer.wait_for_close()
                return b"secret" in bytes(request.data)
            return handshake

        with ScriptedServer(script("good"), script("bad")) as server:
            async with Checking(server.uri, handshake="secret") as remote:
                await remote
            with self.assertRaisesRegex(ValueError, "refused by the client"):
                await Checking(server.uri, handshake="secret")
        self.assertEqual((responses, server.results), (["good", "bad"], [True, True]))


class Retries(AioTestCase):
    async def test_max_retries(self) -> None:
        def closing(peer: Peer) -> None:
            peer.welcome()
            peer.read_call()

        with ScriptedServer(closing, closing, echoing) as server:
            async with proxy(server.uri) as remote:
                remote._pyroMaxRetries = 2
                self.assertEqual(await remote.echo(1), 1)

    async def test_retry_repeats_only_what_is_safe(self) -> None:
        def closing(peer: Peer) -> None:
            peer.welcome()
            peer.read_call()

        with ScriptedServer(closing, closing, echoing) as server:
            async with proxy(server.uri, retry=aio.Retry(3, first=0)) as remote:
                with self.assertRaises(errors.ConnectionClosedError):
                    await remote.echo(1)
                self.assertEqual(await remote.echo.options(retry=aio.Retry(3, first=0, unsafe=True))(2), 2)


class Loops(unittest.TestCase):
    """A proxy belongs to the event loop of its first use."""

    def setUp(self) -> None:
        self.case = AioTestCase()
        self.case.setUp()
        self.addCleanup(self.case.doCleanups)
        self.uri = self.case.serve(Stage())
        errors_seen = self.enterContext(warnings.catch_warnings(record=True)) if hasattr(self, "enterContext") else []
        self.warned: List[Any] = errors_seen if errors_seen is not None else []

    async def call(self, remote: Any, value: Any) -> Any:
        return await remote.echo(value)

    def test_after_the_end_of_its_loop_it_connects_again(self) -> None:
        remote = proxy(self.uri)
        for number in range(3):
            self.assertEqual(asyncio.run(self.call(remote, number)), number)
        del remote
        gc.collect()
        self.assertEqual([str(each.message) for each in self.warned], [])

    def test_a_proxy_that_is_dropped_closes_its_connection(self) -> None:
        async def use() -> None:
            remote = await proxy(self.uri)
            (connection,) = remote._pyro.connections
            del remote
            await asyncio.wait_for(connection.closed, 20)

        asyncio.run(use())
        gc.collect()
        self.assertEqual([str(each.message) for each in self.warned], [])

    def test_two_running_loops(self) -> None:
        async def use() -> None:
            async with proxy(self.uri) as remote:
                await remote.echo(1)
                failures: List[Any] = []

                def other_loop() -> None:
                    try:
                        asyncio.run(self.call(remote, 1))
                    except RuntimeError as x:
                        failures.append(str(x))

                await asyncio.get_running_loop().run_in_executor(None, other_loop)
                self.assertEqual(len(failures), 1)
                self.assertRegex(failures[0], "belongs to the event loop <.*> and cannot be used in <.*>")
                self.assertEqual(await remote.echo(2), 2)

        asyncio.run(use())

    def test_interrupted_with_calls_in_flight(self) -> None:
        async def use() -> None:
            remote = proxy(self.uri)
            asyncio.get_running_loop().call_later(0.02, self.interrupt)
            await remote.wait_until_cancelled()

        with self.assertRaises(KeyboardInterrupt):
            asyncio.run(use())
        gc.collect()
        self.assertEqual([str(each.message) for each in self.warned], [])

    def interrupt(self) -> None:
        raise KeyboardInterrupt

    def test_many_proxies_and_cancellations_at_random(self) -> None:
        chance = random.Random(5)

        async def use() -> None:
            asyncio.get_running_loop().slow_callback_duration = 20
            async with proxy(self.uri) as remote:
                tasks = [asyncio.create_task(remote.echo(number)) for number in range(100)]
                for task in chance.sample(tasks, 30):
                    await asyncio.sleep(0)
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                for number, result in enumerate(results):
                    self.assertTrue(result == number or isinstance(result, asyncio.CancelledError))
                self.assertEqual(await remote.echo("next"), "next")

        asyncio.run(use())
