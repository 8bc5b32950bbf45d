"""Handshakes: requests and replies, accepted, refused and malformed."""
from __future__ import annotations

import marshal
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import errors, protocol, serializers
from Pyro5._messages import handshake
from Pyro5._wire import features
from Pyro5._messages.requests import WireOptions
from Pyro5.callcontext import current_context
from Pyro5.protocol import ReceivingMessage, SendingMessage
from Pyro5.serializers import SerializerBase

from ..support import correlation_of
from .helpers import CORRELATION, JSON, SERPENT, WIRE, InFreshContext, over_the_wire, with_each_serializer, with_payload


class Handshake(InFreshContext):
    @with_each_serializer
    def test_request(self, serializer: SerializerBase) -> None:
        current_context.annotations = {"ANNO": b"value"}
        current_context.correlation_id = CORRELATION
        request = over_the_wire(handshake.connect_request(serializer, 5, "object id", {"user": "me"}, WIRE))
        self.assertEqual(set(features.SUPPORTED) - features.OF_PIPELINES
                         - {features.AUTHENTICATION, features.CALLBACKS, features.TEXT_BYTES},
                         features.parse(request.annotations.pop("FEAT")))
        self.assertEqual((protocol.MSG_CONNECT, 5, serializer.serializer_id, CORRELATION, {"ANNO": b"value"}),
                         (request.type, request.seq, request.serializer_id, correlation_of(request), request.annotations))
        self.assertEqual(("object id", {"user": "me"}), handshake.parse_connect_request(request, serializer))

    def test_large_annotations_are_not_sent_in_a_handshake(self) -> None:
        for size, sent in ((60000, {"ANNO": b"x" * 60000}), (70000, {})):
            current_context.annotations = {"ANNO": b"x" * size}
            request = over_the_wire(handshake.connect_request(SERPENT, 5, "object id", "hello", WIRE))
            del request.annotations["FEAT"]
            self.assertEqual(sent, request.annotations)

    def test_malformed_requests(self) -> None:
        values: List[Any] = [None, "object", [], ["object", "handshake"], {}, {"object": "x"}, {"handshake": "x"}]
        for value in values:
            with self.subTest(value=value), self.assertRaises(errors.ProtocolError):
                handshake.parse_connect_request(with_payload(value), SERPENT)

    @with_each_serializer
    def test_accepted(self, serializer: SerializerBase) -> None:
        request = with_payload(None)
        reply = over_the_wire(handshake.connect_accepted(
            request, serializer, handshake.accepted_payload(serializer, "welcome", {"methods": ["echo"]}), CORRELATION.bytes,
            {"ANNO": b"value"}, WIRE))
        self.assertEqual((protocol.MSG_CONNECTOK, 1, CORRELATION, {"ANNO": b"value"}),
                         (reply.type, reply.seq, correlation_of(reply), reply.annotations))
        self.assertEqual(("welcome", {"methods": ["echo"]}), handshake.parse_connect_reply(reply))

    def test_accepted_without_metadata(self) -> None:
        self.assertEqual(("hello", None), handshake.parse_connect_reply(self.reply_with(SERPENT, "hello", None)))

    @with_each_serializer
    def test_refused(self, serializer: SerializerBase) -> None:
        reply = over_the_wire(handshake.connect_refused(with_payload(None), serializer, "no, because", CORRELATION.bytes,
                                                        WIRE))
        self.assertEqual((protocol.MSG_CONNECTFAIL, 1, serializer.serializer_id, CORRELATION),
                         (reply.type, reply.seq, reply.serializer_id, correlation_of(reply)))
        with self.assertRaisesRegex(errors.CommunicationError, "no, because"):
            handshake.parse_connect_reply(reply)

    def test_refused_before_the_serializer_is_known(self) -> None:
        reply = over_the_wire(handshake.connect_refused(None, None, "garbage", CORRELATION.bytes, WIRE))
        self.assertEqual((0, "marshal"), (reply.seq, serializers.get_serializer_by_id(reply.serializer_id).name))
        self.assertEqual("garbage", marshal.loads(reply.data))

    def test_a_refusal_has_no_size_limit(self) -> None:
        reply = handshake.connect_refused(None, None, "x" * 500, CORRELATION.bytes, WireOptions(max_size=10))
        with self.assertRaisesRegex(errors.CommunicationError, "xxx"):
            handshake.parse_connect_reply(over_the_wire(reply))

    def test_malformed_replies(self) -> None:
        with self.assertRaisesRegex(errors.ProtocolError, "type 5"):
            handshake.parse_connect_reply(with_payload({"handshake": 1, "meta": None}, msgtype=protocol.MSG_RESULT))
        values: List[Any] = [None, [], "x", {"handshake": 1}, {"meta": None}]
        for value in values:
            with self.subTest(value=value), self.assertRaises(errors.ProtocolError):
                handshake.parse_connect_reply(with_payload(value, msgtype=protocol.MSG_CONNECTOK))
        for msgtype in (protocol.MSG_CONNECTOK, protocol.MSG_CONNECTFAIL):
            with self.assertRaises(errors.CommunicationError):
                handshake.parse_connect_reply(over_the_wire(SendingMessage(msgtype, 0, 1, 1, b"")))

    def reply_with(self, serializer: SerializerBase, response: Any, metadata: Any) -> ReceivingMessage:
        payload = handshake.accepted_payload(serializer, response, metadata)
        return over_the_wire(handshake.connect_accepted(
            with_payload(None), serializer, payload, CORRELATION.bytes, {}, WIRE))

    @with_each_serializer
    def test_repeated_replies_are_cached(self, serializer: SerializerBase) -> None:
        metadata = {"methods": {"echo", "add"}, "oneway": set(), "attrs": set()}
        first, again = (handshake.parse_connect_reply(self.reply_with(serializer, "hello", metadata)) for _ in range(2))
        self.assertEqual(("hello", metadata), (first[0], {key: set(names) for key, names in (first[1] or {}).items()}))
        self.assertEqual(first, again)
        with mock.patch.object(serializer, "loads", side_effect=AssertionError):
            self.assertEqual(first, handshake.parse_connect_reply(self.reply_with(serializer, "hello", metadata)))

    @with_each_serializer
    def test_mutable_responses_are_not_cached(self, serializer: SerializerBase) -> None:
        for response, metadata in (({"user": ["me"]}, {"methods": ["echo"]}), ("hello", {"methods": [["echo"]]})):
            first, again = (handshake.parse_connect_reply(self.reply_with(serializer, response, metadata)) for _ in range(2))
            self.assertEqual(first, again)
            self.assertIsNot(first[1], again[1])
            self.assertIsNot(first[0] if response != "hello" else None, again[0])

    def test_the_cache_is_limited(self) -> None:
        for number in range(1000):
            handshake.parse_connect_reply(self.reply_with(JSON, str(number), {"methods": ["echo"]}))
        kept = dict(handshake._reply_cache)
        self.assertLess(len(kept), 100)
        self.assertEqual(("x" * 10000, {}), handshake.parse_connect_reply(self.reply_with(JSON, "x" * 10000, {})))
        self.assertEqual(kept, handshake._reply_cache)

    def test_reply_of_an_unknown_serializer(self) -> None:
        with self.assertRaises(errors.SerializeError):
            handshake.parse_connect_reply(over_the_wire(SendingMessage(protocol.MSG_CONNECTOK, 0, 1, 99, b"x")))


if __name__ == "__main__":
    unittest.main()
