"""Calls whose arguments and results are instances of registered types."""
from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import importlib.util
import threading
import unittest
from typing import Any, AsyncIterator, Awaitable, Dict, Iterator, List, Optional, Protocol

from Pyro5 import aio, api, errors, protocol
from Pyro5._values import registered_types

from .peers import Peer, ScriptedServer
from .support import daemon_thread

NAMES = [name for name in ("serpent", "json", "marshal", "msgpack")
         if name != "msgpack" or importlib.util.find_spec("msgpack") is not None]


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    color: Color = Color.RED


class Canvas(Protocol):
    def move(self, point: Point, by: int = 0) -> Point: ...
    def many(self, points: List[Point]) -> Dict[str, List[Point]]: ...
    def nothing(self) -> Optional[Point]: ...
    def wrong(self) -> Point: ...
    def stream(self) -> Iterator[Point]: ...
    def plain(self, number: int) -> int: ...
    @property
    def origin(self) -> Point: ...


class AioCanvas(Protocol):
    async def move(self, point: Point, by: int = 0) -> Point: ...
    def many(self, points: List[Point]) -> Awaitable[Dict[str, List[Point]]]: ...
    def stream(self) -> AsyncIterator[Point]: ...
    @property
    def origin(self) -> Awaitable[Point]: ...


@api.expose
class Painter:
    def __init__(self) -> None:
        self.seen: List[Any] = []
        self.told = threading.Event()
        self._origin = Point(0)

    def move(self, point: Point, by: int = 0) -> Point:
        self.seen.append(point)
        return Point(point.x + by, point.color)

    def many(self, *points: Point, **named: Point) -> Dict[str, List[Point]]:
        self.seen.append([points, named])
        return {"points": list(points) + list(named.values())}

    def nothing(self) -> Optional[Point]:
        return None

    def wrong(self) -> Any:
        return "text"

    def stream(self) -> Iterator[Point]:
        yield Point(1)

    def plain(self, number: int) -> int:
        return number

    @staticmethod
    def color_name(color: Color) -> str:
        return color.name

    @classmethod
    def class_name(cls, color: Color) -> str:
        return cls.__name__ + color.name

    async def later(self, point: Point) -> int:
        return point.x

    @api.oneway
    def tell(self, point: Point) -> None:
        self.seen.append(point)
        self.told.set()

    @property
    def origin(self) -> Point:
        return self._origin

    @origin.setter
    def origin(self, value: Point) -> None:
        self._origin = value


