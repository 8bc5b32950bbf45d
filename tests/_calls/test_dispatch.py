"""Dispatch without sockets: the handshake, calls, and replies to invalid messages."""
from __future__ import annotations

import contextvars
import gc
import itertools
import marshal
import unittest
import uuid
import weakref
from Pyro5._calls import handshakes
from typing import Any, Callable, Dict, Iterator, List, Optional
from unittest import mock

from Pyro5 import errors, protocol, serializers
from Pyro5._calls.async_methods import AsyncMethods
from Pyro5._calls.decoding import RequestDecoder
from Pyro5._calls.dispatch import Dispatcher
from Pyro5._calls.error_log import RepeatFilter
from Pyro5._calls.reply_encoding import DispatchOptions
from Pyro5._calls.streams import StreamTable
from Pyro5._messages import handshake, replies, requests
from Pyro5._messages.requests import SerializedBlob, WireOptions
from Pyro5._objects.exposure import callback, expose, oneway
from Pyro5._objects.objects import ObjectTable
from Pyro5._wire import features
from Pyro5.callcontext import current_context
from Pyro5.protocol import HEADER_SIZE, ReceivingMessage, SendingMessage
from Pyro5.serializers import MarshalSerializer

from ..support import correlation_of

CORRELATION = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
LOGGER = "Pyro5.server.dispatch"
ALL = ["serpent", "json", "marshal", "msgpack"]

ANNOUNCED = features.with_announcement({})["FEAT"]


class CustomError(Exception):
    """A class that no client knows."""


@expose
class Thing:
    """Records the calls of its methods."""

    def __init__(self) -> None:
        self.called: List[Any] = []
        self.number = 0
        self.failed: Any = None

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        self.called.append(args)
        return [list(args), kwargs]

    def fail(self, error: str) -> None:
        current_context.response_annotations["LEAK"] = b"must not be seen"
        raise {"custom": CustomError, "security": errors.SecurityError, "value": ValueError, "closed":
               errors.ConnectionClosedError}[error]("failed on purpose")

    def fail_with(self, text: str) -> None:
        error = CustomError(text)
        self.failed = weakref.ref(error)
        raise error

    def fail_in_turn(self, text: str) -> None:
        try:
            self.fail_with(text)
        except CustomError as x:
            raise KeyError(text) from x

    def exit(self) -> None:
        current_context.response_annotations["LEAK"] = b"must not be seen"
        raise SystemExit(3)

    def annotate(self, **annotations: str) -> Dict[str, Any]:
        current_context.response_annotations = {name: value.encode() for name, value in annotations.items()}
        return {name: bytes(value).decode() for name, value in current_context.annotations.items()}

    def context(self) -> List[Any]:
        context: Any = current_context
        return [context.client_sock_addr, context.seq, context.msg_flags, context.serializer_id, context.correlation_id.hex]

    def values(self, count: int) -> Iterator[int]:
        return iter(range(count))

    def unserializable(self) -> Any:
        return print

    def large(self, size: int) -> str:
        return "x" * size

    @oneway
    def fire(self, what: str) -> None:
        self.called.append((what, current_context.client_sock_addr, current_context.correlation_id))
        if what == "fail":
            raise CustomError("failed on purpose")

    @callback
    def called_back(self) -> None:
        raise CustomError("failed on purpose")

    def blob(self, blob: SerializedBlob) -> Any:
        self.called.append(blob.info)
        return list(blob.deserialized())

    @property
    def attribute(self) -> int:
        return self.number

    @attribute.setter
    def attribute(self, value: int) -> None:
        self.number = value

    def _private(self) -> None:
        self.called.append("private")


