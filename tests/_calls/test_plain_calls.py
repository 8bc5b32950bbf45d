"""Plain calls: the same as what the dispatcher does with any other request, and only what is plain."""
from __future__ import annotations

import unittest
from typing import Any, Dict, List, Optional, Tuple
from unittest import mock

from Pyro5 import config, errors, protocol, serializers
from Pyro5._calls.decoding import RequestDecoder
from Pyro5._calls.plain_calls import PlainCalls
from Pyro5._observe.statistics import Statistics
from Pyro5._wire import features
from Pyro5.callcontext import current_context
from Pyro5.configure import global_version
from Pyro5.protocol import HEADER_SIZE, ReceivingMessage, SendingMessage

from ..peers import settings
from . import test_dispatch, test_dispatch_errors
from .test_dispatch import CORRELATION, FakeConnection, FakeDaemon


class PlainConnection(FakeConnection):
    """Also has what is used of the connection of a client that waits for each reply."""

    def __init__(self, handshake_done: bool = True) -> None:
        super().__init__(handshake_done)
        self.settings_version = global_version.number
        self.is_plain = self.stays_plain = True
        self.form: Any = None
        self.bytes_received = self.bytes_sent = 0
        self.waiting_since = 0.0
        self.most = 1 << 30  # bytes that the network accepts
        self.sent: List[bytes] = []
        self.stored: List[bytes] = []

    def write(self, data: bytes) -> int:
        self.sent.append(data[:self.most])
        return len(self.sent[-1])

    def store(self, buffers: List[bytes], sent: int) -> None:
        self.stored.append(b"".join(buffers)[sent:])

    def send_message(self, message: SendingMessage) -> None:
        self.bytes_sent += message.size
        self.sent.append(message.data)


class PlainDaemon(FakeDaemon):
    def handleRequest(self, connection: Any) -> None:
        raise AssertionError("not called here")


class PlainCallsTestCase(test_dispatch.DispatchTestCase):
    """Requests are tried as plain calls first.

    Attributes:
        plain: how many were answered as plain calls.
    """

    def setUp(self) -> None:
        self.data: Dict[ReceivingMessage, bytes] = {}
        self.plain = 0
        super().setUp()
        self.client: Any = PlainConnection()

    def configure(self, **options: Any) -> None:
        self.daemon.__class__ = PlainDaemon
        super().configure(**options)
        daemon: Any = self.daemon
        self.calls = PlainCalls(daemon, self.dispatcher, daemon.handleRequest)
        self.calls.set_options(global_version.number)
        self.client.form = None  # as if a setting had been changed

    def message(self, *args: Any, **options: Any) -> ReceivingMessage:
        message = super().message(*args, **options)
        annotations = {name: bytes(value) for name, value in message.annotations.items()}
        self.data[message] = SendingMessage(message.type, message.flags, message.seq, message.serializer_id,
                                            bytes(message.data), annotations, correlation_id=message.corr_bytes,
                                            compress=False, max_size=0).data
        return message

    def received(self, data: bytes) -> Tuple[bytes, ...]:
        """Return the data of a request as it is received."""
        return (data,)

    def answer(self, message: ReceivingMessage, client: Any = None) -> Optional[ReceivingMessage]:
        client, data = client or self.client, self.data.get(message)
        if data is None or not isinstance(client, PlainConnection) or not self.calls.answer(client, *self.received(data)):
            return super().answer(message, client)
        self.plain += 1
        self.assertIsNone(current_context.client, "the context of the request is still there")
        if not client.sent:
            return None
        reply = client.sent.pop()
        return ReceivingMessage(reply, reply[HEADER_SIZE:])


class Calls(PlainCallsTestCase, test_dispatch.Calls):
    pass


class LargeCalls(PlainCallsTestCase, test_dispatch.Calls):
    """Calls whose payload is received apart from its header."""

    def received(self, data: bytes) -> Tuple[bytes, ...]:
        if ReceivingMessage(data).annotations_size:
            return (data,)
        return data[:HEADER_SIZE], data[HEADER_SIZE:]


class LargeExceptions(LargeCalls, test_dispatch_errors.Exceptions):
    pass


class Batch(PlainCallsTestCase, test_dispatch.Batch):
    pass


class Oneway(PlainCallsTestCase, test_dispatch.Oneway):
    pass


class Refusals(PlainCallsTestCase, test_dispatch_errors.Refusals):
    pass


class Exceptions(PlainCallsTestCase, test_dispatch_errors.Exceptions):
    pass


class Hooks(PlainCallsTestCase, test_dispatch_errors.Hooks):
    pass


class Annotations(PlainCallsTestCase, test_dispatch_errors.Annotations):
    pass


