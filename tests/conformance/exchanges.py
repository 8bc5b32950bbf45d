"""What goes beyond one call and its result: oneway, batches, streams, timeouts, annotations, proxies, instances, blobs."""
from __future__ import annotations

import re
import threading
import uuid
from Pyro5._messages.requests import BLOB_ANNOTATION
from typing import Any, List

from Pyro5 import config, current_context, errors, serializers
from Pyro5._values.uri import URI
from Pyro5.client import Proxy, SerializedBlob
from tests.conformance.places import PlaceTestCase
from tests.conformance.served import Bare, numbered_class

SHORT_SECONDS = 0.02


class OnewayAndBatches(PlaceTestCase):
    def test_oneway_does_not_wait(self) -> None:
        self.assertIsNone(self.proxy.note_later("later"))
        self.wait_for(self.thing.begun)
        self.assertEqual(self.proxy.note("sooner"), 1)
        self.thing.go_on.set()
        self.wait_for(self.thing.done)
        self.assertEqual(self.thing.notes, ["sooner", "later"])

    def test_oneway_says_nothing_of_errors(self) -> None:
        self.assertIsNone(self.proxy.fail_unheard())
        self.assertIsNone(self.proxy._pyroInvoke("fail_unheard", ("wrong arguments",), {}))
        self.wait_for(self.thing.done)
        self.assertEqual(self.proxy.give("in step"), "in step")

    def test_batch(self) -> None:
        batch = self.batch()
        for value in "abc":
            self.assertIsNone(batch.note(value))
        batch.echo(1, two=2)
        self.assertEqual(list(batch()), [1, 2, 3, [[1], {"two": 2}]])
        self.assertEqual(list(batch()), [])
        self.assertEqual(self.thing.notes, ["a", "b", "c"])

    def test_batch_with_an_error_in_the_middle(self) -> None:
        batch = self.batch()
        batch.note("before")
        batch.fail()
        batch.note("never")
        results = batch()
        self.assertEqual(next(results), 1)
        with self.assertRaisesRegex(ValueError, "wrong value") as caught:
            next(results)
        self.assertIn("in fail", "".join(caught.exception._pyroTraceback))  # type: ignore[attr-defined]
        self.assertEqual(list(results), [])
        self.assertEqual(self.thing.notes, ["before"])
        self.assertEqual(self.proxy.note("after"), 2)

    def test_batch_with_an_exception_of_an_unknown_class(self) -> None:
        batch = self.batch()
        batch.fail_strangely()
        with self.assertRaisesRegex(errors.PyroError, "StrangeError.*something strange"):
            next(batch())

    def test_batch_with_an_unknown_method(self) -> None:
        batch = self.batch()
        batch.note("never")
        batch.nobody()
        with self.assertRaisesRegex(AttributeError, "nobody"):
            batch()
        self.assertEqual(self.thing.notes, [])
        self.assertEqual(self.proxy.note("after"), 1)

    def test_oneway_batch(self) -> None:
        self.thing.go_on.set()
        batch = self.batch()
        batch.note("a")
        batch.note_later("b")
        self.assertIsNone(batch(oneway=True))
        self.wait_for(self.thing.done)
        self.assertEqual(self.proxy.note("c"), 3)
        self.assertEqual(self.thing.notes, ["a", "b", "c"])


class AsyncMethods(PlaceTestCase):
    def test_values_and_exceptions(self) -> None:
        large = "0123456789" * 20000
        self.assertEqual(self.proxy.give_later([1, "two"]), [1, "two"])
        self.assertTrue(self.proxy.give_later(large) == large)
        with self.assertRaisesRegex(ValueError, "wrong"):
            self.proxy.fail_later("wrong")

    def test_batches_with_ordinary_methods(self) -> None:
        batch = self.batch()
        for number in range(3):
            batch.give_later(number)
            batch.note(number)
        self.assertEqual(list(batch()), [0, 1, 1, 2, 2, 3])
        self.assertEqual(self.thing.notes, [0, 1, 2])

    def test_generators(self) -> None:
        for size in (1, 2):
            config.ITER_STREAM_BATCH = size
            self.assertEqual(list(self.proxy.count_later(3)), [0, 1, 2])
        self.thing.done.clear()
        stream = self.proxy.count_later(1000)
        self.assertEqual(next(stream), 0)
        stream.close()
        self.wait_for(self.thing.done)


