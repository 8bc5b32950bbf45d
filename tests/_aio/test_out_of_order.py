"""Replies that come in another order than their requests: toward servers that have announced it, and only there."""
from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import Any, AsyncIterator, Dict, List, Tuple
from unittest import mock

from Pyro5 import aio, client, config, errors, protocol
from Pyro5._aio import connection as connection_module
from Pyro5._objects.exposure import behavior, expose
from Pyro5._server import detached
from Pyro5.callcontext import current_context
from tests.peers import CERTIFICATES, Peer, ScriptedServer
from tests.rawclient import RawClient, call_request
from tests.support import PATIENCE_SECONDS

from .base import AioTestCase, proxy


@expose
@behavior(instance_mode="single")
class Hall:
    """Its methods wait for gates, by name; the test opens them in the order that it wants."""

    def __init__(self) -> None:
        self._gates: Dict[str, asyncio.Event] = {}
        self._barriers: Dict[str, threading.Event] = {}
        self._loop: Any = None
        self._opened: List[str] = []
        self.entered = threading.Semaphore(0)
        self.ended: List[Tuple[str, str]] = []
        self.all_ended = threading.Semaphore(0)

    async def _wait(self, name: str) -> str:
        self._loop = asyncio.get_running_loop()
        gate = self._gates.setdefault(name, asyncio.Event())
        if name in self._opened:
            gate.set()
        self.entered.release()
        outcome = "cancelled"
        try:
            await gate.wait()
            outcome = "done"
        finally:
            self.ended.append((name, outcome))
            self.all_ended.release()
        return name

    @expose(concurrent=True)
    async def visit(self, name: str) -> str:
        return await self._wait(name)

    async def alone(self, name: str) -> str:
        return await self._wait(name)

    @expose(concurrent=True)
    async def fail(self, name: str) -> None:
        raise ValueError(await self._wait(name))

    async def steps(self, names: List[str]) -> AsyncIterator[str]:
        for name in names:
            yield await self._wait(name)

    @expose(concurrent=True)
    async def exit(self) -> None:
        raise SystemExit(3)

    @expose(concurrent=True)
    async def large(self, size: int) -> str:
        return "x" * size

    @expose(concurrent=True)
    async def context(self) -> List[Any]:
        await asyncio.sleep(0)
        return [str(current_context.correlation_id), current_context.seq]

    @expose(concurrent=True)
    def meet(self, name: str) -> List[Any]:
        """Wait in a thread for the gate with this name; a plain method."""
        gate = self._barriers.setdefault(name, threading.Event())
        self.entered.release()
        if not gate.wait(PATIENCE_SECONDS):
            raise AssertionError("the gate %s was not opened" % name)
        return [name, str(current_context.correlation_id), threading.get_ident()]

    @expose(concurrent=True)
    def divide(self, number: int) -> Any:
        return iter(range(number)) if number else number / 0

    @expose(concurrent=True)
    def until_cancelled(self) -> None:
        self.entered.release()
        self.ended.append(("until_cancelled", str(current_context.cancelled.wait(PATIENCE_SECONDS))))
        self.all_ended.release()

    def open(self, *names: str) -> None:
        """Open the gates; a plain method."""
        for name in names:
            self._opened.append(name)
            if name in self._barriers:
                self._barriers[name].set()
            elif name in self._gates:
                self._loop.call_soon_threadsafe(self._gates[name].set)

    def open_for_threads(self, name: str) -> None:
        """Open the gate of `meet` with this name, now or later."""
        self._barriers.setdefault(name, threading.Event()).set()

    def echo(self, value: Any) -> Any:
        return value