class Calls(unittest.TestCase):
    def setUp(self) -> None:
        api.register_types(Color, Point)
        for clazz in (Color, Point):
            self.addCleanup(registered_types.unregister, clazz)
        self.painter = Painter()
        daemon = api.Daemon()
        self.addCleanup(daemon.close)
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        self.daemon, self.uri = daemon, daemon.register(self.painter)

    def test_arguments_and_results_with_every_serializer(self) -> None:
        for name in NAMES:
            with self.subTest(name), api.Proxy[Canvas](self.uri, serializer=name) as proxy:  # type: ignore[attr-defined]
                self.assertEqual(Point(3), proxy.move(Point(1), by=2))
                self.assertEqual(Point(1), self.painter.seen[-1])
                self.assertEqual(Point(1), proxy.move(point=Point(1)))
                self.assertEqual({"points": [Point(1), Point(2)]}, proxy.many(Point(1), more=Point(2)))
                self.assertIsNone(proxy.nothing())
                self.assertEqual(5, proxy.plain(5))
                self.assertEqual(4, proxy.later(Point(4)))
                self.assertEqual("RED", proxy.color_name(Color.RED))
                self.assertEqual("PainterRED", proxy.class_name(Color.RED))
                proxy.origin = Point(7)
                self.assertEqual(Point(7), proxy.origin)
                self.assertEqual(Point(7), self.painter.origin)

    def test_plain_forms_are_rebuilt_by_annotations(self) -> None:
        with api.Proxy(self.uri) as proxy:
            self.assertEqual(Point(1), proxy.move({"x": 1, "color": 1}))
            self.assertEqual([Point(1)], self.painter.seen)

    def test_views_of_a_method(self) -> None:
        with api.Proxy[Canvas](self.uri) as proxy:
            move: Any = proxy.move
            self.assertEqual(Point(1), move.options(timeout=5)(Point(1)))
            self.assertEqual(Point(1), move.future(Point(1)).result(5))
            self.assertIsNone(move.tell(Point(1)))
            proxy._pyroMaxRetries = 1  # type: ignore[attr-defined]
            self.assertEqual(Point(1), proxy.move(Point(1)))

    def test_batches_and_oneway_calls(self) -> None:
        with api.Proxy(self.uri) as proxy:
            batch = api.BatchProxy(proxy)
            batch.move(Point(1))
            batch.plain(2)
            self.assertEqual([Point(1), 2], list(batch()))
            proxy.tell(Point(9))
            self.assertTrue(self.painter.told.wait(5))
        self.assertEqual([Point(1), Point(9)], self.painter.seen)

    def test_a_mismatch_is_a_type_error_before_the_method_runs(self) -> None:
        for name in NAMES:
            with self.subTest(name), api.Proxy(self.uri, serializer=name) as proxy:
                with self.assertRaises(TypeError) as caught:
                    proxy.move({"x": "left"})
                self.assertEqual("Painter.move() argument 'point'.x: expected int, found the str 'left'",
                                 str(caught.exception))
                with self.assertRaisesRegex(TypeError, r"^Painter.many\(\) argument 'b': expected Point, found None$"):
                    proxy.many(b=None)
                with self.assertRaisesRegex(TypeError, r"^Painter.origin argument 'value': expected Point, found the int 5$"):
                    proxy.origin = 5
                batch = api.BatchProxy(proxy)
                batch.plain(1)
                batch.move(5)
                results = batch()
                self.assertEqual(1, next(results))
                with self.assertRaisesRegex(TypeError, "expected Point, found the int 5"):
                    next(results)
                with self.assertRaisesRegex(TypeError, "positional argument"):  # of the method itself
                    proxy.move()
                self.assertEqual(1, proxy.plain(1))
        self.assertEqual([], self.painter.seen)

    def test_a_result_that_does_not_fit(self) -> None:
        with api.Proxy[Canvas](self.uri) as proxy:
            with self.assertRaises(TypeError) as caught:
                proxy.wrong()
            self.assertEqual("the result of wrong: expected Point, found the str 'text'", str(caught.exception))
            self.assertFalse(errors.is_remote(caught.exception))
            self.assertEqual(5, proxy.plain(5))

    def test_types_that_are_registered_after_the_object(self) -> None:
        for clazz in (Color, Point):
            registered_types.unregister(clazz)
        painter = Painter()
        with api.Proxy(self.daemon.register(painter)) as proxy:
            with self.assertRaises(AttributeError):
                proxy.move({"x": 1})  # the method gets the dict
            api.register_types(Point, Color)
            proxy.move({"x": 1})
        self.assertEqual([{"x": 1}, Point(1)], painter.seen)

    def test_items_of_streams_of_another_release(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome(["stream"])
            peer.open_stream(peer.read_call(), "number")
            with contextlib.suppress(EOFError):
                for item in ({"x": 1}, {"x": 2, "color": 1}, {"x": "left"}):
                    peer.answer(peer.read_call(), item)
                peer.read()

        with ScriptedServer(script) as server, api.Proxy[Canvas](server.uri) as proxy:
            items = proxy.stream()
            self.assertEqual([Point(1), Point(2)], [next(items), next(items)])
            with self.assertRaisesRegex(TypeError, "^an item of the result of stream.x: expected int, found the str 'left'$"):
                next(items)

    def test_batches_of_another_release(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome(["move", "plain"])
            peer.answer(peer.read_call(), [{"x": 1}, 5], protocol.FLAGS_BATCH)
            peer.wait_for_close()

        with ScriptedServer(script) as server, api.Proxy[Canvas](server.uri) as proxy:
            batch = api.BatchProxy(proxy)
            batch.move(Point(1))
            batch.plain(5)
            self.assertEqual([Point(1), 5], list(batch()))

    def test_an_asyncio_proxy_with_an_interface(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome(["move", "many", "stream"], attrs=["origin"])
            for result in ({"x": 1}, {"a": [{"x": 2}]}, {"x": 3}, {"x": "left"}):
                peer.answer(peer.read_call(), result)
            peer.answer(peer.read_call(), [{"x": 4}], protocol.FLAGS_BATCH)
            peer.open_stream(peer.read_call(), "number")
            with contextlib.suppress(EOFError):
                peer.answer(peer.read_call(), {"x": 5})
                peer.answer(peer.read_call(), {"x": "left"})
                peer.read()

        async def run(uri: str) -> None:
            typed: Any = aio.Proxy[AioCanvas]
            async with typed(uri) as first:
                proxy = first.__copy__()
                self.assertEqual(Point(1), await proxy.move(Point(1)))
                self.assertEqual({"a": [Point(2)]}, await proxy.many([]))
                self.assertEqual(Point(3), await proxy.origin)
                with self.assertRaisesRegex(TypeError, "^the result of move.x: expected int, found the str 'left'$"):
                    await proxy.move(Point(1))
                batch = aio.BatchProxy(proxy)
                batch.move(Point(1))
                self.assertEqual([Point(4)], list(await batch()))
                with self.assertRaisesRegex(TypeError, "^an item of the result of stream.x: expected int"):
                    async for item in proxy.stream():
                        self.assertEqual(Point(5), item)
                await proxy._pyroRelease()

        with ScriptedServer(script) as server:
            asyncio.run(run(server.uri))

    def test_what_an_interface_makes_of_a_proxy(self) -> None:
        class Own(api.Proxy):
            pass

        typed: Any = Own[Canvas]
        with typed(self.uri) as proxy:
            self.assertIs(Own, type(proxy))
            self.assertIsInstance(proxy, typed)
            self.assertEqual(Point(1), proxy.move(Point(1)))
            with proxy.__copy__() as copied:
                self.assertEqual(Point(1), copied.move(Point(1)))

        class Derived(api.Proxy[Canvas]):  # type: ignore[misc]
            pass

        self.assertTrue(issubclass(Derived, api.Proxy))
        self.assertIs(api.Proxy, api.Proxy[Iterator])  # type: ignore[index]


if __name__ == "__main__":
    unittest.main()
