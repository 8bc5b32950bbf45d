"""What messages say: every request and reply is built, taken apart again, and refused when it is malformed."""
from __future__ import annotations

import contextvars
import functools
import marshal
import unittest
import uuid
from typing import Any, Callable, Dict, List
from unittest import mock

from Pyro5 import errors, protocol, serializers
from Pyro5._messages import handshake, replies, requests
from Pyro5._messages.blob import SerializedBlob
from Pyro5._messages.replies import ReplyTo
from Pyro5._messages.requests import Call, WireOptions
from Pyro5.callcontext import current_context
from Pyro5.protocol import HEADER_SIZE, ReceivingMessage, SendingMessage
from Pyro5.serializers import SerializerBase

from ..support import correlation_of

CORRELATION = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
WIRE = WireOptions()
SERIALIZERS: List[SerializerBase] = list(serializers.serializers.values())
SERPENT = serializers.get_serializer("serpent")
JSON = serializers.get_serializer("json")


def over_the_wire(message: SendingMessage) -> ReceivingMessage:
    data = message.data
    return ReceivingMessage(data[:HEADER_SIZE], data[HEADER_SIZE:])


def with_payload(value: Any, serializer: SerializerBase = SERPENT, msgtype: int = protocol.MSG_INVOKE,
                 flags: int = 0) -> ReceivingMessage:
    return over_the_wire(SendingMessage(msgtype, flags, 1, serializer.serializer_id, serializer.dumps(value)))


def reply_to(serializer: SerializerBase = SERPENT, max_size: int = 0, **annotations: bytes) -> ReplyTo:
    return ReplyTo(7, serializer, CORRELATION.bytes, annotations, WireOptions(max_size))


def with_each_serializer(test: Callable[[Any, SerializerBase], None]) -> Callable[[Any], None]:
    def run(self: Any) -> None:
        for serializer in SERIALIZERS:
            with self.subTest(serializer=serializer.name):
                test(self, serializer)
    return run


class InFreshContext(unittest.TestCase):
    """Every test runs in a context of its own, so that none leaves anything behind."""

    def run(self, result: Any = None) -> Any:
        return contextvars.Context().run(super().run, result)


