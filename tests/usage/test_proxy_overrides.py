"""Programs that change what proxies do: subclasses, patches on the class, and the undocumented members that they build on."""
from __future__ import annotations

import threading
import unittest
from concurrent import futures
from typing import Any, Iterator, List
from unittest import mock

import Pyro5.api
import Pyro5.client
from Pyro5 import errors
from Pyro5.api import current_context
from Pyro5.client import Proxy
from Pyro5.server import Daemon, expose, oneway

from ..peers import Peer, ScriptedServer
from ..support import PATIENCE_SECONDS, daemon_thread


@expose
class Shop:
    def __init__(self) -> None:
        self.heard = threading.Event()
        self._price = 3

    def square(self, number: int) -> int:
        return number * number

    def received(self) -> Any:
        return {key: bytes(value).decode() for key, value in current_context.annotations.items()}

    @oneway
    def hint(self) -> None:
        self.heard.set()

    def count(self, number: int) -> Iterator[int]:
        yield from range(number)

    @property
    def price(self) -> int:
        return self._price

    @price.setter
    def price(self, value: int) -> None:
        self._price = value

    def __len__(self) -> int:
        return 7


def refuse(response: Any) -> None:
    raise PermissionError(response)


@expose
class Bare:
    def ping(self) -> None:
        """Do nothing; there are no operators."""


class ShopTestCase(unittest.TestCase):
    def setUp(self) -> None:
        daemon = Daemon("127.0.0.1")
        self.shop = Shop()
        self.uri = daemon.register(self.shop, "shop")
        self.bare_uri = daemon.register(Bare(), "bare")
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

    def use_everything(self, proxy: Any) -> None:
        self.assertEqual(4, proxy.square(2))
        proxy.hint()
        self.assertTrue(self.shop.heard.wait(PATIENCE_SECONDS))
        self.assertEqual(3, proxy.price)
        proxy.price = 4
        self.assertEqual(7, len(proxy))
        self.assertEqual([0, 1], list(proxy.count(2)))
        batch = Pyro5.api.BatchProxy(proxy)
        batch.square(5)
        self.assertEqual([25], list(batch()))


# What use_everything() calls, in order.
ALL_CALLS = ["square", "hint", "__getattr__", "__setattr__", "__len__", "count",
             "get_next_stream_item", "get_next_stream_item", "get_next_stream_item", "<batch>"]


