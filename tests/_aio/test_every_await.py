"""Calls that are cancelled at each point where they wait: the connection stays usable, and nothing is left behind."""
from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable, Generator

from Pyro5 import aio, config, errors
from Pyro5._objects.exposure import expose

from .base import AioTestCase, Stage, proxy

MOST = 200  # points; more than any of these has


class Cancelled:
    """Awaits a coroutine, and cancels the current task when it waits for the n-th time.

    Attributes:
        was_reached: it has waited that often.
    """

    def __init__(self, coroutine: Any, n: int) -> None:
        self._coroutine = coroutine
        self._left = n
        self.was_reached = False

    def __await__(self) -> Generator[Any, Any, Any]:
        step, argument = self._coroutine.send, None
        while True:
            try:
                waits_for = step(argument)
            except StopIteration as x:
                return x.value
            if not self._left:
                self.was_reached = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            self._left -= 1
            try:
                step, argument = self._coroutine.send, (yield waits_for)
            except BaseException as x:
                step, argument = self._coroutine.throw, x


class Case(AioTestCase):
    servertype = "thread"

    async def check(self, scenario: Callable[[Any], Awaitable[Any]], shared: bool = True) -> None:
        """Cancel a scenario at each of its points, and use the proxy after each.

        Args:
            shared: one proxy for all; else a new one each time, so that connecting is cancelled too.
        """
        uri = self.serve(Stage(), self.servertype)
        remote = proxy(uri)
        try:
            for point in range(MOST):
                if not shared:
                    await remote._pyroRelease()
                    remote = proxy(uri)
                run = Cancelled(scenario(remote), point)
                outcome = (await asyncio.gather(asyncio.ensure_future(self.awaited(run)), return_exceptions=True))[0]
                self.assertEqual(await remote.echo(point), point)
                if not run.was_reached:
                    self.assertNotIsInstance(outcome, BaseException)
                    break
                self.assertIsInstance(outcome, asyncio.CancelledError)
                self.assertEqual(await asyncio.gather(*[remote.echo([point, each]) for each in range(3)]),
                                 [[point, each] for each in range(3)])
            else:
                self.fail("the scenario has no end")
            self.assertGreater(point, 0)
        finally:
            await remote._pyroRelease()

    @staticmethod
    async def awaited(run: Cancelled) -> Any:
        return await run


class EveryAwait(Case):
    async def test_calls_and_attributes(self) -> None:
        async def scenario(remote: Any) -> None:
            await remote.echo("other")
            await aio.setattr(remote, "speed", 3)
            await remote.speed
            await remote.note("noted")
            await remote.echo.options(timeout=100)("in time")

        await self.check(scenario)

    async def test_connecting(self) -> None:
        async def scenario(remote: Any) -> None:
            await remote
            await remote.echo("other")

        await self.check(scenario, shared=False)

    async def test_connecting_for_a_call(self) -> None:
        async def scenario(remote: Any) -> None:
            await remote.echo.options(wait_for_ready=True)("other")
            await remote._pyroRelease()
            await remote.speed

        await self.check(scenario, shared=False)

    async def test_streams(self) -> None:
        async def scenario(remote: Any) -> None:
            frames = await remote.frames(3)
            self.assertEqual([each async for each in frames], [0, 1, 2])
            async for _ in remote.frames(3):
                break

        for most in (1, 2):
            config.ITER_STREAM_BATCH = most
            await self.check(scenario)

    async def test_batches(self) -> None:
        async def scenario(remote: Any) -> None:
            batch = aio.BatchProxy(remote)
            batch.echo(1)
            batch.echo(2)
            self.assertEqual(list(await batch() or ()), [1, 2])

        await self.check(scenario)

    async def test_exclusive_use(self) -> None:
        async def scenario(remote: Any) -> None:
            async with remote._pyroExclusive():
                await remote.echo("alone")

        await self.check(scenario)

    async def test_exclusive_use_of_an_object_that_is_in_use(self) -> None:
        async def scenario(remote: Any) -> None:
            async with other._pyroExclusive():
                try:
                    async with remote._pyroExclusive(timeout=0.01):
                        self.fail("two have acquired it")
                except errors.BusyError:
                    pass

        uri = self.serve(Stage(), self.servertype)
        async with proxy(uri) as other, proxy(uri) as remote:
            for point in range(MOST):
                run = Cancelled(scenario(remote), point)
                outcome = (await asyncio.gather(asyncio.ensure_future(self.awaited(run)), return_exceptions=True))[0]
                for each in (remote, other):
                    async with each._pyroExclusive(timeout=20):
                        self.assertEqual(await each.echo(point), point)
                if not run.was_reached:
                    self.assertIsNone(outcome)
                    return
                self.assertIsInstance(outcome, asyncio.CancelledError)
            self.fail("the scenario has no end")


class Whole(Case):
    """What uses several connections or threads: callbacks, names, daemons."""

    async def test_callbacks(self) -> None:
        @expose
        class Listener:
            async def answer(self) -> None:
                pass

        async def scenario(remote: Any) -> None:
            async with proxy(remote._pyroUri) as other:
                await other._pyroCallback(Listener())

        await self.check(scenario)

    async def test_names(self) -> None:
        async def scenario(remote: Any) -> None:
            async with await aio.locate_ns("127.0.0.1", port) as names:
                async with names.registered("stage", remote._pyroUri):
                    await aio.resolve("PYRONAME:stage@127.0.0.1:%d" % port)
                async for _event in names.watch("stage"):
                    break

        _uri, daemon, _responder = await aio.start_ns("127.0.0.1", 0)
        port = daemon.sock.getsockname()[1]
        await self.check(scenario)
        await daemon.close()

    async def test_daemons(self) -> None:
        async def scenario(remote: Any) -> None:
            async with aio.Daemon() as daemon:
                async with proxy(str(daemon.register(Stage()))) as other:
                    await other.echo("other")

        await self.check(scenario)
