"""Exclusive use of objects by asyncio proxies; further connections that are closed when they are idle."""
from __future__ import annotations

import asyncio
from unittest import mock

from Pyro5 import errors
from Pyro5._aio import idle
from tests.peers import Peer, ScriptedServer

from .base import AioTestCase, Stage, proxy


class Exclusive(AioTestCase):
    async def test_other_clients_are_refused_and_all_tasks_of_the_proxy_are_not(self) -> None:
        uri = self.serve(Stage())
        async with proxy(uri) as remote, proxy(uri) as other:
            async with remote._pyroExclusive():
                self.assertEqual(await asyncio.gather(*[remote.echo(each) for each in range(20)]), list(range(20)))
                with self.assertRaises(errors.BusyError):
                    await other.echo(1)
                async with remote._pyroExclusive():
                    self.assertEqual(await remote.echo(2), 2)
                with self.assertRaises(errors.BusyError):
                    async with other._pyroExclusive(timeout=0.01):
                        self.fail("two have acquired it")
                self.assertEqual(await remote.echo(3), 3)
            self.assertEqual(await other.echo(4), 4)
            async with other._pyroExclusive(timeout=20):
                self.assertEqual(await other.echo(5), 5)

    async def test_waiting_for_another_client(self) -> None:
        uri = self.serve(Stage())
        async with proxy(uri) as remote, proxy(uri) as other:
            begun = asyncio.Event()

            async def wait() -> int:
                begun.set()
                async with other._pyroExclusive():
                    return int(await other.echo(6))

            async with remote._pyroExclusive():
                waiting = asyncio.ensure_future(wait())
                await begun.wait()
                self.assertEqual(await remote.echo(1), 1)
                self.assertFalse(waiting.done())
            self.assertEqual(await waiting, 6)

    async def test_an_exception_releases_the_object(self) -> None:
        uri = self.serve(Stage())
        async with proxy(uri) as remote, proxy(uri) as other:
            with self.assertRaisesRegex(ValueError, "mine"):
                async with remote._pyroExclusive():
                    raise ValueError("mine")
            self.assertEqual(await other.echo(1), 1)

    async def test_a_cancelled_task_releases_the_object(self) -> None:
        uri = self.serve(Stage())
        async with proxy(uri) as remote, proxy(uri) as other:
            async def leave_cancelled() -> None:
                async with remote._pyroExclusive():
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()  # takes effect at the next point where it waits, which is in the release

            with mock.patch.object(remote._pyro, "cancel") as cancel:
                with self.assertRaises(asyncio.CancelledError):
                    await asyncio.ensure_future(leave_cancelled())
                cancel.assert_not_called()  # the server would not execute a release that is cancelled before it begins
            async with other._pyroExclusive(timeout=20):
                self.assertEqual(await other.echo(1), 1)
            self.assertEqual(await remote.echo(2), 2)

    async def test_a_lost_connection_releases_the_object(self) -> None:
        uri = self.serve(Stage())
        async with proxy(uri) as remote, proxy(uri) as other:
            async with remote._pyroExclusive():
                remote._pyro.connections[0].abort()
                async with other._pyroExclusive(timeout=20):
                    pass
            self.assertEqual(await remote.echo(1), 1)

    async def test_a_server_of_another_release(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome()
            peer.wait_for_close()

        with ScriptedServer(script) as server:
            async with proxy(server.uri) as remote:
                with self.assertRaisesRegex(errors.PyroError, "does not know exclusive use"):
                    async with remote._pyroExclusive():
                        self.fail("it is not exclusive")


class Idle(AioTestCase):
    async def test_further_connections_are_closed(self) -> None:
        stage = Stage()
        with mock.patch.object(idle.IdleConnections.__init__, "__defaults__", (0.01,)):
            async with proxy(self.serve(stage)) as remote:
                slow = asyncio.ensure_future(remote.wait())
                await self.wait_for_event(stage.entered)
                while not remote._pyro.connections[0].is_stalled:
                    await asyncio.sleep(0.001)
                self.assertEqual(await remote.echo(1), 1)
                first, further = remote._pyro.connections
                await asyncio.wait_for(further.wait_closed(), 20)
                self.assertEqual(remote._pyro.connections, [first])
                stage.gate.set()
                self.assertEqual(await slow, "open")
                self.assertEqual(await remote.echo(2), 2)

    async def test_connections_with_streams_or_calls_stay(self) -> None:
        stage = Stage()
        async with proxy(self.serve(stage)) as remote:
            frames = await remote.frames(3)
            connection = remote._pyro.connections[0]
            self.assertTrue(connection.was_used())
            self.assertTrue(connection.was_used())
            self.assertEqual([each async for each in frames], [0, 1, 2])
            connection.was_used()
            self.assertFalse(connection.was_used())
            await remote.echo(1)
            self.assertTrue(connection.was_used())
            stream = remote.frames(3)
            await stream.__aiter__().__anext__()
            call = asyncio.ensure_future(remote.wait())
            await self.wait_for_event(stage.entered)
            self.assertTrue(connection.was_used())
            self.assertTrue(connection.was_used())
            stage.gate.set()
            await call
