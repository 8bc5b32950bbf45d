"""Interceptors: of both kinds of daemons, and of both kinds of clients."""
from __future__ import annotations

import asyncio
import threading
import time
import unittest
import uuid
from typing import Any, Callable, Iterator, List, Tuple

import Pyro5.api
from Pyro5 import aio, config, errors
from Pyro5._observe.interceptors import of_asyncio_clients, of_clients
from Pyro5.api import BatchProxy, Daemon, Proxy, current_context, expose, oneway
from Pyro5.observe import remove_client_interceptor

from ..support import PATIENCE_SECONDS, aio_daemon_thread, daemon_thread


@expose
class Store:
    def __init__(self) -> None:
        self.values = {"a": 1}
        self.noted = threading.Event()
        self.threads: List[int] = []

    def get(self, key: str) -> int:
        self.threads.append(threading.get_ident())
        return self.values[key]

    async def get_later(self, key: str) -> int:
        await asyncio.sleep(0)
        current_context.response_annotations = {"LATE": b"yes"}
        return self.values[key]

    @expose(blocking=False)
    def get_now(self, key: str) -> int:
        return self.values[key]

    def keys(self) -> Iterator[str]:
        yield from self.values

    @oneway
    def note(self) -> None:
        self.noted.set()

    @property
    def size(self) -> int:
        return len(self.values)

    @size.setter
    def size(self, number: int) -> None:
        self.values["size"] = number

    def seen_annotations(self) -> List[str]:
        return sorted(current_context.annotations)


def noting(seen: List[Any]) -> Any:
    def audit(call: Any, proceed: Any) -> Any:
        seen.append((call.object_id, call.method))
        return proceed()
    return audit


USES: List[Tuple[str, Callable[[Any], Any], Any]] = [
    ("get", lambda proxy: proxy.get("a"), 1),
    ("get_later", lambda proxy: proxy.get_later("a"), 1),
    ("get_now", lambda proxy: proxy.get_now(key="a"), 1),
    ("__getattr__", lambda proxy: proxy.size, 1),
    ("keys", lambda proxy: list(proxy.keys()), ["a"]),
]