class Handshake(InFreshContext):
    @with_each_serializer
    def test_request(self, serializer: SerializerBase) -> None:
        current_context.annotations = {"ANNO": b"value"}
        current_context.correlation_id = CORRELATION
        request = over_the_wire(handshake.connect_request(serializer, 5, "object id", {"user": "me"}, WIRE))
        self.assertEqual((protocol.MSG_CONNECT, 5, serializer.serializer_id, CORRELATION, {"ANNO": b"value"}),
                         (request.type, request.seq, request.serializer_id, correlation_of(request), request.annotations))
        self.assertEqual(("object id", {"user": "me"}), handshake.parse_connect_request(request, serializer))

    def test_large_annotations_are_for_calls(self) -> None:
        for size, sent in ((60000, {"ANNO": b"x" * 60000}), (70000, {})):
            current_context.annotations = {"ANNO": b"x" * size}
            request = over_the_wire(handshake.connect_request(SERPENT, 5, "object id", "hello", WIRE))
            self.assertEqual(sent, request.annotations)

    def test_requests_that_are_none(self) -> None:
        values: List[Any] = [None, "object", [], ["object", "handshake"], {}, {"object": "x"}, {"handshake": "x"}]
        for value in values:
            with self.subTest(value=value), self.assertRaises(errors.ProtocolError):
                handshake.parse_connect_request(with_payload(value), SERPENT)

    @with_each_serializer
    def test_accepted(self, serializer: SerializerBase) -> None:
        request = with_payload(None)
        reply = over_the_wire(handshake.connect_accepted(
            request, serializer, handshake.welcome(serializer, "welcome", {"methods": ["echo"]}), CORRELATION.bytes,
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

    def test_refused_before_anything_is_known(self) -> None:
        reply = over_the_wire(handshake.connect_refused(None, None, "garbage", CORRELATION.bytes, WIRE))
        self.assertEqual((0, "marshal"), (reply.seq, serializers.get_serializer_by_id(reply.serializer_id).name))
        self.assertEqual("garbage", marshal.loads(reply.data))

    def test_a_refusal_is_never_too_large(self) -> None:
        reply = handshake.connect_refused(None, None, "x" * 500, CORRELATION.bytes, WireOptions(max_size=10))
        with self.assertRaisesRegex(errors.CommunicationError, "xxx"):
            handshake.parse_connect_reply(over_the_wire(reply))

    def test_replies_that_are_none(self) -> None:
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
        return over_the_wire(handshake.connect_accepted(
            with_payload(None), serializer, handshake.welcome(serializer, response, metadata), CORRELATION.bytes, {}, WIRE))

    @with_each_serializer
    def test_the_same_reply_again(self, serializer: SerializerBase) -> None:
        metadata = {"methods": {"echo", "add"}, "oneway": set(), "attrs": set()}
        first, again = (handshake.parse_connect_reply(self.reply_with(serializer, "hello", metadata)) for _ in range(2))
        self.assertEqual(("hello", metadata), (first[0], {key: set(names) for key, names in (first[1] or {}).items()}))
        self.assertEqual(first, again)
        with mock.patch.object(serializer, "loads", side_effect=AssertionError):
            self.assertEqual(first, handshake.parse_connect_reply(self.reply_with(serializer, "hello", metadata)))

    @with_each_serializer
    def test_what_can_be_changed_is_read_anew(self, serializer: SerializerBase) -> None:
        for response, metadata in (({"user": ["me"]}, {"methods": ["echo"]}), ("hello", {"methods": [["echo"]]})):
            first, again = (handshake.parse_connect_reply(self.reply_with(serializer, response, metadata)) for _ in range(2))
            self.assertEqual(first, again)
            self.assertIsNot(first[1], again[1])
            self.assertIsNot(first[0] if response != "hello" else None, again[0])

    def test_few_replies_are_kept(self) -> None:
        for number in range(1000):
            handshake.parse_connect_reply(self.reply_with(JSON, str(number), {"methods": ["echo"]}))
        kept = dict(handshake._known_replies)
        self.assertLess(len(kept), 100)
        self.assertEqual(("x" * 10000, {}), handshake.parse_connect_reply(self.reply_with(JSON, "x" * 10000, {})))
        self.assertEqual(kept, handshake._known_replies)

    def test_reply_of_an_unknown_serializer(self) -> None:
        with self.assertRaises(errors.SerializeError):
            handshake.parse_connect_reply(over_the_wire(SendingMessage(protocol.MSG_CONNECTOK, 0, 1, 99, b"x")))


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

    def test_context_travels_along(self) -> None:
        current_context.annotations = {"ANNO": b"value"}
        current_context.correlation_id = CORRELATION
        request = over_the_wire(requests.invoke_request(SERPENT, 1, 0, "obj", "method", (), {}, WIRE))
        self.assertEqual((CORRELATION, {"ANNO": b"value"}), (correlation_of(request), request.annotations))

    def test_compression_and_limit(self) -> None:
        request_of = functools.partial(requests.invoke_request, SERPENT, 1, 0, "obj", "method", ("x" * 1000,), {})
        request = request_of(WireOptions(max_size=500, compress=True))
        self.assertTrue(request.flags & protocol.FLAGS_COMPRESSED)
        self.assertEqual(["x" * 1000], list(requests.parse_invoke_request(over_the_wire(request), SERPENT).args))
        with self.assertRaises(errors.MessageTooLargeError):
            request_of(WireOptions(max_size=500))

    def test_calls_that_are_none(self) -> None:
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

    def test_batches_that_are_none(self) -> None:
        bad: List[Any] = [None, 5, "abc", (), ("m",), ("m", ()), ("m", (), {}, 1), (1, (), {}), ("m", "args", {}),
                          ([], (), {}), ("m", (), None), ("m", (), []), {"m": 1, "a": 2, "k": 3}]
        for element in bad:
            with self.subTest(element=element), self.assertRaises(errors.ProtocolError):
                requests.parse_batch(Call("obj", requests.BATCH_METHOD, (("ok", (), {}), element), {}))

    def test_a_method_of_a_batch_is_not_hashed_before_it_is_known_to_be_a_text(self) -> None:
        class Unhashable(str):
            def __hash__(self) -> int:
                raise AssertionError("hashed")

        for method in (Unhashable("ok"), 2 ** 61 - 1):
            with self.subTest(method), self.assertRaises(errors.ProtocolError):
                requests.parse_batch(Call("obj", requests.BATCH_METHOD, (("ok", (), {}), (method, (), {})), {}))


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

    def test_a_blob_that_did_not_travel_gives_its_data(self) -> None:
        self.assertEqual([1, 2], SerializedBlob("info", [1, 2]).deserialized())

    def test_a_blob_must_be_alone(self) -> None:
        blob = SerializedBlob("info", 1)
        arguments: List[Any] = [((blob, 1), {}), ((1, blob), {}), ((blob, blob), {}), ((blob,), {"key": 1}),
                                ((), {"key": blob}), ((1,), {"key": blob})]
        for args, kwargs in arguments:
            with self.subTest(args=args, kwargs=kwargs), self.assertRaisesRegex(errors.SerializeError, "only argument"):
                requests.invoke_request(SERPENT, 1, 0, "obj", "method", args, kwargs, WIRE)

    def test_own_annotations_go_along_and_stay_as_they_are(self) -> None:
        current_context.annotations = mine = {"MINE": b"value"}
        request = self.send(SerializedBlob("info", [1]))
        self.assertEqual({"MINE", "BLBI"}, set(request.annotations))
        self.assertEqual({"MINE": b"value"}, mine)
        self.assertIs(mine, current_context.annotations)
        plain = over_the_wire(requests.invoke_request(SERPENT, 1, 0, "obj", "method", (), {}, WIRE))
        self.assertEqual({"MINE"}, set(plain.annotations))

    def test_only_messages_are_received_blobs(self) -> None:
        with self.assertRaises(TypeError):
            SerializedBlob("info", b"data", is_blob=True)

    def test_serializer_not_known_here(self) -> None:
        request = over_the_wire(SendingMessage(protocol.MSG_INVOKE, protocol.FLAGS_KEEPSERIALIZED, 1, 99, b"?",
                                               {"BLBI": marshal.dumps(("info", "obj", "publish"))}))
        with self.assertRaises(errors.SerializeError):
            self.receive(request).deserialized()

    def test_blob_flag_without_its_annotation(self) -> None:
        for annotations_sent in ({}, {"BLBI": b""}, {"BLBI": marshal.dumps(5)}, {"BLBI": marshal.dumps((1, 2))}):
            request = over_the_wire(SendingMessage(protocol.MSG_INVOKE, protocol.FLAGS_KEEPSERIALIZED, 1, 1, b"?",
                                                   annotations_sent))
            with self.assertRaisesRegex(errors.ProtocolError, "BLBI"):
                requests.parse_invoke_request(request, SERPENT)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class CustomError(Exception):
    """A class that no client knows."""


class Replies(InFreshContext):
    def raised(self, error: BaseException, to: ReplyTo) -> BaseException:
        reply = over_the_wire(replies.exception_reply(to, error, ["the traceback\n"]))
        self.assertEqual((protocol.MSG_RESULT, 7, CORRELATION), (reply.type, reply.seq, correlation_of(reply)))
        self.assertTrue(reply.flags & protocol.FLAGS_EXCEPTION)
        with self.assertRaises(BaseException) as caught:
            replies.parse_reply(reply, to.serializer)
        self.assertEqual(["the traceback\n"], list(caught.exception._pyroTraceback))  # type: ignore[attr-defined]
        return caught.exception

    @with_each_serializer
    def test_value(self, serializer: SerializerBase) -> None:
        reply = over_the_wire(replies.value_reply(reply_to(serializer, ANNO=b"value"), {"a": [1, None]}))
        self.assertEqual((protocol.MSG_RESULT, 7, serializer.serializer_id, CORRELATION, {"ANNO": b"value"}),
                         (reply.type, reply.seq, reply.serializer_id, correlation_of(reply), reply.annotations))
        self.assertEqual({"a": [1, None]}, replies.parse_reply(reply, serializer))

    def test_value_over_the_limit(self) -> None:
        with self.assertRaises(errors.MessageTooLargeError):
            replies.value_reply(reply_to(max_size=100), "x" * 200)

    @with_each_serializer
    def test_exceptions_arrive_as_themselves(self, serializer: SerializerBase) -> None:
        for error in (ValueError("text", 5), ZeroDivisionError(), StopIteration(), KeyError("key"),
                      errors.NamingError("unknown"), errors.ConnectionClosedError("x"), OSError(2, "no such file")):
            got = self.raised(error, reply_to(serializer))
            self.assertEqual((type(error), error.args), (type(got), got.args))

    @with_each_serializer
    def test_attributes_of_exceptions_arrive(self, serializer: SerializerBase) -> None:
        error = ValueError("text")
        error.detail = {"more": 1}  # type: ignore[attr-defined]
        self.assertEqual({"more": 1}, self.raised(error, reply_to(serializer)).detail)  # type: ignore[attr-defined]

    @with_each_serializer
    def test_foreign_exceptions(self, serializer: SerializerBase) -> None:
        got = self.raised(CustomError("what", 5), reply_to(serializer))
        self.assertIs(errors.RemoteError, type(got))
        self.assertRegex(str(got), "CustomError.*what")
        self.assertTrue(got.remote_class.endswith("CustomError"))  # type: ignore[attr-defined]
        self.assertEqual(("what", 5), tuple(got.remote_args))  # type: ignore[attr-defined]

    @with_each_serializer
    def test_exceptions_that_cannot_be_serialized(self, serializer: SerializerBase) -> None:
        for error in (ValueError(print, serializer), CustomError(print)):
            got = self.raised(error, reply_to(serializer, ANNO=b"value"))
            self.assertIs(errors.PyroError, type(got))
            self.assertIn(type(error).__name__, str(got))

    @with_each_serializer
    def test_exceptions_that_have_no_text_either(self, serializer: SerializerBase) -> None:
        self.assertIn("Unprintable", str(self.raised(Unprintable(print), reply_to(serializer))))

    def test_exceptions_over_the_limit(self) -> None:
        got = self.raised(ValueError("x" * 5000), reply_to(max_size=4000))
        self.assertIs(errors.PyroError, type(got))
        self.assertIn("ValueError", str(got))

    def test_limit_too_small_even_for_the_substitute(self) -> None:
        reply = replies.exception_reply(reply_to(max_size=50, ANNO=b"x" * 100), ValueError("x" * 5000), ["trace\n"])
        self.assertLess(reply.size, 2000)
        with self.assertRaisesRegex(errors.PyroError, "ValueError"):
            replies.parse_reply(over_the_wire(reply), SERPENT)

    def test_annotations_that_cannot_be_sent(self) -> None:
        bad = reply_to()._replace(annotations={"TOO LONG": b"x"})
        with self.assertRaises(errors.ProtocolError):
            replies.value_reply(bad, 1)
        with self.assertRaisesRegex((ValueError, errors.PyroError), "the reason"):
            replies.parse_reply(over_the_wire(replies.exception_reply(bad, ValueError("the reason"), [])), SERPENT)

    def test_something_else_in_an_error_reply(self) -> None:
        for value in (None, "text", {"a": 1}):
            with self.assertRaises(errors.ProtocolError):
                replies.parse_reply(with_payload(value, msgtype=protocol.MSG_RESULT, flags=protocol.FLAGS_EXCEPTION), SERPENT)

    @with_each_serializer
    def test_stream(self, serializer: SerializerBase) -> None:
        to = reply_to(serializer, ANNO=b"value")
        reply = over_the_wire(replies.stream_reply(to, "the-id"))
        self.assertEqual({"ANNO": b"value", "STRM": b"the-id"}, reply.annotations)
        self.assertEqual("the-id", replies.parse_reply(reply, serializer).stream_id)
        self.assertEqual({"ANNO": b"value"}, to.annotations)
        hint = serializer.loads(reply.data)  # what peers see that know no streams
        self.assertEqual((errors.ProtocolError, None), (type(hint), hint._pyroTraceback))

    def test_stream_refused(self) -> None:
        reply = over_the_wire(replies.stream_reply(reply_to(), None))
        self.assertEqual({}, reply.annotations)
        self.assertIsNone(replies.parse_reply(reply, SERPENT).stream_id)

    @with_each_serializer
    def test_batch(self, serializer: SerializerBase) -> None:
        failure = CustomError("foreign")
        replies.set_remote_traceback(failure, ["line\n"])
        reply = over_the_wire(replies.value_reply(reply_to(serializer), [1, "two", replies.ExceptionWrapper(failure)],
                                                protocol.FLAGS_BATCH))
        self.assertEqual(protocol.FLAGS_BATCH | protocol.FLAGS_CORR_ID, reply.flags)
        one, two, wrapper = replies.parse_reply(reply, serializer)
        self.assertEqual((1, "two"), (one, two))
        with self.assertRaisesRegex(errors.PyroError, "foreign") as caught:
            wrapper.raise_it()
        self.assertEqual(["line\n"], list(caught.exception._pyroTraceback))  # type: ignore[attr-defined]

    def test_pong(self) -> None:
        ping = over_the_wire(SendingMessage(protocol.MSG_PING, 0, 3, 42, b"ping"))
        reply = over_the_wire(replies.pong(ping, CORRELATION.bytes))
        self.assertEqual((protocol.MSG_PING, 3, 42, b"pong", CORRELATION),
                         (reply.type, reply.seq, reply.serializer_id, reply.data, correlation_of(reply)))


if __name__ == "__main__":
    unittest.main()
