"""Requests: built, parsed, and refused when they are malformed."""
from __future__ import annotations

import functools
import unittest
from typing import Any, Dict, List

from Pyro5 import errors, protocol
from Pyro5._messages import requests
from Pyro5._messages.requests import Call, SerializedBlob, WireOptions
from Pyro5.callcontext import current_context
from Pyro5.serializers import SerializerBase

from ..support import correlation_of
from .helpers import CORRELATION, JSON, SERPENT, WIRE, InFreshContext, over_the_wire, with_each_serializer, with_payload


class Requests(InFreshContext):
    @with_each_serializer
    def test_call(self, serializer: SerializerBase) -> None:
        request = over_the_wire(requests.invoke_request(serializer, 9, protocol.FLAGS_ONEWAY, "obj", "method",
                                                     (1, "two"), {"three": 3}, WIRE))
        self.assertEqual((protocol.MSG_INVOKE, 9, serializer.serializer_id, protocol.FLAGS_ONEWAY, None, {}),
                         (request.type, request.seq, request.serializer_id, request.flags, correlation_of(request),
                          request.annotations))
        object_id, method, args, kwargs = requests.parse_invoke_request(request, serializer)
        self.assertEqual(("obj", "method", [1, "two"], {"three": 3}), (object_id, method, list(args), kwargs))

    @with_each_serializer
    def test_without_keyword_arguments(self, serializer: SerializerBase) -> None:
        no_arguments: List[Any] = [None, {}]
        for kwargs in no_arguments:
            request = requests.invoke_request(serializer, 1, 0, "obj", requests.GETATTR_METHOD, ("name",), kwargs, WIRE)
            self.assertEqual({}, requests.parse_invoke_request(over_the_wire(request), serializer).kwargs)

    def test_annotations_and_correlation_id_of_the_context(self) -> None:
        current_context.annotations = {"ANNO": b"value"}
        current_context.correlation_id = CORRELATION
        request = over_the_wire(requests.invoke_request(SERPENT, 1, 0, "obj", "method", (), {}, WIRE))
        self.assertEqual((CORRELATION, {"ANNO": b"value"}), (correlation_of(request), request.annotations))

    def test_plain_arguments(self) -> None:
        plain: List[Any] = [1, 2.5, None, True, "text", b"bytes", [1, {"a": 2}], (), {}]
        others: List[Any] = ["x" * 100000, b"x" * 100000, object(), [[object()]], SerializedBlob("blob", (1,)), {1, 2},
                             bytearray(1)]
        for kwargs in (None, {}):
            self.assertTrue(requests.are_plain((), kwargs))
            self.assertTrue(requests.are_plain(plain, kwargs))
        for value in plain:
            self.assertTrue(requests.are_plain((), {"named": value}))
        for value in others:
            self.assertFalse(requests.are_plain((1, value), {}), type(value))
            self.assertFalse(requests.are_plain((1,), {"first": 1, "named": value}), type(value))

    def test_compression_and_limit(self) -> None:
        request_of = functools.partial(requests.invoke_request, SERPENT, 1, 0, "obj", "method", ("x" * 1000,), {})
        request = request_of(WireOptions(max_size=500, compress=True))
        self.assertTrue(request.flags & protocol.FLAGS_COMPRESSED)
        self.assertEqual(["x" * 1000], list(requests.parse_invoke_request(over_the_wire(request), SERPENT).args))
        with self.assertRaises(errors.MessageTooLargeError):
            request_of(WireOptions(max_size=500))

    def test_malformed_calls(self) -> None:
        values: Dict[str, Any] = {"object": 1, "method": "m", "params": [], "kwargs": {}}
        changes: List[Dict[str, Any]] = [
            {}, {"object": "o", "method": 1}, {"object": "o", "method": None}, {"object": "o", "params": "text"},
            {"object": "o", "params": {"a": 1}}, {"object": "o", "params": None}, {"object": "o", "kwargs": [1]},
            {"object": "o", "kwargs": "text"}, {"object": ["o"]}]
        for change in changes:
            with self.subTest(change=change), self.assertRaises(errors.ProtocolError):
                requests.parse_invoke_request(with_payload({**values, **change}, JSON), JSON)

    @with_each_serializer
    def test_payloads_of_another_shape(self, serializer: SerializerBase) -> None:
        values: List[Any] = [None, 5, "text", [], [1, 2, 3], [1, 2, 3, 4, 5], {}]
        for value in values:
            with self.assertRaises((TypeError, ValueError, KeyError, errors.ProtocolError)):
                requests.parse_invoke_request(with_payload(value, serializer), serializer)

    @with_each_serializer
    def test_batch(self, serializer: SerializerBase) -> None:
        batched = [("first", (1,), {}), ("second", (), {"key": 2})]
        request = over_the_wire(requests.invoke_request(serializer, 1, protocol.FLAGS_BATCH, "obj", requests.BATCH_METHOD,
                                                     batched, None, WIRE))
        call = requests.parse_invoke_request(request, serializer)
        elements, names = requests.parse_batch(call)
        self.assertEqual([("first", [1], {}), ("second", [], {"key": 2})],
                         [(method, list(args), kwargs) for method, args, kwargs in elements])
        self.assertEqual({"first", "second"}, names)

    def test_malformed_batches(self) -> None:
        bad: List[Any] = [None, 5, "abc", (), ("m",), ("m", ()), ("m", (), {}, 1), (1, (), {}), ("m", "args", {}),
                          ([], (), {}), ("m", (), None), ("m", (), []), {"m": 1, "a": 2, "k": 3}]
        for element in bad:
            with self.subTest(element=element), self.assertRaises(errors.ProtocolError):
                requests.parse_batch(Call("obj", requests.BATCH_METHOD, (("ok", (), {}), element), {}))

    def test_method_names_of_a_batch_are_checked_before_they_are_hashed(self) -> None:
        class Unhashable(str):
            def __hash__(self) -> int:
                raise AssertionError("hashed")

        for method in (Unhashable("ok"), 2 ** 61 - 1):
            with self.subTest(method), self.assertRaises(errors.ProtocolError):
                requests.parse_batch(Call("obj", requests.BATCH_METHOD, (("ok", (), {}), (method, (), {})), {}))


if __name__ == "__main__":
    unittest.main()
