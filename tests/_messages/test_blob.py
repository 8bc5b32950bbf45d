"""Serialized blobs: sent, forwarded and deserialized."""
from __future__ import annotations

import marshal
import pickle
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import errors, protocol
from Pyro5._messages import requests
from Pyro5._messages.requests import SerializedBlob, WireOptions
from Pyro5.callcontext import current_context
from Pyro5.protocol import ReceivingMessage, SendingMessage
from Pyro5.serializers import SerializerBase

from .helpers import SERPENT, WIRE, InFreshContext, over_the_wire, with_each_serializer


class Blobs(InFreshContext):
    def send(self, blob: SerializedBlob, serializer: SerializerBase = SERPENT, wire: WireOptions = WIRE) -> ReceivingMessage:
        return over_the_wire(requests.invoke_request(serializer, 1, 0, "obj", "publish", (blob,), {}, wire))

    def receive(self, request: ReceivingMessage) -> SerializedBlob:
        call = requests.parse_invoke_request(request, SERPENT)
        self.assertEqual(("obj", "publish", {}), (call.object_id, call.method, call.kwargs))
        (blob,) = call.args
        return blob  # type: ignore[no-any-return]

    @with_each_serializer
    def test_one_hop(self, serializer: SerializerBase) -> None:
        request = self.send(SerializedBlob("topic", [{"some": ["data"]}]), serializer)
        self.assertTrue(request.flags & protocol.FLAGS_KEEPSERIALIZED)
        self.assertEqual(("topic", "obj", "publish"), marshal.loads(request.annotations["BLBI"]))
        blob = self.receive(request)
        self.assertEqual("topic", blob.info)
        self.assertEqual([{"some": ["data"]}], list(blob.deserialized()))

    @with_each_serializer
    def test_two_hops_keep_the_bytes_and_their_serializer(self, serializer: SerializerBase) -> None:
        for compress in (False, True):
            first = self.send(SerializedBlob("topic", ["x" * 200]), serializer, WireOptions(compress=compress))
            with mock.patch.object(type(SERPENT), "loads", side_effect=AssertionError), \
                    mock.patch.object(type(SERPENT), "loadsCall", side_effect=AssertionError):
                second = self.send(self.receive(first), SERPENT, WireOptions(compress=not compress))
            self.assertEqual((serializer.serializer_id, bytes(first.data)), (second.serializer_id, bytes(second.data)))
            self.assertEqual(["x" * 200], list(self.receive(second).deserialized()))

    def test_a_blob_that_was_not_sent_returns_its_data(self) -> None:
        self.assertEqual([1, 2], SerializedBlob("info", [1, 2]).deserialized())

    def test_its_module_is_the_documented_one(self) -> None:
        self.assertEqual("Pyro5.client", SerializedBlob.__module__)
        self.assertIs(SerializedBlob, pickle.loads(pickle.dumps(SerializedBlob)))

    def test_a_blob_must_be_the_only_argument(self) -> None:
        blob = SerializedBlob("info", 1)
        arguments: List[Any] = [((blob, 1), {}), ((1, blob), {}), ((blob, blob), {}), ((blob,), {"key": 1}),
                                ((), {"key": blob}), ((1,), {"key": blob})]
        for args, kwargs in arguments:
            with self.subTest(args=args, kwargs=kwargs), self.assertRaisesRegex(errors.SerializeError, "only argument"):
                requests.invoke_request(SERPENT, 1, 0, "obj", "method", args, kwargs, WIRE)

    def test_annotations_of_the_context_are_sent_and_not_changed(self) -> None:
        current_context.annotations = mine = {"MINE": b"value"}
        request = self.send(SerializedBlob("info", [1]))
        self.assertEqual({"MINE", "BLBI"}, set(request.annotations))
        self.assertEqual({"MINE": b"value"}, mine)
        self.assertIs(mine, current_context.annotations)
        plain = over_the_wire(requests.invoke_request(SERPENT, 1, 0, "obj", "method", (), {}, WIRE))
        self.assertEqual({"MINE"}, set(plain.annotations))

    def test_a_received_blob_needs_a_message(self) -> None:
        with self.assertRaises(TypeError):
            SerializedBlob("info", b"data", is_blob=True)

    def test_unknown_serializer(self) -> None:
        request = over_the_wire(SendingMessage(protocol.MSG_INVOKE, protocol.FLAGS_KEEPSERIALIZED, 1, 99, b"?",
                                               {"BLBI": marshal.dumps(("info", "obj", "publish"))}))
        with self.assertRaises(errors.SerializeError):
            self.receive(request).deserialized()

    def test_blob_flag_without_annotation(self) -> None:
        for annotations_sent in ({}, {"BLBI": b""}, {"BLBI": marshal.dumps(5)}, {"BLBI": marshal.dumps((1, 2))}):
            request = over_the_wire(SendingMessage(protocol.MSG_INVOKE, protocol.FLAGS_KEEPSERIALIZED, 1, 1, b"?",
                                                   annotations_sent))
            with self.assertRaisesRegex(errors.ProtocolError, "BLBI"):
                requests.parse_invoke_request(request, SERPENT)


if __name__ == "__main__":
    unittest.main()