class Case(AioTestCase):
    servertype = "thread"

    def setUp(self) -> None:
        super().setUp()
        config.PROXY_CONNECTIONS = 1
        self.hall = Hall()

    def hall_uri(self, **where: Any) -> str:
        return self.serve(self.hall, self.servertype, **where)

    async def entered(self, count: int = 1) -> None:
        """Wait until this number of calls wait for their gates."""
        await self.acquired(self.hall.entered, count)

    async def ended(self, count: int = 1) -> None:
        await self.acquired(self.hall.all_ended, count)

    async def acquired(self, semaphore: Any, count: int) -> None:
        def acquire() -> bool:
            return all([semaphore.acquire(timeout=PATIENCE_SECONDS) for _ in range(count)])
        self.assertTrue(await asyncio.get_running_loop().run_in_executor(None, acquire))


class ThreadServer(Case):
    async def test_replies_come_in_the_order_in_which_the_methods_end(self) -> None:
        order: List[str] = []
        async with proxy(self.hall_uri()) as hall:
            await hall
            calls = [asyncio.ensure_future(hall.visit(name)) for name in "abc"]
            for call in calls:
                call.add_done_callback(lambda call: order.append(call.result()))
            await self.entered(3)
            for name in "cab":
                await hall.open(name)  # a plain method, beside the calls that wait
                await calls["abc".index(name)]
            self.assertEqual(await asyncio.gather(*calls), ["a", "b", "c"])
            self.assertEqual(len(hall._pyro.connections), 1)
        self.assertEqual(order, ["c", "a", "b"])

    async def test_the_calls_of_other_methods_keep_their_order(self) -> None:
        async with proxy(self.hall_uri()) as hall:
            await hall
            first = asyncio.ensure_future(hall.alone("first"))
            second = asyncio.ensure_future(hall.alone("second"))
            third = asyncio.ensure_future(hall.visit("third"))
            await self.entered()
            self.hall.open("third", "second")
            self.assertEqual(self.hall.ended, [])
            self.hall.open("first")
            self.assertEqual(await asyncio.gather(first, second, third), ["first", "second", "third"])
        self.assertEqual([name for name, _ in self.hall.ended][:2], ["first", "second"])

    async def test_plain_methods_run_in_threads_of_the_server(self) -> None:
        async with proxy(self.hall_uri()) as hall:
            await hall
            calls = [asyncio.ensure_future(hall.meet(name)) for name in "abc"]
            await self.entered(3)  # all at once, over one connection
            self.assertEqual(await hall.echo("beside"), "beside")
            for name in "cab":
                await hall.open(name)
                self.assertEqual((await calls["abc".index(name)])[0], name)
            results = await asyncio.gather(*calls)
            self.assertEqual([len({each[column] for each in results}) for column in (1, 2)], [3, 3])
            self.assertEqual(len(hall._pyro.connections), 1)
            with self.assertRaises(ZeroDivisionError):
                await hall.divide(0)
            self.assertEqual([item async for item in hall.divide(3)], [0, 1, 2])
            batch = aio.BatchProxy(hall)
            batch.divide(0)
            with self.assertRaises(ZeroDivisionError):
                list(await batch())
            call = asyncio.ensure_future(hall.until_cancelled())
            await self.entered()
            call.cancel()
            await self.ended()
            self.assertEqual(self.hall.ended, [("until_cancelled", "True")])

    async def test_plain_methods_leave_half_of_the_threads_to_other_clients(self) -> None:
        config.THREADPOOL_SIZE, config.THREADPOOL_SIZE_MIN = 4, 1
        uri = self.hall_uri()
        async with proxy(uri) as hall, proxy(uri) as other:
            await hall
            calls = [asyncio.ensure_future(hall.meet(name)) for name in "abcd"]
            # Two beside the others; the third one is run as if it were not concurrent, so the fourth one waits.
            await self.entered(3)
            if self.servertype != "multiplex":  # there it occupies the only other thread
                self.assertEqual(await other.echo("other"), "other")
            self.assertFalse(self.hall.entered.acquire(blocking=False))
            for name in "abcd":
                self.hall.open_for_threads(name)
            self.assertEqual([each[0] for each in await asyncio.gather(*calls)], list("abcd"))

    async def test_errors_and_contexts_belong_to_their_calls(self) -> None:
        async with proxy(self.hall_uri()) as hall:
            await hall
            failing = [asyncio.ensure_future(hall.fail(name)) for name in "xyz"]
            await self.entered(3)
            contexts = await asyncio.gather(*[hall.context() for _ in range(20)])
            self.assertEqual(len({tuple(each) for each in contexts}), 20)
            await hall.open(*"zyx")
            outcomes = await asyncio.gather(*failing, return_exceptions=True)
            self.assertEqual([str(each) for each in outcomes], ["x", "y", "z"])

    async def test_many_at_once(self) -> None:
        names = ["guest %d" % number for number in range(200)]
        async with proxy(self.hall_uri()) as hall:
            await hall
            calls = [asyncio.ensure_future(hall.visit(name)) for name in names]
            await self.entered(len(names))
            await hall.open(*reversed(names))
            self.assertEqual(await asyncio.gather(*calls), names)

    async def test_a_cancelled_call_leaves_the_others_alone(self) -> None:
        async with proxy(self.hall_uri()) as hall:
            await hall
            first, second = [asyncio.ensure_future(hall.visit(name)) for name in ("first", "second")]
            await self.entered(2)
            first.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await first
            await self.ended()
            await hall.open("second")
            self.assertEqual(await second, "second")
        self.assertEqual(self.hall.ended, [("first", "cancelled"), ("second", "done")])

    async def test_a_deadline_ends_its_call_only(self) -> None:
        async with proxy(self.hall_uri()) as hall:
            await hall
            second = asyncio.ensure_future(hall.visit("second"))
            with self.assertRaises(errors.TimeoutError):
                await hall.visit.options(timeout=0.05)("first")
            await hall.open("second")
            self.assertEqual(await second, "second")
        self.assertNotIn(("first", "done"), self.hall.ended)

    async def test_the_end_of_the_client_cancels_all_of_its_calls(self) -> None:
        hall = await proxy(self.hall_uri())
        calls = [asyncio.ensure_future(hall.visit(name)) for name in "abc"]
        await self.entered(3)
        hall._pyro.connections[0].abort()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        self.assertEqual({type(each) for each in outcomes}, {errors.ConnectionClosedError})
        await self.ended(3)
        self.assertEqual(sorted(self.hall.ended), [(name, "cancelled") for name in "abc"])
        await hall._pyroRelease()

    async def test_session_objects_are_closed_after_their_calls_have_ended(self) -> None:
        trace: List[str] = []
        entered, closed = threading.Event(), threading.Event()

        @expose(concurrent=True)
        @behavior(instance_mode="session")
        class Session:
            async def stay(self) -> None:
                entered.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0)
                    trace.append("call")

            def close(self) -> None:
                trace.append("closed")
                closed.set()

        session = await proxy(self.serve(Session, self.servertype))
        call = asyncio.ensure_future(session.stay())
        await self.wait_for_event(entered)
        session._pyro.connections[0].abort()
        with self.assertRaises(errors.ConnectionClosedError):
            await call
        await self.wait_for_event(closed)
        self.assertEqual(trace, ["call", "closed"])
        await session._pyroRelease()

    async def test_the_number_of_calls_of_a_client_is_bounded(self) -> None:
        with mock.patch.object(detached, "MAX_DETACHED", 2):
            async with proxy(self.hall_uri()) as hall:
                await hall
                calls = [asyncio.ensure_future(hall.visit(name)) for name in "abcd"]
                await self.entered(3)  # the third one is waited for: nothing is read meanwhile
                self.hall.open(*"abcd")
                self.assertEqual(await asyncio.gather(*calls), ["a", "b", "c", "d"])

    async def test_a_stream_does_not_delay_other_calls(self) -> None:
        async with proxy(self.hall_uri()) as hall:
            steps = await hall.steps(["one", "two"])
            first = asyncio.ensure_future(steps.__anext__())
            await self.entered()
            self.assertEqual(await hall.echo("beside"), "beside")
            await hall.open("one", "two")
            self.assertEqual([await first] + [each async for each in steps], ["one", "two"])

    async def test_large_replies(self) -> None:
        async with proxy(self.hall_uri()) as hall:
            sizes = [3000000, 1, 400000, 70000, 2]
            self.assertEqual([len(each) for each in await asyncio.gather(*[hall.large(size) for size in sizes])], sizes)

    async def test_a_method_that_raises_systemexit_ends_the_connection(self) -> None:
        with self.assertLogs("Pyro5.server", "WARNING"):
            async with proxy(self.hall_uri()) as hall:
                with self.assertRaises(errors.ConnectionClosedError):
                    await hall.exit()
                self.assertEqual(await hall.echo(1), 1)

    async def test_tls(self) -> None:
        config.SSL = True
        config.SSL_SERVERCERT = os.path.join(CERTIFICATES, "server.pem")
        config.SSL_SERVERKEY = os.path.join(CERTIFICATES, "server.key")
        config.SSL_CACERTS = os.path.join(CERTIFICATES, "ca.pem")
        async with proxy(self.hall_uri(host="localhost")) as hall:
            await hall
            calls = [asyncio.ensure_future(hall.visit(name)) for name in "abc"]
            await self.entered(3)
            await hall.open("c")
            self.assertEqual(await calls[2], "c")
            await hall.open("a", "b")
            self.assertEqual(await asyncio.gather(*calls), ["a", "b", "c"])
            self.assertEqual(await asyncio.gather(*[hall.echo(each) for each in range(50)]), list(range(50)))

    async def test_calls_that_run_at_shutdown_get_their_time(self) -> None:
        uri = self.hall_uri()
        hall = await proxy(uri)
        call = asyncio.ensure_future(hall.visit("late"))
        await self.entered()
        timer = threading.Timer(0.05, self.hall.open, ["late"])
        timer.start()
        await asyncio.get_running_loop().run_in_executor(None, self.at_end.close)  # the end of the daemon
        timer.join()
        self.assertEqual(await call, "late")
        await hall._pyroRelease()

    async def test_clients_that_announced_nothing_are_answered_in_order(self) -> None:
        uri = client.Proxy(self.hall_uri())._pyroUri
        loop = asyncio.get_running_loop()
        with RawClient(await loop.run_in_executor(None, connect, uri)) as peer:
            peer.send(protocol.SendingMessage(protocol.MSG_CONNECT, 0, 0, 3,
                                              b'{"handshake": "hello", "object": "stage"}').data)
            await loop.run_in_executor(None, peer.read)
            for seq, name in enumerate("ab", 1):
                peer.send(call_request("visit", name, seq=seq, object_id="stage"))
            await self.entered()
            self.assertFalse(self.hall.entered.acquire(blocking=False))
            self.hall.open("b", "a")
            messages: List[Any] = [await loop.run_in_executor(None, peer.read) for _ in range(2)]
        self.assertEqual([message.seq for message in messages], [1, 2])

    async def test_other_proxies_do_not_announce_it(self) -> None:
        def script(peer: Peer) -> Any:
            request = peer.welcome()
            peer.answer(peer.read_call(), 1)
            peer.wait_for_close()
            return bytes(request.annotations["FEAT"])

        def call(uri: str) -> None:
            with client.Proxy(uri) as remote:
                remote.echo(1)

        with ScriptedServer(script) as server:
            await asyncio.get_running_loop().run_in_executor(None, call, server.uri)
        self.assertNotIn(b"ooo", server.results[0].split())


