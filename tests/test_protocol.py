"""Messages and bytes: what is encoded, what is decoded, what is refused; whole messages over a connection."""
from __future__ import annotations

import array
import logging
import socket
import struct
import unittest
import uuid
import zlib
from typing import Any, List, Optional

from Pyro5 import current_context, errors, protocol
from Pyro5.protocol import (FLAGS_COMPRESSED, FLAGS_CORR_ID, FLAGS_ONEWAY, HEADER_SIZE, MSG_INVOKE, MSG_PING, MSG_RESULT,
                            ReceivingMessage, SendingMessage)
from Pyro5.socketutil import SocketConnection

from .peers import settings
from .support import correlation_of

CORRELATION = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
HEADER = struct.Struct("!4sHBBHHII16sHH")  # written down here once more: these bytes must never change


def message(payload: bytes = b"payload", annotations: Any = None, seq: int = 1, **options: Any) -> bytes:
    return SendingMessage(MSG_INVOKE, 0, seq, 1, payload, annotations, **options).data


def raw(body: bytes, annotations_size: int = 0, flags: int = 0, **changes: Any) -> bytes:
    """A message put together by hand, which may lie."""
    fields: Any = dict(tag=b"PYRO", version=502, size=len(body) - annotations_size, magic=0x4DC5)
    fields.update(changes)
    return HEADER.pack(fields["tag"], fields["version"], MSG_INVOKE, 1, flags, 1, fields["size"], annotations_size,
                       bytes(16), 0, fields["magic"]) + body


def parse(data: bytes, max_size: int = 0) -> ReceivingMessage:
    """Parse a whole message at once."""
    received = ReceivingMessage(data[:HEADER_SIZE])
    received.add_payload(data[HEADER_SIZE:], max_size)
    return received


def chunk(name: bytes, value: bytes, length: Optional[int] = None) -> bytes:
    return name + struct.pack("!I", len(value) if length is None else length) + value