class Streams(PlaceTestCase):
    def test_items_come_one_by_one(self) -> None:
        stream = self.proxy.count_to(3)
        self.assertEqual(next(stream), 1)
        self.assertEqual(self.proxy.note("in between"), 1)
        self.assertFalse(self.thing.done.is_set())
        self.assertEqual(list(stream), [2, 3])
        self.assertTrue(self.thing.done.is_set())
        with self.assertRaises(StopIteration):
            next(stream)

    def test_streams_side_by_side(self) -> None:
        self.assertEqual(list(zip(self.proxy.count_to(3), self.proxy.count_to(3))), [(1, 1), (2, 2), (3, 3)])

    def test_early_close(self) -> None:
        stream = self.proxy.count_to(1000)
        self.assertEqual(next(stream), 1)
        stream.close()
        self.wait_for(self.thing.done)
        with self.assertRaises(StopIteration):
            next(stream)
        self.assertEqual(self.proxy.note("in step"), 1)

    def test_stream_that_fails(self) -> None:
        stream = self.proxy.count_and_fail()
        self.assertEqual(next(stream), 1)
        with self.assertRaisesRegex(ValueError, "no more numbers"):
            next(stream)
        with self.assertRaisesRegex(errors.PyroError, "stream"):
            next(stream)
        self.assertEqual(self.proxy.note("in step"), 1)


class Timeouts(PlaceTestCase):
    def time_out(self) -> None:
        self.proxy._pyroBind()
        own_text = "wait.*" + self.thing._pyroId  # type: ignore[attr-defined]
        try:
            for seconds in (SHORT_SECONDS, 1.0, 10.0):
                self.proxy._pyroTimeout = seconds
                with self.assertRaises(errors.TimeoutError) as raised:
                    self.proxy.wait()
                # On a busy machine the first may be over before the call begins: then the error may be that of the server.
                if re.search(own_text, str(raised.exception)):
                    break
            self.assertRegex(str(raised.exception), own_text)
        finally:
            self.thing.go_on.set()
        self.assertIsNone(self.proxy._pyroConnection)
        self.proxy._pyroTimeout = None

    def test_timeout(self) -> None:
        self.time_out()
        if self.many_clients:
            self.assertEqual(self.proxy.note("on a new connection"), 1)
        else:
            with self.assertRaisesRegex(errors.ConnectionClosedError, "new proxy"):
                self.proxy.note("the reply to the other call would come first")


class Context(PlaceTestCase):
    def test_annotations_in_both_directions(self) -> None:
        current_context.annotations = {"ANNO": b"to the server"}
        self.assertEqual(self.proxy.context()["annotations"], {"ANNO": "to the server"})
        self.assertEqual({key: bytes(value) for key, value in current_context.response_annotations.items()},
                         {"RNNO": b"to the server"})
        self.proxy.nothing()
        self.assertEqual(current_context.response_annotations, {})
        current_context.annotations = {}
        self.assertEqual(self.proxy.context()["annotations"], {})

    def test_annotations_of_the_proxy(self) -> None:
        class Annotating(Proxy):
            def _pyroAnnotations(self) -> Any:
                return {"MINE": b"of the proxy"}

        proxy = self.connect(self.thing._pyroId, Annotating)
        self.assertEqual(proxy.context()["annotations"], {"MINE": "of the proxy"})
        self.assertEqual(self.proxy.context()["annotations"], {})

    def test_correlation_id(self) -> None:
        self.assertNotEqual(self.proxy.context()["correlation_id"], self.proxy.context()["correlation_id"])
        current_context.correlation_id = uuid.uuid4()
        expected = str(current_context.correlation_id)
        self.assertEqual(self.proxy.context()["correlation_id"], expected)
        current_context.annotations = {"ANNO": b"for the first server"}
        nested = self.proxy.context_of(self.proxy_for(self.listening_thing()))
        self.assertEqual(nested["correlation_id"], expected)
        self.assertEqual(nested["annotations"], {})
        self.assertEqual(current_context.response_annotations, {})

    def test_request_fields(self) -> None:
        context = self.proxy.context()
        self.assertEqual(context["serializer_id"], serializers.get_serializer(self.serializer).serializer_id)
        self.assertEqual(context["seq"], self.proxy._pyroSeq)
        self.assertTrue(context["peer_known"])
        self.assertIsNone(current_context.client)


