"""Calls, attributes, streams and batches of asyncio proxies, with real daemons of both server types."""
from __future__ import annotations

import asyncio
import copy
import uuid
from typing import Any, List

from Pyro5 import aio, client, config, errors
from Pyro5._objects.exposure import expose
from Pyro5.callcontext import current_context

from .base import AioTestCase, Stage, proxy


class Calls(AioTestCase):
    """With the thread server; `CallsMultiplex` runs the same with the other one."""

    servertype = "thread"

    def setUp(self) -> None:
        super().setUp()
        self.stage = Stage()
        self.uri = self.serve(self.stage, self.servertype)

    async def test_calls_and_attributes(self) -> None:
        async with proxy(self.uri) as stage:
            self.assertEqual(await stage.echo([1, "two"]), [1, "two"])
            self.assertEqual(await stage.speed, 1)
            await aio.setattr(stage, "speed", 5)
            self.assertEqual(await stage.speed, 5)

    async def test_awaiting_a_proxy_connects_it(self) -> None:
        stage = await proxy(self.uri)
        self.assertIn("echo", stage._pyroMethods)
        await stage._pyroRelease()

    async def test_many_calls_at_once_get_their_own_results(self) -> None:
        async with proxy(self.uri) as stage:
            results = await asyncio.gather(*[stage.echo(number) for number in range(300)])
            self.assertEqual(results, list(range(300)))

    async def test_calls_of_one_turn_leave_in_one_send(self) -> None:
        async with proxy(self.uri) as stage:
            await stage
            (connection,) = stage._pyro.connections
            sizes: List[int] = []
            write = connection.transport.write

            class Counting:
                def write(self, data: bytes) -> None:
                    sizes.append(len(data))
                    write(data)

                def __getattr__(self, name: str) -> Any:
                    return getattr(transport, name)

            transport, connection.transport = connection.transport, Counting()
            await asyncio.gather(*[stage.echo(number) for number in range(20)])
            self.assertEqual(len(sizes), 1)

    async def test_a_call_works_as_a_coroutine(self) -> None:
        async with proxy(self.uri) as stage:
            self.assertEqual(await asyncio.create_task(stage.echo(1)), 1)
            self.assertEqual(await asyncio.wait_for(stage.echo(2), 20), 2)
            self.assertEqual(await asyncio.shield(stage.echo(3)), 3)
            call = stage.echo(4)
            self.assertEqual(await call, 4)
            with self.assertRaises(RuntimeError):
                await call

    async def test_a_call_that_is_not_awaited_is_not_sent_and_warns(self) -> None:
        async with proxy(self.uri) as stage:
            with self.assertWarnsRegex(RuntimeWarning, "the remote call of 'note' was never awaited"):
                stage.note(1)
            stage.note(2).close()
            self.assertEqual(await stage.notes(), [])

    async def test_remote_exceptions_have_the_remote_traceback(self) -> None:
        async with proxy(self.uri) as stage:
            with self.assertRaisesRegex(ValueError, "broken") as caught:
                await stage.fail("broken")
            self.assertIn("raise ValueError(text)", "".join(caught.exception._pyroTraceback))  # type: ignore[attr-defined]

    async def test_names_that_are_not_exposed(self) -> None:
        async with proxy(self.uri) as stage:
            for use in (stage.nothing, stage.nothing()):
                with self.assertRaisesRegex(AttributeError, "has no exposed attribute or method 'nothing'"):
                    await use
            with self.assertRaisesRegex(TypeError, "is a method: call it"):
                await stage.echo
            with self.assertRaisesRegex(TypeError, "is an attribute, not a method"):
                await stage.speed()
            with self.assertRaisesRegex(AttributeError, "no exposed attribute 'nothing'"):
                await aio.setattr(stage, "nothing", 1)
            with self.assertRaises(AttributeError):
                getattr(stage, "_private")  # noqa: B009
            with self.assertRaisesRegex(AttributeError, "await aio.setattr"):
                stage.speed = 3

    async def test_oneway_calls(self) -> None:
        async with proxy(self.uri) as stage:
            self.assertIsNone(await stage.note("declared"))
            await self.wait_for_event(self.stage.noted)
            self.assertIsNone(await stage.fail.tell("not reported"))
            self.assertEqual(await stage.notes(), ["declared"])

    async def test_a_oneway_call_is_sent_although_the_proxy_is_released_at_once(self) -> None:
        async with proxy(self.uri) as stage:
            await stage.note("last")
        await self.wait_for_event(self.stage.noted)

    async def test_streams(self) -> None:
        async with proxy(self.uri) as stage:
            self.assertEqual([each async for each in stage.frames(50)], list(range(50)))
            self.assertEqual([each async for each in await stage.frames(0)], [])
            with self.assertRaisesRegex(TypeError, "needs a method that returns an iterator"):
                async for _ in stage.echo(1):
                    pass

    async def test_leaving_a_loop_closes_the_stream(self) -> None:
        async with proxy(self.uri) as stage:
            async for number in stage.frames(10000):
                if number == 3:
                    break
            await self.wait_for_event(self.stage.streams_closed)
            self.assertEqual(await stage.echo("goes on"), "goes on")

    async def test_leaving_a_loop_just_before_the_proxy_is_released(self) -> None:
        async with proxy(self.uri) as stage:
            async for number in stage.frames(10000):
                if number == 3:
                    break
        await self.wait_for_event(self.stage.streams_closed)  # else only when ITER_STREAM_LINGER is over

    async def test_a_stream_can_be_closed(self) -> None:
        async with proxy(self.uri) as stage:
            frames = await stage.frames(10000)
            self.assertEqual(await frames.__anext__(), 0)
            await frames.aclose()
            await self.wait_for_event(self.stage.streams_closed)
            with self.assertRaises(StopAsyncIteration):
                await frames.__anext__()

    async def test_batches(self) -> None:
        async with proxy(self.uri) as stage:
            batch: Any = aio.BatchProxy(stage)
            batch.echo(1)
            batch.fail("in the middle")
            batch.echo(3)
            results = await batch()
            self.assertEqual(next(results), 1)
            with self.assertRaisesRegex(ValueError, "in the middle"):
                next(results)
            batch.note("batched")
            self.assertIsNone(await batch(oneway=True))
            await self.wait_for_event(self.stage.noted)

    async def test_the_timeout_of_a_call_replaces_that_of_the_proxy(self) -> None:
        async with proxy(self.uri) as stage:
            await stage
            stage._pyroTimeout = 0.02
            call = asyncio.ensure_future(stage.wait.options(timeout=20)())
            await asyncio.sleep(0.1)
            self.stage.gate.set()
            self.assertEqual(await call, "open")

    async def test_options(self) -> None:
        async with proxy(self.uri) as stage:
            echo = stage.echo.options(timeout=20, retry=aio.Retry(2), wait_for_ready=True, serializer="marshal")
            self.assertEqual(await echo((1, b"2")), (1, b"2"))
            self.assertEqual(await stage.context.options(annotations={"ABCD": b"x"})(), [AnyUuid(), {"ABCD": "x"}])
            for options in ({"timeout": -1}, {"serializer": "unknown"}):
                with self.assertRaises((ValueError, errors.SerializeError)):
                    stage.echo.options(**options)
            with self.assertRaises(TypeError):
                stage.echo.options(retry=3)

    async def test_each_task_has_its_own_context(self) -> None:
        async def call(stage: Any, number: int) -> Any:
            current_context.correlation_id = uuid.UUID(int=number + 1)
            current_context.annotations = {"NUMB": b"%d" % number}
            answer = await stage.answer_with(str(number))
            return await stage.context(), bytes(current_context.response_annotations.get("TEXT", b"")), answer

        async with proxy(self.uri) as stage:
            results = await asyncio.gather(*[call(stage, number) for number in range(10)])
        for number, (context, _, answer) in enumerate(results):
            self.assertEqual(context, [str(uuid.UUID(int=number + 1)), {"NUMB": str(number)}])
            self.assertEqual(answer, str(number))

    async def test_annotations_of_the_reply(self) -> None:
        async with proxy(self.uri) as stage:
            await stage.answer_with("stamped")
            self.assertEqual(bytes(current_context.response_annotations["TEXT"]), b"stamped")

    async def test_large_messages(self) -> None:
        text = "large " * 500000
        async with proxy(self.uri) as stage:
            results = await asyncio.gather(stage.echo(1), stage.echo(text), stage.echo(text), stage.echo(2))
            self.assertEqual([1, text, text, 2], results)

    async def test_proxies_are_sent_and_received(self) -> None:
        async with proxy(self.uri) as stage:
            (received,) = await stage.echo([stage])
            self.assertIs(type(received), aio.Proxy)
            self.assertEqual(received, stage)
            self.assertEqual(await received.echo("through it"), "through it")
            await received._pyroRelease()

    async def test_a_copy_has_the_options(self) -> None:
        stage = proxy(self.uri, timeout=3, handshake="mine")
        copied = copy.copy(stage)
        self.assertEqual((copied._pyroTimeout, copied._pyroHandshake), (3, "mine"))
        self.assertEqual(copied, stage)
        self.assertIn("not connected", repr(copied))

    async def test_arguments_that_cannot_be_sent(self) -> None:
        async with proxy(self.uri) as stage:
            with self.assertRaisesRegex(Exception, "calling echo of"):
                await stage.echo.options(serializer="json")(object())
            self.assertEqual(await stage.echo("goes on"), "goes on")

    async def test_an_object_that_is_not_there(self) -> None:
        async with proxy(self.uri.replace("stage", "missing")) as stage:
            with self.assertRaisesRegex(errors.CommunicationError, "unknown object") as caught:
                await stage.echo(1)
            self.assertIs(caught.exception.sent, False)