class Sending(unittest.TestCase):
    def test_header_fields(self) -> None:
        sent = SendingMessage(MSG_RESULT, FLAGS_ONEWAY, 0xFFFF, 3, b"abc", {"TEST": b"12345"},
                              correlation_id=CORRELATION.bytes)
        self.assertEqual((b"PYRO", 502, MSG_RESULT, 3, FLAGS_ONEWAY | FLAGS_CORR_ID, 0xFFFF, 3, 13, CORRELATION.bytes, 0,
                          0x4DC5), HEADER.unpack(sent.data[:HEADER_SIZE]))
        self.assertEqual(b"TEST\0\0\0\x05" b"12345" b"abc", sent.data[HEADER_SIZE:])
        self.assertEqual(len(sent.data), sent.size)
        self.assertEqual((MSG_RESULT, FLAGS_ONEWAY | FLAGS_CORR_ID, 0xFFFF, 3),
                         (sent.type, sent.flags, sent.seq, sent.serializer_id))

    def test_no_correlation_id_is_zeros_and_no_flag(self) -> None:
        header = HEADER.unpack(message()[:HEADER_SIZE])
        self.assertEqual((0, bytes(16)), (header[4], header[8]))

    def test_a_small_message_is_one_buffer(self) -> None:
        for chunks in (None, {}, {"TEST": b"value"}):
            sent = SendingMessage(MSG_INVOKE, 0, 1, 1, b"x" * 1000, chunks)
            self.assertEqual([bytes], [type(buffer) for buffer in sent.buffers])

    def test_a_large_payload_is_not_copied(self) -> None:
        for payload in (b"x" * 100000, bytearray(100000), memoryview(bytes(100000))):
            value = b"v" * 50000
            sent = SendingMessage(MSG_INVOKE, 0, 1, 1, payload, {"TEST": value})
            self.assertIs(payload, sent.buffers[-1])
            self.assertIs(value, sent.buffers[-2])
            self.assertEqual(sent.size, sum(map(len, sent.buffers)))
            self.assertEqual(sent.data[HEADER_SIZE:], chunk(b"TEST", value) + bytes(payload))

    def test_a_payload_in_pieces(self) -> None:
        for size in (10, 100000):
            pieces = [b"<", bytes(size), b">"]
            sent = SendingMessage(MSG_INVOKE, 0, 1, 2, pieces, {"ABCD": b"x"})
            self.assertEqual(SendingMessage(MSG_INVOKE, 0, 1, 2, b"".join(pieces), {"ABCD": b"x"}).data, sent.data)
            self.assertEqual(HEADER_SIZE + 9 + size + 2, sent.size)
        self.assertIn(id(pieces[1]), list(map(id, sent.buffers)))
        compressed = SendingMessage(MSG_INVOKE, 0, 1, 2, pieces, compress=True)
        self.assertEqual(SendingMessage(MSG_INVOKE, 0, 1, 2, b"".join(pieces), compress=True).data, compressed.data)
        with self.assertRaises(errors.MessageTooLargeError):
            SendingMessage(MSG_INVOKE, 0, 1, 2, pieces, max_size=100001)

    def test_compression_begins_above_100_bytes(self) -> None:
        self.assertEqual(b"x" * 100, message(b"x" * 100, compress=True)[HEADER_SIZE:])
        sent = SendingMessage(MSG_INVOKE, 0, 1, 1, b"x" * 101, {"TEST": b"y" * 500}, compress=True)
        self.assertEqual(FLAGS_COMPRESSED, sent.flags)
        self.assertEqual(b"x" * 101, zlib.decompress(sent.data[HEADER_SIZE + 508:]))
        self.assertIn(b"y" * 500, sent.data)  # annotations are not compressed
        self.assertEqual(0, HEADER.unpack(message(b"x" * 101)[:HEADER_SIZE])[4])

    def test_limit_counts_annotations_and_payload(self) -> None:
        message(b"x" * 88, {"TEST": b"1234"}, max_size=100)
        with self.assertRaisesRegex(errors.MessageTooLargeError, "101 bytes.*100"):
            message(b"x" * 89, {"TEST": b"1234"}, max_size=100)
        message(b"x" * 1000, compress=True, max_size=100)  # what counts is what is sent

    def test_bad_annotations(self) -> None:
        bad: List[Any] = [{"ABC": b""}, {"ABCDE": b""}, {"": b""}, {"ABC\xe9": b""}, {b"ABCD": b""}, {1234: b""}, {None: b""},
                          {"ABCD": "text"}, {"ABCD": 5}, {"ABCD": None}, {"ABCD": [1]}, {"ABCD": array.array("B")}]
        for chunks in bad:
            with self.subTest(chunks=chunks), self.assertRaises(errors.ProtocolError):
                message(annotations=chunks)

    def test_every_kind_of_buffer_is_an_annotation(self) -> None:
        numbers = array.array("I", [1, 2, 3])
        values = [b"bytes", b"", bytearray(b"array"), memoryview(b"view"), memoryview(numbers), memoryview(b"abcdef")[::2],
                  memoryview(numbers)[::-1], memoryview(b""), memoryview(bytes(6)).cast("B", (2, 3))]
        for value in values:
            sent = message(b"!", {"ABCD": value})
            self.assertEqual(bytes(value), bytes(parse(sent).annotations["ABCD"]))

    def test_annotations_keep_their_order(self) -> None:
        names = ["ZZZZ", "AAAA", "MMMM"]
        sent = message(b"", {name: name.encode() for name in names})
        self.assertEqual(names, list(parse(sent).annotations))

    def test_a_small_reply_is_encoded_as_any_other(self) -> None:
        reply = protocol.result_message(7, 3, b"payload", 7, b"c" * 16)
        same = SendingMessage(protocol.MSG_RESULT, 0, 7, 3, b"payload", correlation_id=b"c" * 16, compress=False, max_size=0)
        self.assertEqual((same.buffers, same.size, repr(same)), (reply.buffers, reply.size, repr(reply)))
        for name in "type", "flags", "seq", "serializer_id", "corr_bytes", "annotations":
            self.assertEqual(getattr(same, name), getattr(reply, name))
        self.assertFalse(hasattr(reply, "payload"))

    def test_repr(self) -> None:
        self.assertIn("seq=7", repr(SendingMessage(MSG_INVOKE, 0, 7, 1, b"x")))
        self.assertIn("seq=1", repr(ReceivingMessage(message()[:40])))