class OtherObjects(PlaceTestCase):
    def reach(self, proxy: Any) -> Any:
        """Return a proxy for the object that a received proxy stands for (at no address, if on a ready-made socket)."""
        self.assertIsInstance(proxy, Proxy)
        self.addCleanup(proxy._pyroRelease)
        return proxy if self.many_clients else self.connect(proxy._pyroUri.object)

    def test_autoproxy_of_a_result(self) -> None:
        other = self.reach(self.proxy.make_other())
        self.assertEqual(other["who"], "the other one")
        self.assertEqual(self.reach(self.proxy.make_other()).note("x"), 1)

    def test_autoproxy_inside_a_result(self) -> None:
        (other,) = self.proxy.make_others()
        self.assertEqual(self.reach(other)["who"], "the other one")

    def test_autoproxy_of_an_argument(self) -> None:
        mine = self.listening_thing()
        self.assertEqual(self.proxy.kind_of(mine), "Proxy")
        self.assertEqual(self.proxy.tell(mine, "called back"), 1)
        self.assertEqual(mine.notes, ["called back"])

    def test_unregistered_objects_are_not_replaced(self) -> None:
        with self.assertRaises(errors.SerializeError):
            self.proxy.kind_of(Bare())

    def test_proxies_and_uris(self) -> None:
        mine = self.listening_thing()
        proxy = self.proxy_for(mine)
        self.assertEqual(self.proxy.uri_of(proxy), str(proxy._pyroUri))
        self.assertEqual(self.proxy.give(proxy), proxy)
        self.assertEqual(self.proxy.tell(proxy, "through a proxy"), 1)
        uri = URI("PYRO:some@where.example:1234")
        self.assertEqual(self.proxy.give(uri), uri)


class Instances(PlaceTestCase):
    def register(self, mode: str, creator: Any = None) -> str:
        self.clazz = numbered_class(mode, creator)
        self.daemon.register(self.clazz)
        self.addCleanup(self.daemon.unregister, self.clazz)
        object_id: str = self.clazz._pyroId
        return object_id

    def numbers(self, object_id: str) -> List[int]:
        """Return the instance numbers that two clients see in two calls each (one client in four, if only one can be)."""
        first = self.connect(object_id)
        second = self.connect(object_id) if self.many_clients else first
        return [first.which(), first.which(), second.which(), second.which()]

    def test_session(self) -> None:
        self.assertEqual(self.numbers(self.register("session")), [1, 1, 2, 2] if self.many_clients else [1, 1, 1, 1])

    def test_single(self) -> None:
        self.assertEqual(self.numbers(self.register("single")), [1, 1, 1, 1])

    def test_percall(self) -> None:
        self.assertEqual(self.numbers(self.register("percall")), [1, 2, 3, 4])

    def test_creator(self) -> None:
        def create(clazz: Any) -> Any:
            self.assertIs(clazz, self.clazz)
            instance = clazz()
            instance.number += 100
            return instance

        object_id = self.register("percall", create)
        self.assertEqual(self.clazz.made, 0)
        self.assertEqual(self.connect(object_id).which(), 101)

    def test_creator_that_fails(self) -> None:
        def create(clazz: Any) -> Any:
            raise LookupError("no instance today")

        with self.assertRaisesRegex(LookupError, "no instance today"):
            self.connect(self.register("session", create)).which()


class Blobs(PlaceTestCase):
    def test_blob(self) -> None:
        blob = SerializedBlob(["an", "info"], [{"some": ["data", 1]}])
        self.assertEqual(self.proxy.open_blob(blob), [["an", "info"], [{"some": ["data", 1]}]])
        self.assertNotIn(BLOB_ANNOTATION, current_context.annotations)

    def test_blob_passed_on_unread(self) -> None:
        mine = self.listening_thing()
        self.assertEqual(self.proxy.keep_blob(SerializedBlob(["topic"], ["data"])), ["topic"])
        self.assertIsInstance(self.thing.blob, SerializedBlob)
        self.assertEqual(self.proxy.pass_blob_on(self.proxy_for(mine)), [["topic"], ["data"]])

    def test_blob_must_be_alone(self) -> None:
        with self.assertRaises(errors.SerializeError):
            self.proxy.echo(SerializedBlob("info", 1), 2)
        self.assertEqual(self.proxy.note("in step"), 1)


class Ownership(PlaceTestCase):
    def test_other_threads_may_use_the_proxy(self) -> None:
        self.assertEqual(self.proxy.note("here"), 1)
        seen: List[Any] = []
        thread = threading.Thread(target=lambda: seen.append(self.proxy.note("there")))
        thread.start()
        thread.join()
        self.assertEqual([2], seen)
        self.assertEqual(self.proxy.note("here again"), 3)

    def test_in_strict_mode_another_thread_has_to_claim_the_proxy(self) -> None:
        self.addCleanup(setattr, config, "PROXY_SHARING", config.PROXY_SHARING)
        config.PROXY_SHARING = "strict"
        self.assertEqual(self.proxy.note("mine"), 1)
        seen: List[Any] = []

        def use() -> None:
            try:
                self.proxy.note("stolen")
            except errors.PyroError as x:
                seen.append(x)
            self.proxy._pyroClaimOwnership()
            seen.append(self.proxy.note("claimed"))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        self.assertRegex(str(seen[0]), "owner")
        self.assertEqual(seen[1], 2)
        with self.assertRaisesRegex(errors.PyroError, "owner"):
            self.proxy.note("no longer mine")
        self.proxy._pyroClaimOwnership()
        self.assertEqual(self.thing.notes, ["mine", "claimed"])