class Invoke(ShopTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen: List[str] = []

    def test_a_subclass_sees_every_call(self) -> None:
        seen = self.seen

        class Watching(Proxy):
            def _pyroInvoke(self, methodname: str, vargs: Any, kwargs: Any, flags: int = 0, objectId: Any = None) -> Any:
                seen.append(methodname)
                return super()._pyroInvoke(methodname, vargs, kwargs, flags, objectId)

        with Watching(self.uri) as proxy:
            self.use_everything(proxy)
        self.assertEqual(ALL_CALLS, seen)

    def patched(self) -> Any:
        original = Proxy._pyroInvoke

        def invoke(proxy: Proxy, methodname: str, *args: Any, **kwargs: Any) -> Any:
            self.seen.append(methodname)
            return original(proxy, methodname, *args, **kwargs)
        return invoke

    def test_a_patch_of_the_class_sees_every_call_of_proxies_that_were_used_before(self) -> None:
        with Proxy(self.uri) as proxy:
            self.assertEqual(1, proxy.square(1))
            with mock.patch.object(Proxy, "_pyroInvoke", self.patched()):
                self.use_everything(proxy)
            self.assertEqual(ALL_CALLS, self.seen)
            self.assertEqual(9, proxy.square(3))
            self.assertEqual(ALL_CALLS, self.seen)

    def test_a_patch_of_one_proxy(self) -> None:
        with Proxy(self.uri) as proxy, Proxy(self.uri) as other:
            self.assertEqual(1, proxy.square(1))
            with mock.patch.object(proxy, "_pyroInvoke", return_value="patched"):
                self.assertEqual("patched", proxy.square(2))
                self.assertEqual(4, other.square(2))
            self.assertEqual(4, proxy.square(2))

    def test_hooks_replaced_on_one_proxy_that_was_used_before(self) -> None:
        with Proxy(self.uri) as proxy:
            self.assertEqual({}, proxy.received())
            proxy._pyroAnnotations = lambda: {"MINE": b"yes"}
            self.assertEqual({"MINE": "yes"}, proxy.received())
            with mock.patch.object(proxy, "_pyroValidateHandshake", refuse):
                proxy._pyroRelease()
                with self.assertRaisesRegex(PermissionError, "hello"):
                    proxy.square(1)
            self.assertEqual(4, proxy.square(2))

    def test_annotations_replaced_on_the_class(self) -> None:
        with Proxy(self.uri) as proxy:
            proxy.square(1)
            with mock.patch.object(Proxy, "_pyroAnnotations", return_value=None) as annotations:
                proxy.square(1)
            self.assertEqual(1, annotations.call_count)

    def test_every_attempt_of_a_repeated_call_is_seen(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome(["work"])
            peer.read_call()  # and no answer: the connection ends

        def second(peer: Peer) -> None:
            peer.welcome(["work"])
            peer.answer(peer.read_call(), "done")
            peer.wait_for_close()

        with mock.patch.object(Proxy, "_pyroInvoke", self.patched()), ScriptedServer(script, second) as server, \
                Proxy(server.uri) as proxy:
            proxy._pyroMaxRetries = 2
            self.assertEqual("done", proxy.work())
        self.assertEqual(["work", "work"], self.seen)

    def test_remote_methods_made_by_hand(self) -> None:
        attempts = iter([errors.TimeoutError("late"), errors.ConnectionClosedError("gone"), "done"])
        send = mock.Mock(side_effect=attempts)
        self.assertEqual("done", Pyro5.client._RemoteMethod(send, "work", 2)(1, key=2))
        self.assertEqual([mock.call("work", (1,), {"key": 2})] * 3, send.mock_calls)
        with self.assertRaises(errors.TimeoutError):
            Pyro5.client._RemoteMethod(mock.Mock(side_effect=errors.TimeoutError("late")), "work")()


class Members(ShopTestCase):
    def test_metadata_is_fetched_and_given(self) -> None:
        with Proxy(self.uri) as proxy:
            self.assertIsNone(proxy._pyroGetMetadata())
            self.assertIn("square", proxy._pyroMethods)
            self.assertEqual({"hint"}, proxy._pyroOneway)
            self.assertIsNone(proxy._pyroGetMetadata(objectId="bare"))
            self.assertEqual({"ping"}, proxy._pyroMethods)
            proxy._pyroGetMetadata()
            self.assertEqual({"price"}, proxy._pyroAttrs)
        with Proxy(self.uri) as proxy:
            proxy._pyroGetMetadata(known_metadata={"methods": ["own"], "oneway": [], "attrs": []})
            self.assertEqual({"own"}, proxy._pyroMethods)
            self.assertIsNone(proxy._pyroConnection)

    def test_metadata_of_an_object_that_is_not_there(self) -> None:
        with Proxy(self.uri) as proxy, self.assertRaises(errors.DaemonError):
            proxy._pyroGetMetadata("nothing")

    def test_batches_of_calls_given_as_a_list(self) -> None:
        with Proxy(self.uri) as proxy:
            self.assertEqual([4, 9], proxy._pyroInvokeBatch([("square", (2,), {}), ("square", (3,), {})]))
            self.assertIsNone(proxy._pyroInvokeBatch([("square", (2,), {})], oneway=True))
            failed, = proxy._pyroInvokeBatch([("square", ("text",), {})])
            self.assertIsInstance(failed, Pyro5.core._ExceptionWrapper)
            with self.assertRaises(TypeError):
                failed.raiseIt()

    def test_a_batch_invoked_as_a_proxy(self) -> None:
        with Proxy(self.uri) as proxy:
            batch = Pyro5.client.BatchProxy(proxy)
            self.assertIsInstance(batch.square, Pyro5.client._BatchedRemoteMethod)
            batch.square(2)
            self.assertEqual([4], list(batch._pyroInvoke("ignored", (), {}) or ()))

    def test_types_of_methods_and_streams(self) -> None:
        with Proxy(self.uri) as proxy:
            self.assertIsInstance(proxy.square, Pyro5.client._RemoteMethod)
            self.assertIsInstance(proxy.count(1), Pyro5.client._StreamResultIterator)

    def test_the_connection_knows_its_object(self) -> None:
        with Proxy(self.uri) as proxy:
            proxy._pyroBind()
            assert proxy._pyroConnection is not None
            self.assertEqual("shop", proxy._pyroConnection.objectId)

    def test_exit_with_keyword_arguments(self) -> None:
        proxy = Proxy(self.uri)
        proxy._pyroBind()
        for manager in (proxy, Pyro5.client.BatchProxy(proxy), Daemon("127.0.0.1")):
            manager.__exit__(exc_type=None, exc_value=None, traceback=None)
        self.assertIsNone(proxy._pyroConnection)


class Operators(ShopTestCase):
    def test_what_the_object_lacks_is_an_attribute_error_and_a_type_error(self) -> None:
        with Proxy(self.bare_uri) as proxy:
            for use in (lambda: list(proxy), lambda: iter(proxy), lambda: len(proxy), lambda: proxy["k"], lambda: "k" in proxy,
                        lambda: proxy.__setitem__("k", 1), lambda: proxy.__delitem__("k")):
                for expected in (AttributeError, TypeError):
                    with self.assertRaisesRegex(expected, "has no exposed method '__"):
                        use()  # type: ignore[no-untyped-call]
            self.assertTrue(proxy)


class Batches(ShopTestCase):
    def test_a_pool_of_threads_calls_a_batch(self) -> None:
        with Proxy(self.uri) as proxy, futures.ThreadPoolExecutor(1) as pool:
            batch = Pyro5.client.BatchProxy(proxy)
            for number in range(4):
                batch.square(number)
            self.assertEqual([0, 1, 4, 9], list(pool.submit(batch).result(PATIENCE_SECONDS)))
            batch.square(5)
            self.assertEqual([25], list(batch()))


class Modules(unittest.TestCase):
    def test_names_of_the_client_module(self) -> None:
        self.assertIs(Pyro5.client.core, Pyro5.core)
        self.assertIs(Pyro5.client.current_context, Pyro5.current_context)
        for name in ("config", "errors", "log", "protocol", "serializers", "socketutil"):
            self.assertTrue(hasattr(Pyro5.client, name), name)
        self.assertFalse(hasattr(Pyro5.client, "no_such_name"))


if __name__ == "__main__":
    unittest.main()