class MadeByHand(unittest.TestCase):
    """What a program leaves out comes from the settings and the context of the current call."""

    def setUp(self) -> None:
        self.addCleanup(setattr, current_context, "correlation_id", current_context.correlation_id)
        current_context.correlation_id = None

    def test_compression_as_the_setting_says(self) -> None:
        for setting, flag in ((True, FLAGS_COMPRESSED), (False, 0), (None, 0)):
            with settings(COMPRESSION=setting):
                self.assertEqual(flag, SendingMessage(MSG_INVOKE, 0, 1, 1, b"ab" * 500).flags)
                self.assertEqual(0, SendingMessage(MSG_INVOKE, 0, 1, 1, b"ab" * 500, compress=False).flags)

    def test_the_correlation_id_of_the_context(self) -> None:
        current_context.correlation_id = CORRELATION
        sent = SendingMessage(MSG_INVOKE, 0, 1, 1, b"ab", {"ANNO": b"x"})
        self.assertEqual((FLAGS_CORR_ID, CORRELATION.bytes), (sent.flags, sent.corr_id))
        self.assertEqual(CORRELATION, correlation_of(parse(sent.data)))
        self.assertEqual(0, SendingMessage(MSG_INVOKE, 0, 1, 1, b"ab", correlation_id=None).flags)

    def test_flags_that_say_what_was_done_are_not_believed(self) -> None:
        sent = SendingMessage(MSG_INVOKE, FLAGS_COMPRESSED | FLAGS_CORR_ID | FLAGS_ONEWAY, 1, 1, b"ab")
        self.assertEqual((FLAGS_ONEWAY, bytes(16)), (sent.flags, sent.corr_id))
        self.assertEqual(b"ab", parse(sent.data).data)

    def test_a_received_message_is_forwarded_as_it_came(self) -> None:
        with settings(COMPRESSION=True):
            first = parse(SendingMessage(MSG_INVOKE, FLAGS_ONEWAY, 7, 1, b"ab" * 500, {"ANNO": b"x"}).data)
            again = SendingMessage(first.type, first.flags, first.seq, first.serializer_id, first.data,
                                   dict(first.annotations))
        self.assertEqual({"ANNO": b"x"}, again.annotations)
        second = parse(again.data)
        self.assertEqual((b"ab" * 500, {"ANNO": b"x"}, FLAGS_ONEWAY, 7),
                         (second.data, second.annotations, second.flags, second.seq))

    def test_size_limit(self) -> None:
        with settings(MAX_MESSAGE_SIZE=1000):
            with self.assertRaises(errors.ProtocolError) as caught:
                SendingMessage(MSG_INVOKE, 0, 1, 1, b"x" * 5000)
            self.assertIs(errors.ProtocolError, type(caught.exception))
            self.assertIn("5000", str(caught.exception))
        with settings(MAX_MESSAGE_SIZE=None):
            SendingMessage(MSG_INVOKE, 0, 1, 1, b"x" * 5000)

    def test_names_of_the_layout(self) -> None:
        sent = message()
        self.assertEqual(HEADER.unpack(sent[:40]), struct.unpack(protocol._header_format, sent[:protocol._header_size]))
        self.assertEqual((sent[4:6], sent[38:40], 0x4DC5, sent[20:36]), (
            protocol._protocol_version_bytes, protocol._magic_number_bytes, protocol._magic_number,
            protocol._empty_correlation_id))