class WhatIsPlain(PlainCallsTestCase):
    def is_plain(self, data: bytes) -> bool:
        before = list(self.thing.called)
        answered = self.calls.answer(self.client, data)
        if not answered:
            self.assertEqual((before, []), (self.thing.called, self.client.sent))
        self.client.sent.clear()
        return answered

    def request(self, *args: Any, **options: Any) -> bytes:
        return self.data[self.message("echo", args, **options)]

    def test_calls(self) -> None:
        for serializer in serializers.serializers:
            for correlation_id in (None, CORRELATION):
                self.assertTrue(self.is_plain(self.request(1, "two", serializer=serializer, correlation_id=correlation_id)))

    def test_other_data(self) -> None:
        data = self.request(1)
        for other in (b"", data[:10], data[:39], data[:-1], data + data, data + b"x", b"GET / HTTP/1.0\r\n" + bytes(50),
                      b"X" + data[1:], data[:5] + b"\xf5" + data[6:], data[:36] + b"\0\0\0\0" + data[40:],
                      data[:36] + b"\0\1" + data[38:]):
            self.assertFalse(self.is_plain(other), other)

    def test_other_messages(self) -> None:
        self.assertFalse(self.is_plain(self.request(1, ABCD=b"1")))
        for flags in (protocol.FLAGS_ONEWAY, protocol.FLAGS_BATCH, protocol.FLAGS_KEEPSERIALIZED):
            self.assertFalse(self.is_plain(self.request(1, flags=flags)))
        for kind in (protocol.MSG_CONNECT, protocol.MSG_PING, protocol.MSG_RESULT, 77):
            data = self.request(1)
            self.assertFalse(self.is_plain(data[:6] + bytes((kind,)) + data[7:]))

    def test_deadlines(self) -> None:
        left: List[Any] = []
        echo = self.thing.echo

        def noting(*args: Any, **kwargs: Any) -> Any:
            left.append((current_context.time_remaining(), dict(current_context.annotations)))
            return echo(*args, **kwargs)
        self.assertFalse(self.is_plain(self.request(1, DLMS=b"5000")))  # this client has not said what it means by that
        self.client.features = frozenset((features.DEADLINES,))
        with mock.patch.object(self.thing, "echo", noting):
            for size in (1, 20000):
                data = self.request("x" * size, DLMS=b"5000")
                self.assertTrue(self.is_plain(data))
                seconds, annotations = left.pop()
                self.assertTrue(4 < seconds <= 5)
                self.assertEqual({}, annotations)
            for other in (b"", b"soon", b"-1", b"12345678901"):
                self.assertFalse(self.is_plain(self.request(1, DLMS=other)), other)
            self.assertFalse(self.is_plain(self.request(1, DLMS=b"5000", ABCD=b"1")))
            self.assertFalse(self.is_plain(self.request(1, ABCD=b"5000")))
            self.assertFalse(self.is_plain(data[:-1]) or self.is_plain(data + b"x"))
            self.assertTrue(self.calls.answer(self.client, self.request(1, DLMS=b"0")))
            reply = self.client.sent.pop()
            with self.assertRaisesRegex(errors.TimeoutError, "deadline has passed"):
                self.parse(ReceivingMessage(reply, reply[HEADER_SIZE:]))
            self.assertEqual([], left)
            self.dispatcher.running.statistics = Statistics(lambda object_id, method: (object_id, method), 10)
            for size in (1, 20000):
                data, before = self.request("x" * size, DLMS=b"5000"), self.client.bytes_received
                self.assertTrue(self.is_plain(data))
                self.assertEqual(len(data), self.client.bytes_received - before)
            self.configure(max_size=len(data) - HEADER_SIZE)
            self.assertTrue(self.is_plain(data))
            self.configure(max_size=len(data) - HEADER_SIZE - 1)
            self.assertFalse(self.is_plain(data))

    def test_sizes(self) -> None:
        for size, is_long in ((8000, False), (10000, True), (60000, True)):
            with mock.patch.object(RequestDecoder, "parse_long", autospec=True,
                                   side_effect=RequestDecoder.parse_long) as parse:
                self.assertTrue(self.is_plain(self.request("x" * size)))
                self.assertEqual(is_long, parse.called)  # one long request is decoded at a time
        self.configure(max_size=9000)
        self.assertFalse(self.is_plain(self.request("x" * 10000)))
        self.configure(max_size=1000)
        self.assertTrue(self.is_plain(self.request("x" * 800)))
        self.assertFalse(self.is_plain(self.request("x" * 1000)))

    def test_requests_that_are_received_in_two_parts(self) -> None:
        data = self.request("x" * 100000)
        self.assertTrue(self.calls.answer(self.client, data[:HEADER_SIZE], data[HEADER_SIZE:]))
        reply = self.client.sent.pop()
        self.assertEqual([["x" * 100000], {}], self.parse(ReceivingMessage(reply, reply[HEADER_SIZE:])))
        with settings(MAX_CONTAINERS=1000):
            self.client.settings_version = global_version.number
            self.configure()
            data = self.request([[]] * 60000)
            self.assertTrue(self.calls.answer(self.client, data[:HEADER_SIZE], data[HEADER_SIZE:]))
            reply = self.client.sent.pop()
            with self.assertRaisesRegex(errors.SerializeError, "1000 are allowed"):
                self.parse(ReceivingMessage(reply, reply[HEADER_SIZE:]))

    def test_serializers_that_are_not_accepted(self) -> None:
        self.configure(accepted=["json"])
        self.assertFalse(self.is_plain(self.request(1)))
        self.assertTrue(self.is_plain(self.request(1, serializer="json")))
        self.configure(accepted=["serpent"])
        self.assertFalse(self.is_plain(self.request(1, serializer="json")))

    def test_settings_that_have_changed(self) -> None:
        self.client.settings_version -= 1
        self.assertFalse(self.is_plain(self.request(1)))
        self.client.settings_version += 1
        config.reset()
        self.assertFalse(self.is_plain(self.request(1)))
        self.client.settings_version = global_version.number
        self.configure(log_wire=True)
        self.assertFalse(self.is_plain(self.request(1)))

    def test_a_daemon_that_handles_requests_itself(self) -> None:
        daemon: Any = self.daemon
        daemon.handleRequest = lambda connection: None
        self.assertFalse(self.is_plain(self.request(1)))
        del daemon.handleRequest
        self.assertTrue(self.is_plain(self.request(1)))
        handle = PlainDaemon.handleRequest
        self.addCleanup(setattr, PlainDaemon, "handleRequest", handle)
        PlainDaemon.handleRequest = lambda self, connection: None  # type: ignore[method-assign]
        self.assertFalse(self.is_plain(self.request(1)))