class FakeDaemon:
    """The methods of a daemon that the dispatcher calls."""

    def __init__(self) -> None:
        self.own_annotations: Dict[str, Any] = {}
        self.handled: List[Any] = []
        self.methodcall_error_handler: Callable[..., None] = self.note
        self.validate: Callable[[Any, Any], Any] = lambda connection, data: {"you said": data}

    def note(self, daemon: Any, client: Any, method: Any, vargs: Any, kwargs: Any, exception: Any) -> None:
        self.handled.append((daemon, client, method.__name__, list(vargs), kwargs, exception))

    def annotations(self) -> Dict[str, Any]:
        return dict(self.own_annotations)

    def validateHandshake(self, connection: Any, data: Any) -> Any:
        return self.validate(connection, data)



class FakeConnection:
    """The attributes of a connection that the dispatcher uses."""

    def __init__(self, handshake_done: bool = True) -> None:
        self.peer_address = ("client", id(self) % 10000)
        self.handshake_done = handshake_done
        self.closing = self.keep_open = False
        self.objectId: Any = None
        self.features: Any = None
        self.buffers: Any = None
        self.sock: Any = None
        self.refused_message: Optional[ReceivingMessage] = None
        self.pyroInstances: Dict[type, Any] = {}

    def finish_handshake(self) -> None:
        self.handshake_done = True

    def use_buffers(self, options: Any) -> None:
        self.buffers = options


def incoming(message: SendingMessage) -> ReceivingMessage:
    return ReceivingMessage(message.data[:HEADER_SIZE], message.data[HEADER_SIZE:])


class DispatchTestCase(unittest.TestCase):
    def run(self, result: Any = None) -> Any:
        """Run every test in a context of its own, so that no test affects another one."""
        return contextvars.Context().run(super().run, result)

    def setUp(self) -> None:
        self.daemon, self.thing = FakeDaemon(), Thing()
        self.objects, self.streams = ObjectTable(self.daemon), StreamTable(0, 0, lambda: 0.0)
        self.objects.add(self.thing, "obj")
        self.aside: List[Callable[[], Any]] = []
        self.client = FakeConnection()
        self.seq = 0
        self.configure()

    def configure(self, max_size: int = 0, accepted: Any = ALL, streaming: bool = True, detailed: bool = False,
                  log_wire: bool = False, aside: bool = True) -> None:
        options = DispatchOptions(WireOptions(max_size), accepted, streaming, detailed, log_wire)
        self.dispatcher = Dispatcher(self.daemon, self.objects, self.streams, options,
                                     (lambda client, call, size: self.aside.append(call)) if aside else None,
                                     RepeatFilter(itertools.count(0, 100).__next__), AsyncMethods(None))

    def message(self, method: str, args: Any = (), kwargs: Any = None, flags: int = 0, object_id: str = "obj",
                serializer: str = "serpent", correlation_id: Any = None, **annotations: bytes) -> ReceivingMessage:
        def build() -> SendingMessage:
            current_context.annotations = annotations
            current_context.correlation_id = correlation_id
            return requests.invoke_request(serializers.get_serializer(serializer), self.seq, flags, object_id, method, args,
                                        kwargs or {}, WireOptions())
        self.seq += 1
        return incoming(contextvars.Context().run(build))

    def answer(self, message: ReceivingMessage, client: Optional[FakeConnection] = None) -> Optional[ReceivingMessage]:
        reply = self.dispatcher.answer(client or self.client, message)
        self.assertIsNone(current_context.client, "the context of the request is still there")
        return None if reply is None else incoming(reply)

    def reply(self, message: ReceivingMessage, client: Optional[FakeConnection] = None) -> ReceivingMessage:
        reply = self.answer(message, client)
        assert reply is not None
        self.assertEqual((protocol.MSG_RESULT, message.seq, message.serializer_id),
                         (reply.type, reply.seq, reply.serializer_id))
        return reply

    def parse(self, reply: ReceivingMessage) -> Any:
        return replies.parse_reply(reply, serializers.get_serializer_by_id(reply.serializer_id))

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        return self.parse(self.reply(self.message(method, args, **options)))