class Receiving(unittest.TestCase):
    def test_all_fields(self) -> None:
        sent = SendingMessage(MSG_RESULT, FLAGS_ONEWAY, 0xFFFF, 3, b"abc", {"TEST": b"12345"},
                              correlation_id=CORRELATION.bytes).data
        got = parse(sent)
        self.assertEqual((MSG_RESULT, FLAGS_ONEWAY | FLAGS_CORR_ID, 0xFFFF, 3, 3, 13),
                         (got.type, got.flags, got.seq, got.serializer_id, got.data_size, got.annotations_size))
        self.assertEqual((CORRELATION, CORRELATION.bytes), (correlation_of(got), got.corr_id))
        self.assertEqual(({"TEST": b"12345"}, b"abc"), (got.annotations, bytes(got.data)))

    def test_correlation_bytes_without_their_flag_do_not_count(self) -> None:
        header = HEADER.pack(b"PYRO", 502, 4, 1, 0, 1, 0, 0, CORRELATION.bytes, 0, 0x4DC5)
        self.assertIsNone(ReceivingMessage(header).corr_bytes)
        self.assertEqual(CORRELATION.bytes, ReceivingMessage(header).corr_id)

    def test_reserved_field_and_unknown_flags_are_ignored(self) -> None:
        header = HEADER.pack(b"PYRO", 502, 4, 1, 0xFF00, 1, 0, 0, bytes(16), 0xABCD, 0x4DC5)
        self.assertEqual(0xFF00, ReceivingMessage(header, b"").flags)

    def test_annotations_are_views(self) -> None:
        sent = message(b"abc", {"TEST": b"12345"})
        body = memoryview(sent)[40:]
        got = ReceivingMessage(sent[:40], body)
        self.assertIs(memoryview, type(got.annotations["TEST"]))
        self.assertIs(sent, got.annotations["TEST"].obj)
        self.assertIs(sent, got.data.obj)  # type: ignore[union-attr]

    def test_the_last_of_several_annotations_with_one_id_counts(self) -> None:
        body = chunk(b"SAME", b"first") + chunk(b"SAME", b"second")
        got = ReceivingMessage(raw(body, len(body))[:40], body)
        self.assertEqual({"SAME": b"second"}, got.annotations)

    def test_empty_values(self) -> None:
        body = chunk(b"NONE", b"") + chunk(b"ALSO", b"")
        got = ReceivingMessage(raw(body, len(body))[:40], body)
        self.assertEqual({"NONE": b"", "ALSO": b""}, got.annotations)
        self.assertEqual(b"", got.data)

    def test_number_of_annotations_is_limited(self) -> None:
        chunk = b"SAME\0\0\0\0"
        most = protocol.MAX_ANNOTATIONS
        self.assertEqual({"SAME": b""}, parse(raw(most * chunk, most * len(chunk))).annotations)
        with self.assertRaisesRegex(errors.ProtocolError, "10000 annotations at most"):
            parse(raw((most + 1) * chunk, (most + 1) * len(chunk)))

    def test_annotations_that_lie(self) -> None:
        lies = {"id not ascii": chunk(b"AB\xffD", b"x"), "value cut off": chunk(b"ABCD", b"x", 2),
                "value endless": chunk(b"ABCD", b"x", 0xFFFFFFFF), "head cut off": chunk(b"ABCD", b"x") + b"ABCD\0\0\0",
                "one byte left": chunk(b"ABCD", b"x") + b"A"}
        for lie, body in lies.items():
            data = raw(body + b"payload", len(body))
            with self.subTest(lie), self.assertRaises(errors.ProtocolError):
                parse(data)

    def test_a_chunk_does_not_reach_into_the_payload(self) -> None:
        body = chunk(b"ABCD", b"", 7)
        with self.assertRaises(errors.ProtocolError):
            parse(raw(body + b"payload", len(body)))

    def test_body_of_another_size_than_announced(self) -> None:
        for body in (b"", b"payloa", b"payload!"):
            with self.assertRaises(errors.ProtocolError):
                ReceivingMessage(message(b"payload")[:40], body)

    def test_headers_that_are_none(self) -> None:
        for changes in (dict(tag=b"HTTP"), dict(version=501), dict(version=503), dict(magic=0x4DC6)):
            with self.assertRaises(errors.ProtocolError):
                ReceivingMessage(raw(b"", **changes))

    def test_compressed_payload(self) -> None:
        sent = message(b"x" * 1000, {"TEST": b"1"}, compress=True)
        got = parse(sent)
        self.assertEqual((b"x" * 1000, 1000, 0), (got.data, got.data_size, got.flags))

    def test_payloads_that_are_no_zlib_stream(self) -> None:
        good = zlib.compress(b"x" * 1000)
        bad = {"garbage": b"garbage", "nothing": b"", "truncated": good[:-1], "without checksum": good[:-4],
               "wrong checksum": good[:-1] + bytes([good[-1] ^ 1]), "something behind it": good + b"\0",
               "two streams": good + good, "gzip": b"\x1f\x8b" + good}
        for name, payload in bad.items():
            for max_size in (0, 5000):
                with self.subTest(name, max_size=max_size), self.assertRaises(errors.ProtocolError) as caught:
                    parse(raw(payload, flags=FLAGS_COMPRESSED), max_size)
                self.assertNotIsInstance(caught.exception, errors.MessageTooLargeError)

    def test_tls_is_recognized(self) -> None:
        for data in (b"\x16\x03\x01\x02\x00\x01", b"\x15\x03\x03\x00\x02\x02"):
            with self.assertRaisesRegex(errors.ProtocolError, "TLS.*SSL"):
                ReceivingMessage.validate(data)

    def test_validate(self) -> None:
        ReceivingMessage.validate(b"PYRO\x01\xf6")
        ReceivingMessage.validate(memoryview(message()))
        for data in (b"GET / ", b"PYRO\x01\xf5", b"pyro\x01\xf6"):
            with self.assertRaises(errors.ProtocolError):
                ReceivingMessage.validate(data)
        for start in (b"PYRO", b"PYRO\x01", message()[:39], message()):
            ReceivingMessage.validate(start)
        for data in (b"HTTP", b"HTTP/", message()[:38] + b"??"):
            with self.assertRaises(errors.ProtocolError):
                ReceivingMessage.validate(data)
        for data in (b"", b"PYR"):
            with self.assertRaises(ValueError):
                ReceivingMessage.validate(data)