class OfADaemon(unittest.TestCase):
    def check_all_kinds_of_calls(self, store: Store, uri: Any, seen: List[Any]) -> None:
        with Proxy(uri) as proxy:
            for name, use, expected in USES:
                seen.clear()
                self.assertEqual(expected, use(proxy), name)
                self.assertEqual([("store", name)], seen)
            seen.clear()
            batch = BatchProxy(proxy)
            batch.get("a")
            batch.get_later("a")
            self.assertEqual([1, 1], list(batch()))
            proxy.note()
            self.assertTrue(store.noted.wait(PATIENCE_SECONDS))
            with self.assertRaises(AttributeError):
                proxy._pyroInvoke("__init__", (), {})
            self.assertEqual([("store", "get"), ("store", "get_later"), ("store", "note")], seen)

    def test_all_calls_pass(self) -> None:
        for server_type in "thread", "multiplex":
            config.SERVERTYPE = server_type
            self.addCleanup(setattr, config, "SERVERTYPE", "thread")
            with self.subTest(server_type), Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
                store, seen = Store(), []  # type: ignore[var-annotated]
                uri = daemon.register(store, "store")
                audit = daemon.intercept(noting(seen))

                self.check_all_kinds_of_calls(store, uri, seen)
                daemon.remove_interceptor(audit)
                seen.clear()
                with Proxy(uri) as proxy:
                    self.assertEqual(1, proxy.get("a"))
                self.assertEqual([], seen)

    def test_all_calls_pass_in_an_event_loop(self) -> None:
        daemon, store, seen = aio.Daemon("127.0.0.1"), Store(), []  # type: ignore[var-annotated]
        uri = daemon.register(store, "store")

        @daemon.intercept
        async def audit(call: Any, proceed: Any) -> Any:
            seen.append((call.object_id, call.method))
            await asyncio.sleep(0)
            return await proceed()

        with aio_daemon_thread(daemon):
            self.check_all_kinds_of_calls(store, uri, seen)
            self.assertNotIn(threading.get_ident(), store.threads)
            with Proxy(uri) as proxy, self.assertRaises(KeyError):
                proxy.get("none")

    def test_what_an_interceptor_sees(self) -> None:
        calls: List[Any] = []
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            @daemon.intercept
            def look(call: Any, proceed: Any) -> Any:
                calls.append(call)
                return proceed()

            with Proxy(daemon.register(Store(), "store")) as proxy:
                proxy.get.options(timeout=50, annotations={"NOTE": b"x"})("a")
                proxy.size = 5
                first, second = calls
                self.assertEqual(("store", "get", ("a",), {}, None, False), (
                    first.object_id, first.method, first.args, first.kwargs, first.user, first.oneway))
                self.assertTrue(0 < first.deadline - time.monotonic() <= 50)
                self.assertEqual(b"x", bytes(first.annotations["NOTE"]))
                self.assertIsInstance(first.correlation_id, uuid.UUID)
                self.assertEqual(proxy._pyroConnection.sock.getsockname(), first.client.peer_address)
                self.assertEqual(("__setattr__", ("size", 5), None), (second.method, second.args, second.deadline))

    def test_it_decides_whether_and_how_often_to_proceed(self) -> None:
        order: List[str] = []
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            @daemon.intercept
            def outer(call: Any, proceed: Any) -> Any:
                order.append("outer")
                if call.args == ("stop",):
                    raise PermissionError("not this one")
                return -1 if call.args == ("cached",) else proceed()

            @daemon.intercept
            def inner(call: Any, proceed: Any) -> Any:
                order.append("inner")
                try:
                    return proceed()
                except KeyError:
                    call.args = ("a",)
                    return proceed() + 100

            store = Store()
            with Proxy(daemon.register(store, "store")) as proxy:
                self.assertEqual(101, proxy.get("wrong"))
                self.assertEqual(2, len(store.threads))
                self.assertEqual(101, proxy.get_later("wrong"))
                self.assertEqual(b"yes", bytes(current_context.response_annotations["LATE"]))
                self.assertEqual(-1, proxy.get("cached"))
                with self.assertRaisesRegex(PermissionError, "not this one"):
                    proxy.get("stop")
            self.assertEqual(["outer", "inner"] * 2 + ["outer"] * 2, order)
            self.assertEqual(1, daemon.statistics()["objects"]["store"]["get"]["errors"])

    def test_a_batch_with_a_forbidden_call_has_no_effect(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            daemon.intercept(lambda call, proceed: proceed())
            store = Store()
            with Proxy(daemon.register(store, "store")) as proxy:
                with self.assertRaises(AttributeError):
                    proxy._pyroInvokeBatch([("get", ("a",), {}), ("_hidden", (), {})])
            self.assertEqual([], store.threads)

    def test_the_deadline_of_an_async_method_holds(self) -> None:
        @expose
        class Slow:
            async def wait(self) -> None:
                await asyncio.sleep(PATIENCE_SECONDS)

        ended = threading.Event()
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            @daemon.intercept
            def note_end(call: Any, proceed: Any) -> Any:
                try:
                    return proceed()
                finally:
                    ended.set()

            with Proxy(daemon.register(Slow())) as proxy, self.assertRaises(errors.TimeoutError):
                proxy.wait.options(timeout=0.1)()
            self.assertTrue(ended.wait(PATIENCE_SECONDS))

    def test_functions_of_the_other_kind_are_refused(self) -> None:
        async def later(call: Any, proceed: Any) -> Any:
            return await proceed()

        def now(call: Any, proceed: Any) -> Any:
            return proceed()

        with Daemon("127.0.0.1") as daemon:
            with self.assertRaisesRegex(TypeError, r"a coroutine function; for those, use Pyro5\.aio\.Daemon"):
                daemon.intercept(later)
            with self.assertRaisesRegex(TypeError, "an interceptor is a function"):
                daemon.intercept(3)  # type: ignore[type-var]
        with self.assertRaisesRegex(TypeError, r"use Pyro5\.aio\.intercept_clients"):
            Pyro5.api.intercept_clients(later)
        with self.assertRaisesRegex(TypeError, r"use Pyro5\.api\.intercept_clients"):
            aio.intercept_clients(now)


class OfClients(unittest.TestCase):
    def setUp(self) -> None:
        for interceptors in of_clients, of_asyncio_clients:
            self.addCleanup(setattr, interceptors, "installed", interceptors.installed)
        daemon = Daemon("127.0.0.1")
        self.addCleanup(daemon.close)
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        self.uri = daemon.register(Store(), "store")

    def test_all_calls_pass(self) -> None:
        seen: List[Any] = []

        @Pyro5.api.intercept_clients
        def watch(call: Any, proceed: Any) -> Any:
            seen.append((call.object_id, call.method, call.oneway))
            return proceed()

        with Proxy(self.uri) as proxy:
            for name, use, expected in USES:
                seen.clear()
                self.assertEqual(expected, use(proxy), name)
                self.assertEqual([("store", name, False)], seen)
            seen.clear()
            proxy.note()
            self.assertEqual(1, proxy.get.options(timeout=50)("a"))
            self.assertEqual(1, proxy.get.future("a").result(PATIENCE_SECONDS))
            batch = BatchProxy(proxy)
            batch.get("a")
            self.assertEqual([1], list(batch()))
            self.assertEqual([("note", True), ("get", False), ("get", False), ("<batch>", False)],
                             [(method, is_oneway) for _object_id, method, is_oneway in seen])
            remove_client_interceptor(watch)
            proxy.get("a")
            self.assertEqual(4, len(seen))

    def test_it_changes_what_is_sent(self) -> None:
        chain = uuid.uuid4()

        @Pyro5.api.intercept_clients
        def change(call: Any, proceed: Any) -> Any:
            call.annotations["MARK"] = b"1"
            call.correlation_id = chain
            if call.method == "get":
                call.args = ("a",)
                return proceed() + proceed()
            return proceed()

        with Proxy(self.uri) as proxy:
            self.assertEqual(["MARK", "MINE"], proxy.seen_annotations.options(annotations={"MINE": b"2"})())
            self.assertEqual(2, proxy.get("wrong"))
        self.assertIsNone(current_context.correlation_id)

    def test_asyncio_clients(self) -> None:
        seen: List[Any] = []

        @aio.intercept_clients
        async def change(call: Any, proceed: Any) -> Any:
            seen.append(call.method)
            call.annotations["MARK"] = b"1"
            result = await proceed()
            return result + await proceed() if call.method == "get" else result

        async def main() -> None:
            async with aio.Proxy(str(self.uri)) as proxy:
                self.assertEqual(2, await proxy.get("a"))
                self.assertEqual(["MARK"], await proxy.seen_annotations())
                self.assertEqual(1, await proxy.size)
                self.assertEqual(["a"], [key async for key in proxy.keys()])

        asyncio.run(main())
        self.assertEqual(["get", "seen_annotations", "__getattr__", "keys"], seen)


if __name__ == "__main__":
    unittest.main()