class Handshake(DispatchTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client.handshake_done = False

    def connect(self, object_id: Any = "obj", hello: Any = "hi", serializer: str = "json") -> Any:
        request = handshake.connect_request(serializers.get_serializer(serializer), 5, object_id, hello, WireOptions())
        return self.answer(incoming(request))

    def check_refused(self, reply: Any, reason: str, in_serializer: str = "json") -> None:
        self.assertEqual((protocol.MSG_CONNECTFAIL, in_serializer),
                         (reply.type, serializers.get_serializer_by_id(reply.serializer_id).name))
        self.assertEqual(5 if in_serializer == "json" else 0, reply.seq)
        self.assertEqual((False, True), (self.client.handshake_done, self.client.closing))
        with self.assertRaisesRegex(errors.CommunicationError, reason):
            handshake.parse_connect_reply(reply)

    def test_accepted(self) -> None:
        self.daemon.own_annotations = {"DAEM": b"1"}
        reply = self.connect(hello=["user", "secret"])
        self.assertEqual((protocol.MSG_CONNECTOK, 5, {"DAEM": b"1", "FEAT": ANNOUNCED}),
                         (reply.type, reply.seq, reply.annotations))
        response, metadata = handshake.parse_connect_reply(reply)
        assert metadata is not None
        self.assertEqual({"you said": ["user", "secret"]}, response)
        self.assertEqual((["fire"], ["attribute"]), (list(metadata["oneway"]), list(metadata["attrs"])))
        self.assertIn("echo", metadata["methods"])
        self.assertEqual(("obj", True, False), (self.client.objectId, self.client.handshake_done, self.client.closing))

    def test_long_responses_are_not_kept(self) -> None:
        kept = handshakes._kept_payload.cache_info().currsize
        self.daemon.validate = lambda connection, data: "x" * 10000
        self.assertEqual("x" * 10000, handshake.parse_connect_reply(self.connect())[0])
        self.assertEqual(kept, handshakes._kept_payload.cache_info().currsize)

    def test_the_validator_sees_the_context_and_may_annotate(self) -> None:
        def validate(connection: Any, data: Any) -> Any:
            self.assertIs(self.client, connection)
            self.assertIs(self.client, current_context.client)
            self.assertEqual("obj", connection.objectId)
            current_context.response_annotations = {"VALI": b"dated"}
            if data == "bad":
                raise PermissionError("not you")
        self.daemon.validate = validate
        with self.assertLogs(LOGGER, "WARNING"):
            self.check_refused(self.connect(hello="bad"), "not you")
        self.client = FakeConnection(handshake_done=False)
        self.assertEqual({"VALI": b"dated", "FEAT": ANNOUNCED}, self.connect(hello="good").annotations)

    def test_refused(self) -> None:
        self.daemon.validate = mock.Mock(side_effect=PermissionError("not you"))
        with self.assertLogs(LOGGER, "DEBUG") as logged:
            self.check_refused(self.connect(), "not you")
        self.assertEqual(["WARNING", "DEBUG"], [record.levelname for record in logged.records])
        self.assertIn("not you", logged.output[0])

    def test_a_handshake_that_ends_without_a_reply(self) -> None:
        self.daemon.validate = mock.Mock(side_effect=errors.ConnectionClosedError("go away"))
        self.assertIsNone(self.connect())
        self.assertEqual((False, True), (self.client.handshake_done, self.client.closing))

    def test_unknown_object(self) -> None:
        misshapen: List[Any] = [5, None, ["obj"], {"obj": 1}]
        with self.assertLogs(LOGGER, "WARNING"):
            self.check_refused(self.connect("unknown"), "unknown object")
        for object_id in misshapen:
            with self.assertLogs(LOGGER, "WARNING"):
                self.check_refused(self.connect(object_id), "the object id must be a str")

    def test_a_response_that_cannot_be_sent(self) -> None:
        self.daemon.validate = lambda connection, data: print
        with self.assertLogs(LOGGER, "WARNING"):
            self.check_refused(self.connect(), "serialize")

    def test_a_payload_that_is_no_handshake(self) -> None:
        payload = serializers.get_serializer("json").dumps([1, 2])
        for data in (payload, b"{broken", b""):
            request = SendingMessage(protocol.MSG_CONNECT, 0, 5, serializers.get_serializer("json").serializer_id, data)
            with self.assertLogs(LOGGER, "WARNING"):
                self.check_refused(self.answer(incoming(request)), "")

    def test_other_messages_first(self) -> None:
        first = [self.message("echo"), incoming(SendingMessage(protocol.MSG_PING, 0, 1, 42, b"ping")),
                 incoming(SendingMessage(protocol.MSG_RESULT, 0, 1, 1, b"")), incoming(SendingMessage(77, 0, 1, 1, b""))]
        for message in first:
            with self.assertLogs(LOGGER, "WARNING"):
                self.check_refused(self.answer(message), "CONNECT", in_serializer="marshal")
        self.assertEqual([], self.thing.called)

    def test_serializers_that_are_not_accepted_are_not_decoded(self) -> None:
        self.configure(accepted=["serpent"])
        for serializer_id in (2, 99):
            request = SendingMessage(protocol.MSG_CONNECT, 0, 5, serializer_id, marshal.dumps(("not", "looked at")))
            with mock.patch("marshal.loads", side_effect=AssertionError), self.assertLogs(LOGGER, "WARNING"):
                reply = self.answer(incoming(request))
            self.check_refused(reply, "serpent", in_serializer="marshal")

    def test_a_second_handshake(self) -> None:
        self.connect()
        with self.assertLogs(LOGGER, "WARNING"):
            reply = self.connect()
        with self.assertRaisesRegex(errors.CommunicationError, "already"):
            handshake.parse_connect_reply(reply)
        self.assertTrue(self.client.closing)


class Calls(DispatchTestCase):
    def test_every_serializer(self) -> None:
        for serializer in serializers.serializers:
            result = self.call("echo", 1, "two", kwargs={"three": 3}, serializer=serializer)
            self.assertEqual([[1, "two"], {"three": 3}], result)
            self.assertFalse(self.client.closing)

    def test_a_request_is_decoded_once(self) -> None:
        class Counting(MarshalSerializer):
            count = 0

            def loadsCall(self, data: Any) -> Any:
                self.count += 1
                return super().loadsCall(data)

        serializer, decoder = Counting(), RequestDecoder(ObjectTable(None))
        for number, (kwargs, expected) in enumerate([({}, {}), ({"a": 1}, {"a": 1}), (None, {})]):
            payload = marshal.dumps(("obj", "method", [1], kwargs))
            request = SendingMessage(protocol.MSG_INVOKE, 0, 1, 2, payload, compress=False)
            call = decoder.parse(ReceivingMessage(request.data[:40], payload), serializer)
            self.assertEqual((("obj", "method", [1], expected), number + 1), (tuple(call), serializer.count))

    def test_attributes(self) -> None:
        self.assertEqual(0, self.call("__getattr__", "attribute"))
        self.assertIsNone(self.call("__setattr__", "attribute", 5))
        self.assertEqual(5, self.call("__getattr__", "attribute"))

    def test_context(self) -> None:
        message = self.message("context", flags=protocol.FLAGS_CORR_ID, correlation_id=CORRELATION)
        reply = self.reply(message)
        address, seq, flags, serializer_id, correlation = self.parse(reply)
        self.assertEqual((list(self.client.peer_address), message.seq, protocol.FLAGS_CORR_ID, 1, CORRELATION.hex),
                         (list(address), seq, flags, serializer_id, correlation))
        self.assertEqual(CORRELATION, correlation_of(reply))

    def test_a_missing_correlation_id_is_generated(self) -> None:
        replies = [self.reply(self.message("context")) for _ in range(2)]
        ids = [correlation_of(reply) for reply in replies]
        self.assertEqual([None if each is None else each.hex for each in ids], [self.parse(r)[4] for r in replies])
        self.assertEqual(2, len({*ids, None} - {None}))
        with self.assertLogs(LOGGER):
            self.assertNotIn(correlation_of(self.reply(self.message("fail", ("value",)))), [None, *ids])

    def test_ping(self) -> None:
        reply = self.answer(incoming(SendingMessage(protocol.MSG_PING, 0, 7, 42, b"ping", correlation_id=CORRELATION.bytes)))
        assert reply is not None
        self.assertEqual((protocol.MSG_PING, 7, 42, b"pong", CORRELATION),
                         (reply.type, reply.seq, reply.serializer_id, reply.data, correlation_of(reply)))

    def test_messages_of_other_types(self) -> None:
        for msgtype in (0, protocol.MSG_CONNECTOK, protocol.MSG_CONNECTFAIL, protocol.MSG_RESULT, 7, 255):
            with self.assertLogs(LOGGER, "WARNING"):
                reply = self.reply(incoming(SendingMessage(msgtype, 0, 7, 1, b"?")))
            with self.assertRaisesRegex(errors.ProtocolError, "type %d" % msgtype):
                self.parse(reply)
            self.assertFalse(self.client.closing)

    def test_streams(self) -> None:
        stream_id = self.call("values", 2).stream_id
        self.assertEqual([0, 1], [self.streams.next_item(stream_id, self.client) for _ in range(2)])
        self.configure(streaming=False)
        self.assertIsNone(self.call("values", 2).stream_id)
        self.assertEqual(1, len(self.streams))

    def test_blob(self) -> None:
        for serializer in serializers.serializers:
            self.assertEqual([1, 2], self.call("blob", SerializedBlob("topic", [1, 2]), serializer=serializer))
        self.assertEqual({"topic"}, set(self.thing.called))

    def test_wire_log(self) -> None:
        self.configure(log_wire=True)
        with self.assertLogs(LOGGER, "DEBUG") as logged:
            self.call("echo", "logged text")
        self.assertEqual(2, len(logged.output))
        self.assertRegex(logged.output[0], "(?s)received from .*'client'.*logged text")
        self.assertRegex(logged.output[1], "(?s)sending to .*'client'.*logged text")


class Oneway(DispatchTestCase):
    def test_runs_in_another_thread_in_the_context_of_the_request(self) -> None:
        message = self.message("fire", ("go",), flags=protocol.FLAGS_ONEWAY, correlation_id=CORRELATION)
        self.assertIsNone(self.answer(message))
        self.assertEqual([], self.thing.called)
        self.call("echo")
        self.thing.called.clear()
        self.aside.pop()()
        self.assertEqual([("go", self.client.peer_address, CORRELATION)], self.thing.called)

    def test_runs_at_once_without_threads(self) -> None:
        self.configure(aside=False)
        self.assertIsNone(self.answer(self.message("fire", ("go",), flags=protocol.FLAGS_ONEWAY)))
        self.assertEqual("go", self.thing.called[0][0])

    def test_errors_are_logged_and_not_answered(self) -> None:
        for aside in (True, False):
            self.configure(aside=aside)
            for method, args in (("fire", ("fail",)), ("unknown", ()), ("_private", ()), ("fire", ())):
                with self.assertLogs(LOGGER, "WARNING") as logged:
                    self.assertIsNone(self.answer(self.message(method, args, flags=protocol.FLAGS_ONEWAY)))
                    while self.aside:
                        self.aside.pop()()
                self.assertEqual(1, len(logged.records), logged.output)
                self.assertFalse(self.client.closing)

    def test_any_method_a_client_asks_for(self) -> None:
        self.assertIsNone(self.answer(self.message("echo", (1,), flags=protocol.FLAGS_ONEWAY)))
        self.aside.pop()()
        self.assertEqual([(1,)], self.thing.called)

    def test_a_oneway_method_called_without_the_flag_is_answered(self) -> None:
        self.assertIsNone(self.call("fire", "go"))
        self.assertEqual(1, len(self.thing.called))


class Batch(DispatchTestCase):
    def batch(self, *batched: Any, flags: int = 0, **options: Any) -> Any:
        return self.answer(self.message("<batch>", batched, flags=protocol.FLAGS_BATCH | flags, **options))

    def test_results_in_order(self) -> None:
        for serializer in serializers.serializers:
            reply = self.batch(("echo", (1,), {}), ("__setattr__", ("attribute", 7), {}), ("__getattr__", ("attribute",), {}),
                               ("echo", (), {"a": 2}), serializer=serializer)
            self.assertTrue(reply.flags & protocol.FLAGS_BATCH)
            self.assertEqual([[[1], {}], None, 7, [[], {"a": 2}]], list(self.parse(reply)))
        self.assertEqual([], self.parse(self.batch()))

    def test_stops_at_the_first_that_fails(self) -> None:
        with self.assertLogs(LOGGER, "WARNING") as logged:
            first, failed = self.parse(self.batch(("echo", (1,), {}), ("fail", ("custom",), {}), ("echo", (2,), {})))
        self.assertEqual([[1], {}], first)
        with self.assertRaisesRegex(errors.PyroError, "CustomError.*on purpose") as caught:
            failed.raise_it()
        self.assertIn("fail", "".join(caught.exception._pyroTraceback))  # type: ignore[attr-defined]
        self.assertEqual([(1,)], self.thing.called)
        self.assertEqual(1, len(logged.records))

    def test_results_that_cannot_all_be_sent(self) -> None:
        """The batch stops as soon as its results are too large; they are not all created first."""
        self.configure(max_size=100000)
        large = [("large", (40000,), {})] * 2
        self.assertEqual(2, len(list(self.parse(self.batch(*large)))))
        for calls_made in ([*large * 50, ("echo", (1,), {})], [("echo", ("x" * 1000,), {})] * 150):
            with self.assertLogs(LOGGER, "WARNING"):
                reply = self.batch(*calls_made)
            with self.assertRaises(errors.MessageTooLargeError):
                self.parse(reply)
        self.assertEqual(100, len(self.thing.called) // 10 * 10)  # of 150: the call after those with large results is not run
        self.assertFalse(self.client.closing)
        self.thing.called.clear()
        self.assertIsNone(self.batch(*large * 50, ("echo", (1,), {}), flags=protocol.FLAGS_ONEWAY))
        while self.aside:
            self.aside.pop()()
        self.assertEqual([(1,)], self.thing.called)  # there is no reply

    def test_exceptions_are_not_kept_in_memory(self) -> None:
        """Not even until garbage collection."""
        gc.disable()
        self.addCleanup(gc.enable)
        for method in ("fail_with", "fail_in_turn"):
            with self.assertLogs(LOGGER, "WARNING"):
                reply = self.batch((method, ("text",), {}))
            self.daemon.handled.clear()
            self.assertTrue(self.thing.failed and self.thing.failed() is None, method)
            self.assertEqual(1, len(list(self.parse(reply))))

    def test_nothing_runs_if_one_name_is_not_allowed(self) -> None:
        for name in ("unknown", "_private", "attribute", "__init__"):
            with self.assertLogs(LOGGER, "WARNING"):
                reply = self.batch(("echo", (1,), {}), (name, (), {}))
            with self.assertRaisesRegex(AttributeError, name):
                self.parse(reply)
        self.assertEqual([], self.thing.called)

    def test_malformed(self) -> None:
        with self.assertLogs(LOGGER, "WARNING"):
            reply = self.batch(("echo", (1,), {}), ("echo",))
        with self.assertRaises(errors.ProtocolError):
            self.parse(reply)
        self.assertEqual(([], False), (self.thing.called, self.client.closing))

    def test_oneway(self) -> None:
        self.assertIsNone(self.batch(("echo", (1,), {}), ("echo", (2,), {}), flags=protocol.FLAGS_ONEWAY))
        while self.aside:
            self.aside.pop()()
        self.assertEqual([(1,), (2,)], self.thing.called)
        with self.assertLogs(LOGGER, "WARNING"):
            self.assertIsNone(self.batch(("unknown", (), {}), flags=protocol.FLAGS_ONEWAY))


if __name__ == "__main__":
    unittest.main()