class OverASocket(unittest.TestCase):
    """What uses a connection: receiving a whole message, and pinging."""

    def setUp(self) -> None:
        here, there = socket.socketpair()
        for sock in (here, there):
            sock.settimeout(10)
            self.addCleanup(sock.close)
        self.connection, self.peer = SocketConnection(here), SocketConnection(there)

    def test_recv_stub(self) -> None:
        self.peer.send(message(b"first", {"ANNO": b"value"}) + message(b"x" * 500, compress=True))
        got = protocol.recv_stub(self.connection)
        self.assertEqual((b"first", {"ANNO": b"value"}), (bytes(got.data), got.annotations))
        self.assertEqual(b"x" * 500, protocol.recv_stub(self.connection, [MSG_INVOKE, MSG_RESULT]).data)

    def test_recv_stub_refuses_other_types(self) -> None:
        self.peer.send(message())
        with self.assertRaisesRegex(errors.ProtocolError, "type 4 .*5"):
            protocol.recv_stub(self.connection, [MSG_RESULT])

    def test_recv_stub_refuses_garbage_and_large_messages(self) -> None:
        self.peer.send(b"GET / ")
        with self.assertRaises(errors.ProtocolError):
            protocol.recv_stub(self.connection)
        self.peer.send(message(b"x" * 500)[:HEADER_SIZE] + message(bytes(500), compress=True))
        for _ in range(2):
            with self.assertRaises(errors.MessageTooLargeError):
                protocol.recv_stub(self.connection, None, 499)
        self.peer.send(message(b"x" * 500))
        with settings(MAX_MESSAGE_SIZE=499), self.assertRaisesRegex(errors.ProtocolError, "500"):
            protocol.recv_stub(self.connection)

    def test_recv_stub_at_the_end(self) -> None:
        self.peer.send(message()[:-1])
        self.peer.close()
        with self.assertRaises(errors.ConnectionClosedError):
            protocol.recv_stub(self.connection)

    def test_ping(self) -> None:
        self.peer.send(SendingMessage(MSG_PING, 0, 0, 42, b"pong").data)
        SendingMessage.ping(self.connection)
        asked = protocol.recv_stub(self.peer)
        self.assertEqual((MSG_PING, 0, 42, b"ping"), (asked.type, asked.seq, asked.serializer_id, asked.data))

    def test_ping_answered_by_something_else(self) -> None:
        self.peer.send(message())
        with self.assertRaises(errors.ProtocolError):
            SendingMessage.ping(self.connection)


class WireLog(unittest.TestCase):
    def test_log_wiredata(self) -> None:
        logger = logging.getLogger("Pyro5.test_protocol")
        sent = SendingMessage(MSG_INVOKE, 0, 77, 1, b"the payload", {"ANNO": b"x"}, correlation_id=CORRELATION.bytes)
        with self.assertLogs(logger, "DEBUG") as logged:
            protocol.log_wiredata(logger, "sending", sent)
            protocol.log_wiredata(logger, "received", ReceivingMessage(sent.data[:40], sent.data[40:]))
        self.assertEqual(["DEBUG"] * 2, [record.levelname for record in logged.records])
        for line in logged.output:
            self.assertRegex(line, "(?s)seq=77.*the payload")
        self.assertIn(str(CORRELATION), logged.output[1])
        self.assertIn("ANNO", logged.output[1])

    def test_handshakes_are_not_shown(self) -> None:
        logger = logging.getLogger("Pyro5.test_protocol")
        for kind in (protocol.MSG_CONNECT, protocol.MSG_CONNECTOK, protocol.MSG_CONNECTFAIL):
            sent = SendingMessage(kind, 0, 77, 1, b"the password", {"AUTH": b"the proof"})
            with self.assertLogs(logger, "DEBUG") as logged:
                protocol.log_wiredata(logger, "sending", sent)
                protocol.log_wiredata(logger, "received", ReceivingMessage(sent.data[:40], sent.data[40:]))
            self.assertEqual(2, len(logged.output))
            for line in logged.output:
                self.assertRegex(line, "seq=77.*bytes of a handshake")
                self.assertNotIn("the p", line)


if __name__ == "__main__":
    unittest.main()