class CallsMultiplex(Calls):
    servertype = "multiplex"


class AnyUuid:
    """Equals the text of every UUID."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and bool(uuid.UUID(other))


@expose
class Counter:
    """An object with a state for each connection."""

    def __init__(self) -> None:
        self._count = 0

    def next(self) -> int:
        self._count += 1
        return self._count


class Sessions(AioTestCase):
    async def test_calls_of_a_session_keep_their_order_on_one_connection(self) -> None:
        uri = self.serve(Counter)
        async with proxy(uri) as counter:
            results = await asyncio.gather(*[counter.next() for _ in range(150)])
            self.assertEqual(results, list(range(1, 151)))
            self.assertEqual(len(counter._pyro.connections), 1)

    async def test_a_proxy_of_the_other_kind_is_not_changed(self) -> None:
        uri = self.serve(Counter)

        def use() -> int:
            with client.Proxy(uri) as counter:
                return int(counter.next())

        self.assertEqual(await asyncio.get_running_loop().run_in_executor(None, use), 1)

    async def test_settings_take_effect_at_the_next_call(self) -> None:
        uri = self.serve(Stage())
        async with proxy(uri) as stage:
            self.assertEqual(await stage.echo((1,)), (1,))
            config.SERIALIZER = "json"
            self.assertEqual(await stage.echo((1,)), [1])