class AioServer(ThreadServer):
    servertype = "aio"


class MultiplexServer(ThreadServer):
    servertype = "multiplex"


def connect(uri: Any) -> Any:
    return socket.create_connection((uri.host, uri.port))


class ScriptedServers(AioTestCase):
    """A scripted server that announces the feature."""

    def welcome(self, peer: Peer) -> None:
        request = peer.read()
        peer.send(protocol.MSG_CONNECTOK, request,
                  {"handshake": "hello", "meta": {"methods": ["echo"], "oneway": [], "attrs": []}},
                  annotations={"FEAT": b"ooo"})

    async def test_any_order(self) -> None:
        def script(peer: Peer) -> None:
            self.welcome(peer)
            for request in reversed([peer.read_call() for _ in range(50)]):
                peer.answer(request, request.args[0])
            peer.serve(lambda method, value: value)

        with ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                await remote
                self.assertEqual(await asyncio.gather(*[remote.echo(each) for each in range(50)]), list(range(50)))
                self.assertEqual(await remote.echo("next"), "next")

    async def test_a_reply_that_comes_twice_ends_the_connection(self) -> None:
        def script(peer: Peer) -> None:
            self.welcome(peer)
            requests = [peer.read_call() for _ in range(3)]
            peer.answer(requests[1], 1)
            peer.answer(requests[1], 1)

        def second(peer: Peer) -> None:
            self.welcome(peer)
            peer.serve(lambda method, value: value)

        with ScriptedServer(script, second) as server:
            async with proxy(server.uri) as remote:
                await remote
                outcomes = await asyncio.gather(*[remote.echo(each) for each in range(3)], return_exceptions=True)
                self.assertEqual([type(each) for each in outcomes], [errors.ProtocolError, int, errors.ProtocolError])
                self.assertIn("no call has its sequence number", str(outcomes[0]))
                self.assertEqual(await remote.echo("next"), "next")

    async def test_the_number_of_a_cancelled_call_is_not_used_before_its_reply_has_come(self) -> None:
        go = threading.Event()

        def script(peer: Peer) -> Any:
            self.welcome(peer)
            late = peer.read_call()
            numbers = []
            for _ in range(70000):
                request = peer.read_call()
                numbers.append(request.message.seq)
                peer.answer(request, request.args[0])
                if len(numbers) == 300:
                    break
            go.wait(PATIENCE_SECONDS)
            peer.answer(late, "late")
            peer.serve(lambda method, value: value)
            return late.message.seq in numbers

        with ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                await remote
                connection = remote._pyro.connections[0]
                cancelled = asyncio.ensure_future(remote.echo("late"))
                while not connection.pending:
                    await asyncio.sleep(0)
                await asyncio.sleep(0.001)  # it is sent
                cancelled.cancel()
                connection.seq = 0x10000 - 150  # the numbers begin again at 0
                for number in range(300):
                    self.assertEqual(await remote.echo(number), number)
                self.assertEqual(len(connection.pending), 1)
                go.set()
                self.assertEqual(await remote.echo("next"), "next")
                self.assertEqual(len(connection.pending), 0)
        self.assertEqual(server.results, [False])

    async def test_the_window(self) -> None:
        enough = threading.Event()

        def script(peer: Peer) -> None:
            self.welcome(peer)
            requests = [peer.read_call() for _ in range(connection_module.WINDOW)]
            enough.wait(PATIENCE_SECONDS)
            peer.sock.setblocking(False)
            with self.assertRaises(BlockingIOError):
                peer.sock.recv(1)
            peer.sock.settimeout(PATIENCE_SECONDS)
            for request in requests:
                peer.answer(request, request.args[0])
            peer.serve(lambda method, value: value)

        self.assertEqual(connection_module.WINDOW, 1024)
        with mock.patch.object(connection_module, "WINDOW", 100), ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                await remote
                calls = [asyncio.ensure_future(remote.echo(number)) for number in range(250)]
                while len(remote._pyro.connections[0].pending) < connection_module.WINDOW:
                    await asyncio.sleep(0)
                enough.set()
                self.assertEqual(await asyncio.gather(*calls), list(range(250)))