class Iterating(serializers.MarshalSerializer):
    """A serializer of a program whose decoded calls can be read only once."""

    def loadsCall(self, data: Any) -> Any:
        return iter(super().loadsCall(data))


class Replies(PlainCallsTestCase):
    def test_calls_of_unknown_objects_that_were_cancelled_before(self) -> None:
        """With an annotation, it is not a plain call."""
        cases: List[Tuple[Dict[str, bytes], int]] = [({}, 1), ({"ABCD": b"1"}, 0)]
        for own, plain in cases:
            self.dispatcher.running.cancel(CORRELATION.bytes)
            self.plain = 0
            with self.assertRaises(errors.CancelledError):
                self.call("echo", 1, object_id="unknown", correlation_id=CORRELATION, **own)
            self.assertEqual(plain, self.plain)
            with self.assertRaisesRegex(errors.DaemonError, "unknown object"):
                self.call("echo", 1, object_id="unknown", **own)

    def test_a_serializer_whose_calls_are_iterators(self) -> None:
        serializer = Iterating()
        self.dispatcher.serializers[serializer.serializer_id, None] = serializer
        self.assertEqual([[1], {}], self.call("echo", 1, serializer="marshal"))
        self.thing.number = 5
        self.assertEqual(5, self.call("__getattr__", "attribute", serializer="marshal"))
        with self.assertLogs(test_dispatch.LOGGER, "WARNING") as logged, self.assertRaises(ValueError):
            self.call("fail", "value", serializer="marshal")
        self.assertIn("obj.fail", logged.output[0])
        self.assertEqual(3, self.plain)

    def test_the_network_accepts_a_part(self) -> None:
        self.client.most = 50
        data = self.data[self.message("echo", (1,))]
        self.assertTrue(self.calls.answer(self.client, data))
        self.assertEqual(50, len(self.client.sent[0]))
        reply = self.client.sent[0] + self.client.stored[0]
        self.assertEqual([[1], {}], self.parse(ReceivingMessage(reply, reply[HEADER_SIZE:])))
        self.assertFalse(self.client.is_plain)
        self.assertEqual(len(reply), self.client.bytes_sent)

    def test_something_is_left_to_do(self) -> None:
        self.client.stays_plain = False
        with self.assertLogs(test_dispatch.LOGGER, "WARNING"):
            self.assertTrue(self.calls.answer(self.client, self.data[self.message("fail", ("value",))]))
        self.assertFalse(self.client.is_plain)

    def test_all_are_counted(self) -> None:
        self.dispatcher.running.statistics = self.dispatcher.statistics
        self.dispatcher.statistics.max_rows = 10
        for method, args in (("echo", (1,)), ("large", (100000,)), ("values", (3,))):
            self.answer(self.message(method, args))
        self.assertEqual(3, self.plain)
        received = self.client.bytes_received
        self.assertGreater(received, 0)
        data = self.data[self.message("echo", ("x" * 100000,))]
        self.assertTrue(self.calls.answer(self.client, data[:HEADER_SIZE], data[HEADER_SIZE:]))
        self.assertEqual(received + len(data), self.client.bytes_received)
        self.assertEqual([], self.dispatcher.running.list())
        rows = self.dispatcher.statistics.rows()["obj"]
        self.assertEqual({"echo": 2, "large": 1, "values": 1}, {name: row["calls"] for name, row in rows.items()})


if __name__ == "__main__":
    unittest.main()
