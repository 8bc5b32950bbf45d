"""One client connection, against bytes that are already there, and scripted servers."""
from __future__ import annotations

import functools
import os
import socket
import ssl
import threading
import unittest
from typing import Any, List, Tuple, Type
from unittest import mock

from Pyro5 import errors, protocol, serializers
from Pyro5._client import connection
from Pyro5._client.connecting import open_connection
from Pyro5._client.connection import Connection
from Pyro5._messages import handshake, requests
from Pyro5._net import tls
from Pyro5._values.uri import URI
from Pyro5.protocol import MSG_RESULT, ReceivingMessage, SendingMessage, header_begin
from Pyro5.socketutil import receive_data

from ..peers import CERTIFICATES, PATIENCE_SECONDS, Peer, ScriptedServer, free_port, settings

SERPENT = serializers.get_serializer("serpent")
MARSHAL = serializers.get_serializer("marshal")
WIRE = requests.WireOptions(1 << 30, False)
TARGET = "PYRO:thing@somewhere:1"


def reply(value: Any, seq: int = 1, msgtype: int = protocol.MSG_RESULT, serializer: Any = SERPENT) -> bytes:
    return SendingMessage(msgtype, 0, seq, serializer.serializer_id, serializer.dumps(value)).data


def request(value: Any = "x", seq: int = 1) -> SendingMessage:
    return requests.invoke_request(SERPENT, seq, 0, "thing", "echo", (value,), {}, WIRE)


class PairTestCase(unittest.TestCase):
    def pair(self, max_size: int = 0, **arguments: Any) -> Tuple[Connection, socket.socket]:
        first, second = socket.socketpair()
        self.addCleanup(second.close)
        result = Connection(first, TARGET, max_size, **arguments)
        self.addCleanup(first.close)
        second.settimeout(PATIENCE_SECONDS)
        return result, second


class RoundTripTests(PairTestCase):
    def test_a_request_is_sent_and_its_reply_returned(self) -> None:
        conn, other = self.pair()
        other.sendall(reply("answer"))
        message = conn.round_trip(request(), "echo")
        self.assertEqual("answer", SERPENT.loads(message.data))
        self.assertFalse(conn.mid_exchange)
        self.assertEqual(request().data, other.recv(1000))

    def test_a_reply_that_arrives_in_pieces(self) -> None:
        conn, other = self.pair()
        data = reply("answer " * 100)
        senders = threading.Thread(target=lambda: [other.sendall(data[i:i + 7]) for i in range(0, len(data), 7)])
        senders.start()
        message = conn.round_trip(request(), "echo")
        senders.join()
        self.assertEqual("answer " * 100, SERPENT.loads(message.data))

    def test_large_messages_both_ways(self) -> None:
        conn, other = self.pair()
        text = "large " * 500000
        peer = Peer(other)

        def echo() -> None:
            call = peer.read_call()
            peer.answer(call, call.args[0])

        thread = threading.Thread(target=echo)
        thread.start()
        message = conn.round_trip(request(text), "echo")
        thread.join()
        self.assertEqual(text, SERPENT.loads(message.data))

    def test_many_large_annotations(self) -> None:
        conn, other = self.pair()
        annotations = {"%04d" % i: os.urandom(1000) for i in range(200)}
        message = SendingMessage(protocol.MSG_INVOKE, 0, 1, 1, b"x", annotations)
        received: List[ReceivingMessage] = []
        thread = threading.Thread(target=lambda: received.append(Peer(other).read()))
        thread.start()
        conn.send_oneway(message, "echo")
        thread.join()
        self.assertEqual(annotations, {key: bytes(value) for key, value in received[0].annotations.items()})

    def test_sending_continues_after_a_partial_send(self) -> None:
        sock = mock.Mock(spec=socket.socket)
        sock.sendmsg.side_effect = lambda buffers: len(buffers[0]) + 3
        conn = Connection(sock, TARGET)
        payload = os.urandom(3 * connection.SEND_STEP_BYTES)
        message = SendingMessage(protocol.MSG_INVOKE, 0, 1, 1, payload)
        conn.send_oneway(message, "echo")
        sent = b"".join(bytes(args[0]) for args, _ in sock.sendall.call_args_list)
        self.assertEqual(payload[3:], sent)
        self.assertLessEqual(max(len(args[0]) for args, _ in sock.sendall.call_args_list), connection.SEND_STEP_BYTES)

    def test_wire_messages_are_logged_if_LOGWIRE_is_set(self) -> None:
        with settings(LOGWIRE=True):
            conn, other = self.pair()
        other.sendall(reply("answer"))
        with self.assertLogs("Pyro5.connection", "DEBUG") as logs:
            conn.round_trip(request("question"), "echo")
        self.assertIn("question", logs.output[0])
        self.assertIn("answer", logs.output[1])


class PlainRoundTripTests(PairTestCase):
    """The short way for small requests: what arrives decides which way the reply takes."""

    CORRELATION = bytes(range(16))

    def reply(self, value: Any = "answer", seq: int = 1, flags: int = 0, serializer: Any = SERPENT, **arguments: Any) -> bytes:
        arguments.setdefault("correlation_id", self.CORRELATION)
        return SendingMessage(protocol.MSG_RESULT, flags, seq, serializer.serializer_id, serializer.dumps(value),
                              **arguments).data

    def call(self, conn: Connection) -> Any:
        return conn.plain_round_trip(b"request", 1, header_begin(MSG_RESULT, SERPENT.serializer_id), self.CORRELATION,
                                     "echo")

    def test_an_ordinary_result(self) -> None:
        conn, other = self.pair()
        other.sendall(self.reply())
        self.assertEqual(SERPENT.dumps("answer"), self.call(conn))
        self.assertEqual(b"request", other.recv(1000))
        self.assertFalse(conn.mid_exchange)

    def test_other_replies_are_returned_as_messages(self) -> None:
        annotations = {"DATA": b"value"}
        replies = {"exception": self.reply(flags=protocol.FLAGS_EXCEPTION), "annotations": self.reply(annotations=annotations),
                   "no correlation id": self.reply(correlation_id=None), "other id": self.reply(correlation_id=bytes(16)),
                   "compressed": self.reply("answer " * 100, compress=True)}
        for name, data in replies.items():
            with self.subTest(name):
                conn, other = self.pair()
                other.sendall(data)
                message = self.call(conn)
                self.assertIn("answer", SERPENT.loads(message.data))
                self.assertEqual(annotations if name == "annotations" else {}, message.annotations)
                self.assertEqual(name == "exception", bool(message.flags & protocol.FLAGS_EXCEPTION))
                self.assertFalse(conn.mid_exchange)

    def test_a_reply_in_several_receives(self) -> None:
        for first_bytes in (1, 39, 40, 41):
            with self.subTest(first_bytes=first_bytes):
                conn, other = self.pair()
                conn._incoming = mock.Mock(wraps=conn.sock)
                conn._incoming.recv.side_effect = self.first_part(conn, other, self.reply(), first_bytes)
                self.assertEqual("answer", SERPENT.loads(self.call(conn).data))

    def test_the_timeout_applies_to_all_of_the_rest_of_a_reply(self) -> None:
        for is_large in (False, True):
            with self.subTest(is_large=is_large):
                conn, other = self.pair()
                conn.timeout = PATIENCE_SECONDS
                conn._reader.expects_large = is_large
                data, receive_rest = self.reply(), conn._receive_rest
                other.sendall(data[:20])

                def rest() -> Any:
                    other.sendall(data[20:])  # noqa: B023
                    return receive_rest()  # noqa: B023
                with mock.patch.object(conn, "_receive_rest", rest):
                    self.assertEqual("answer", SERPENT.loads(self.call(conn).data))

    def first_part(self, conn: Any, other: socket.socket, data: bytes, count: int) -> Any:
        """Return a function that returns the first bytes, when the others were sent over the socket."""
        def receive(_size: int) -> bytes:
            conn._incoming.recv.side_effect = None  # from here on, the socket itself
            other.sendall(data[count:])
            return data[:count]
        return receive

    def test_what_follows_a_reply_is_kept(self) -> None:
        conn, other = self.pair()
        other.sendall(self.reply() + self.reply("surplus", seq=7))
        self.assertEqual("answer", SERPENT.loads(self.call(conn).data))
        other.sendall(self.reply(seq=1))
        with self.assertRaisesRegex(errors.ProtocolError, "sequence number is 7, expected 1"):
            self.call(conn)

    def test_a_late_reply_first(self) -> None:
        conn, other = self.pair()
        conn.late.add(9)
        other.sendall(self.reply("late", seq=9)[:50])
        sender = threading.Thread(target=lambda: other.sendall(self.reply("late", seq=9)[50:] + self.reply()))
        sender.start()
        self.assertEqual("answer", SERPENT.loads(self.call(conn).data))
        sender.join()
        self.assertEqual(set(), conn.late)

    def test_wrong_replies(self) -> None:
        wrong = {"sequence number is 2, expected 1": (errors.ProtocolError, self.reply(seq=2)),
                 "uses serializer 2, the request used 1": (errors.SerializeError, self.reply(serializer=MARSHAL)),
                 "not the Pyro protocol": (errors.ProtocolError, b"HTTP/1.1 400 Bad Request\r\n"),
                 "closed by the other side": (errors.ConnectionClosedError, b""),
                 "closed by the other .ide": (errors.ConnectionClosedError, self.reply()[:-1])}
        for pattern, (error, data) in wrong.items():
            with self.subTest(pattern):
                conn, other = self.pair()
                other.sendall(data)
                other.shutdown(socket.SHUT_WR)
                with self.assertRaisesRegex(error, "(?s)calling echo of %s: .*%s" % (TARGET, pattern)) as caught:
                    self.call(conn)
                self.assertTrue(conn.mid_exchange)
                # the same cause, however much of the reply has come
                self.assertIs(EOFError if "closed" in pattern else type(None), type(caught.exception.__cause__))


class LargeRoundTripTests(PairTestCase):
    """The short way for requests in pieces, and for large replies that follow each other."""

    CORRELATION = bytes(range(16))
    TEXT = "x" * 70000

    def reply(self, seq: int = 1, flags: int = 0, text: str = TEXT, **arguments: Any) -> bytes:
        arguments.setdefault("correlation_id", self.CORRELATION)
        return SendingMessage(protocol.MSG_RESULT, flags, seq, SERPENT.serializer_id, SERPENT.dumps(text), **arguments).data

    def call(self, conn: Connection) -> Any:
        return conn.large_round_trip([b"req", b"uest"], 1, header_begin(MSG_RESULT, SERPENT.serializer_id), self.CORRELATION,
                                     "echo")

    def after_a_large_one(self, max_size: int = 0) -> Tuple[Connection, socket.socket]:
        conn, other = self.pair(max_size)
        other.sendall(self.reply())
        message = self.call(conn)
        self.assertEqual(self.TEXT, SERPENT.loads(message.data))
        self.assertEqual(b"request", other.recv(1000))
        return conn, other

    def test_ordinary_results(self) -> None:
        conn, other = self.after_a_large_one()
        for text in (self.TEXT, self.TEXT, self.TEXT + "y"):
            other.sendall(self.reply(text=text))
            self.assertEqual(SERPENT.dumps(text), self.call(conn))
            self.assertEqual(b"request", other.recv(1000))
            self.assertFalse(conn.mid_exchange)

    def test_other_replies_are_returned_as_messages(self) -> None:
        replies = {"exception": self.reply(flags=protocol.FLAGS_EXCEPTION), "other id": self.reply(correlation_id=bytes(16)),
                   "annotations": self.reply(annotations={"DATA": b"value"}), "small": self.reply(text="x"),
                   "compressed": self.reply(compress=True), "empty": self.reply()[:12] + bytes(8) + self.reply()[20:40]}
        for name, data in replies.items():
            with self.subTest(name):
                conn, other = self.after_a_large_one()
                other.sendall(data)
                message = self.call(conn)
                text = {"small": b"x", "empty": b""}.get(name, self.TEXT.encode())
                self.assertEqual(text, bytes(message.data).rsplit(b"\n", 1)[-1].strip(b"'"))
                self.assertFalse(conn.mid_exchange)

    def test_a_reply_in_parts(self) -> None:
        data = self.reply()
        for size in (1, 39, 40, 41, len(data) - 1):
            with self.subTest(size=size):
                conn, other = self.after_a_large_one()
                other.sendall(data[:size])
                sender = threading.Thread(target=other.sendall, args=(data[size:],))
                conn._incoming = mock.Mock(wraps=conn.sock)
                conn._incoming.recv.side_effect = self.first_part(conn, sender)
                found = self.call(conn)
                self.assertEqual(self.TEXT, SERPENT.loads(found if isinstance(found, bytes) else found.data))
                sender.join()

    def test_the_timeout_applies_to_all_parts_of_a_reply_together(self) -> None:
        for timeout, receives in ((None, 4), (PATIENCE_SECONDS, 1)):
            with self.subTest(timeout=timeout):
                conn, other = self.after_a_large_one()
                conn.timeout = timeout
                sock, conn.sock, conn._incoming = conn.sock, mock.Mock(wraps=conn.sock), mock.Mock(wraps=conn.sock)
                conn.sock.recv.side_effect = functools.partial(self.receive_some, sock)
                conn._incoming.recv.side_effect = functools.partial(self.receive_some, sock)
                other.sendall(self.reply(text="x" * 70000))
                self.call(conn)
                self.assertEqual(receives, conn._incoming.recv.call_count)  # the others are those of _receive_rest()

    def receive_some(self, sock: socket.socket, size: int, flags: int = 0) -> bytes:
        return sock.recv(min(size, 20000), flags)

    def first_part(self, conn: Any, sender: threading.Thread) -> Any:
        """Return a function that receives, and then makes a thread send the rest."""
        def receive(size: int) -> bytes:
            conn._incoming.recv.side_effect = None
            data: bytes = conn.sock.recv(size)
            sender.start()
            return data
        return receive

    def test_wrong_replies(self) -> None:
        wrong = {"sequence number is 2, expected 1": (errors.ProtocolError, self.reply(seq=2)),
                 "not the Pyro protocol": (errors.ProtocolError, b"HTTP/1.1 400 Bad Request\r\n" + bytes(100)),
                 "too large": (errors.ProtocolError, self.reply(text="x" * 81000)),
                 "closed by the other side": (errors.ConnectionClosedError, b""),
                 "closed by the other .ide": (errors.ConnectionClosedError, self.reply()[:-1])}
        for pattern, (error, data) in wrong.items():
            with self.subTest(pattern):
                conn, other = self.after_a_large_one(80000)
                other.sendall(data)
                other.shutdown(socket.SHUT_WR)
                with self.assertRaisesRegex(error, "(?s)calling echo of %s: .*%s" % (TARGET, pattern)):
                    self.call(conn)
                self.assertTrue(conn.mid_exchange)


class BrokenReplyTests(PairTestCase):
    """Whatever goes wrong: the right kind of error, a text that says where, and a connection known to be in doubt."""

    def check(self, data: bytes, error: Type[Exception], pattern: str, **arguments: Any) -> None:
        conn, other = self.pair(**arguments)
        other.sendall(data)
        other.shutdown(socket.SHUT_WR)
        with self.assertRaisesRegex(error, "(?s)calling echo of %s: .*%s" % (TARGET, pattern)):
            conn.round_trip(request(), "echo")
        self.assertTrue(conn.mid_exchange)

    def test_out_of_sync(self) -> None:
        self.check(reply("x", seq=2), errors.ProtocolError, "sequence number is 2, expected 1")

    def test_other_serializer(self) -> None:
        self.check(reply("x", serializer=MARSHAL), errors.SerializeError, "uses serializer 2, the request used 1")

    def test_other_message_type(self) -> None:
        self.check(reply("x", msgtype=protocol.MSG_PING), errors.ProtocolError, "message of type 6")

    def test_bytes_that_are_not_a_message(self) -> None:
        self.check(b"HTTP/1.1 400 Bad Request\r\n", errors.ProtocolError, "not the Pyro protocol")

    def test_a_reply_over_the_size_limit(self) -> None:
        self.check(reply("x" * 1000), errors.ProtocolError, "too large", max_size=500)

    def test_closed_before_the_reply(self) -> None:
        self.check(b"", errors.ConnectionClosedError, "closed by the other side")

    def test_closed_in_the_middle_of_the_reply(self) -> None:
        self.check(reply("x")[:-1], errors.ConnectionClosedError, "closed by the other side")
        self.check(reply("x")[:20], errors.ConnectionClosedError, "closed by the other side")

    def test_lost_while_sending(self) -> None:
        conn, other = self.pair()
        other.close()
        for send in (conn.round_trip, conn.send_oneway):
            with self.assertRaisesRegex(errors.ConnectionClosedError, "connection lost") as caught:
                send(request(), "echo")
            self.assertIsInstance(caught.exception.__cause__, OSError)
            self.assertTrue(conn.mid_exchange)

    def test_interrupted(self) -> None:
        conn, _ = self.pair()
        reader = mock.Mock(expects_large=False, receive_from=mock.Mock(side_effect=KeyboardInterrupt))
        with mock.patch.object(conn, "_reader", reader):
            with self.assertRaises(KeyboardInterrupt):
                conn.round_trip(request(), "echo")
        self.assertTrue(conn.mid_exchange)


class TimeoutTests(PairTestCase):
    def test_no_reply_in_time(self) -> None:
        conn, _ = self.pair()
        conn.timeout = 0.01
        with self.assertRaisesRegex(errors.TimeoutError, "calling echo of .*timeout"):
            conn.round_trip(request(), "echo")
        self.assertTrue(conn.mid_exchange)

    def test_no_more_bytes_in_the_middle_of_a_reply(self) -> None:
        conn, other = self.pair()
        conn.timeout = 0.01
        other.sendall(reply("x")[:-1])
        with self.assertRaises(errors.TimeoutError):
            conn.round_trip(request(), "echo")
        self.assertEqual(0.01, conn.timeout)

    def test_bytes_that_arrive_one_by_one_do_not_extend_the_timeout(self) -> None:
        clock = iter(range(1000))
        sock = mock.Mock(spec=socket.socket)
        sock.gettimeout.return_value = 20
        data = iter(reply("x" * 1000))

        def one_byte_into(buffer: memoryview) -> int:
            buffer[0] = next(data)
            return 1

        sock.recv.side_effect = lambda size, flags=0: bytes([next(data)])
        sock.recv_into.side_effect = one_byte_into
        with mock.patch("time.monotonic", lambda: next(clock)):
            with self.assertRaises(errors.TimeoutError):
                Connection(sock, TARGET).round_trip(request(), "echo")
        self.assertLess(sock.recv.call_count + sock.recv_into.call_count, 30)

    def test_a_large_reply_that_makes_progress_does_not_time_out(self) -> None:
        text = "x" * (1 << 20)
        clock = iter(range(100000))
        sock = mock.Mock(spec=socket.socket)
        sock.gettimeout.return_value = 20
        data = memoryview(reply(text))

        def some_bytes(size: int, flags: int = 0) -> bytes:
            nonlocal data
            some, data = bytes(data[:min(size, 16384)]), data[min(size, 16384):]
            return some

        def some_bytes_into(buffer: memoryview) -> int:
            some = some_bytes(len(buffer))
            buffer[:len(some)] = some
            return len(some)

        sock.recv.side_effect = some_bytes
        sock.recv_into.side_effect = some_bytes_into
        with mock.patch("time.monotonic", lambda: next(clock)):
            message = Connection(sock, TARGET).round_trip(request(), "echo")
        self.assertEqual(text, SERPENT.loads(message.data))
        sock.settimeout.assert_called_with(20)


class HandshakeTests(PairTestCase):
    def shake(self, data: bytes, value: Any = "hello") -> Tuple[Any, Any, bytes]:
        conn, other = self.pair()
        other.sendall(data)
        response, metadata = conn.handshake(SERPENT, 7, "thing", value, WIRE)
        return response, metadata, other.recv(1000)

    def test_an_accepted_handshake(self) -> None:
        accepted = reply({"handshake": "welcome", "meta": {"methods": []}}, 7, protocol.MSG_CONNECTOK)
        with settings(SHARED_MEMORY=False):  # both ends of the pair are on this host
            response, metadata, sent = self.shake(accepted, {"password": 1})
        self.assertEqual(("welcome", {"methods": []}), (response, metadata))
        expected = handshake.connect_request(SERPENT, 7, "thing", {"password": 1}, WIRE)
        self.assertEqual(expected.data, sent)

    def test_metadata_is_optional(self) -> None:
        self.assertIsNone(self.shake(reply({"handshake": "x", "meta": None}, 0, protocol.MSG_CONNECTOK))[1])

    def test_the_server_chooses_serializer_and_sequence_number(self) -> None:
        self.assertEqual("x", self.shake(reply({"handshake": "x", "meta": None}, 9, protocol.MSG_CONNECTOK, MARSHAL))[0])

    def test_a_refused_handshake(self) -> None:
        with self.assertRaisesRegex(errors.CommunicationError, "connecting to %s: .*go away" % TARGET):
            self.shake(reply("go away", 7, protocol.MSG_CONNECTFAIL))

    def test_a_reply_of_another_type(self) -> None:
        for data in (reply("x", 7), reply({"handshake": "x"}, 7, protocol.MSG_CONNECTOK), b"garbage"):
            with self.assertRaisesRegex(errors.ProtocolError, "connecting to %s: " % TARGET):
                self.shake(data)


class CallTests(PairTestCase):
    def test_call(self) -> None:
        conn, other = self.pair()
        other.sendall(reply({"methods": []}, 5))
        self.assertEqual({"methods": []}, conn.call(SERPENT, 5, "Pyro.Daemon", "get_metadata", ["thing"], WIRE))
        expected = requests.invoke_request(SERPENT, 5, 0, "Pyro.Daemon", "get_metadata", ["thing"], {}, WIRE).data
        self.assertEqual(expected, other.recv(1000))


class OpenTests(unittest.TestCase):
    def check_echo(self, server: ScriptedServer) -> Connection:
        conn = open_connection(URI(server.uri), PATIENCE_SECONDS)
        try:
            conn.send(b"hello")
            self.assertEqual(b"hello", conn.recv(5))
        finally:
            conn.close()
        return conn

    @staticmethod
    def echo(peer: Peer) -> None:
        peer.sock.sendall(receive_data(peer.sock, 5))

    def test_every_family(self) -> None:
        for family in (socket.AF_INET, getattr(socket, "AF_UNIX", None), socket.AF_INET6):
            if family is None:
                continue
            with self.subTest(family=family), ScriptedServer(self.echo, family=family) as server:
                conn = self.check_echo(server)
                self.assertEqual(server.uri, conn.target)

    @unittest.skipUnless(os.path.exists("/proc/self"), "needs Linux")
    def test_abstract_unix_socket(self) -> None:
        name = "\0Pyro5 test %d" % os.getpid()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
            listener.listen(1)
            open_connection(URI("PYRO:thing@./u:" + name), PATIENCE_SECONDS).close()

    def test_options(self) -> None:
        with ScriptedServer(self.echo) as server:
            conn = open_connection(URI(server.uri), 4.0)
            self.assertEqual(4.0, conn.timeout)
            self.assertTrue(conn.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            conn.send(b"12345")
            conn.close()

    def test_no_server_at_the_address(self) -> None:
        uri = URI("PYRO:thing@127.0.0.1:%d" % free_port())
        with self.assertRaisesRegex(errors.CommunicationError, "%s.*is the server running" % uri) as caught:
            open_connection(uri, None)
        self.assertIsInstance(caught.exception.__cause__, ConnectionRefusedError)
        self.assertIsNone(caught.exception.__cause__.__cause__)     # a traceback of two parts, not of three

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "needs Unix domain sockets")
    def test_no_socket_file(self) -> None:
        with self.assertRaisesRegex(errors.CommunicationError, "nowhere/sock.*is the server running"):
            open_connection(URI("PYRO:thing@./u:nowhere/sock"), None)

    def test_unknown_host(self) -> None:
        with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror(socket.EAI_NONAME, "not known")):
            with self.assertRaisesRegex(errors.CommunicationError, "host not found: 'nowhere.invalid' .*use an ip address$"):
                open_connection(URI("PYRO:thing@nowhere.invalid:5"), None)

    def test_no_answer(self) -> None:
        with mock.patch("socket.socket.connect", side_effect=socket.timeout("timed out")):
            with self.assertRaisesRegex(errors.TimeoutError, "PYRO:thing@127.0.0.1:5"):
                open_connection(URI("PYRO:thing@127.0.0.1:5"), 1)

    def test_closing_an_inherited_connection_sends_nothing(self) -> None:
        # what a forked child does: its copy of the socket goes, the parent's works on
        first, second = socket.socketpair()
        with first, second:
            Connection(socket.socket(fileno=os.dup(first.fileno())), TARGET).close_inherited()
            first.sendall(b"still open")
            self.assertEqual(b"still open", second.recv(100))


class TlsTests(unittest.TestCase):
    def wrap(self, sock: socket.socket) -> socket.socket:
        context = tls.get_ssl_context(servercert=os.path.join(CERTIFICATES, "server.pem"),
                                      serverkey=os.path.join(CERTIFICATES, "server.key"),
                                      cacerts=os.path.join(CERTIFICATES, "ca.pem"))
        sock.settimeout(PATIENCE_SECONDS)
        return tls.tls_server_socket(sock, context)

    def echo_large(self, peer: Peer) -> Any:
        call = peer.read_call()
        peer.answer(call, call.args[0])
        return peer.sock.getpeercert()  # type: ignore[attr-defined]

    def test_both_sides_present_certificates(self) -> None:
        text = "secret " * 30000
        with settings(SSL=True, SSL_CACERTS=os.path.join(CERTIFICATES, "ca.pem"),
                      SSL_CLIENTCERT=os.path.join(CERTIFICATES, "client.pem"),
                      SSL_CLIENTKEY=os.path.join(CERTIFICATES, "client-encrypted.key"), SSL_CLIENTKEYPASSWD="secret",
                      SSL_REQUIRECLIENTCERT=True):
            with ScriptedServer(self.echo_large, wrap=self.wrap) as server:
                conn = open_connection(URI(server.uri), PATIENCE_SECONDS)
                message = conn.round_trip(request(text), "echo")
                self.assertEqual(text, SERPENT.loads(message.data))
                self.assertEqual((("commonName", "Test server"),), conn.getpeercert()["subject"][0])
                conn.close()
        self.assertEqual((("commonName", "Test client"),), server.results[0]["subject"][0])

    def test_an_unknown_authority_is_refused(self) -> None:
        def see_the_refusal(peer: Peer) -> None:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                peer.read()

        with settings(SSL=True), ScriptedServer(see_the_refusal, wrap=self.wrap) as server:
            with self.assertRaisesRegex(errors.CommunicationError, "do the certificates match"):
                open_connection(URI(server.uri), PATIENCE_SECONDS)

    def test_missing_certificate_files_are_not_a_communication_error(self) -> None:
        with settings(SSL=True, SSL_CACERTS="nowhere.pem"):
            with self.assertRaisesRegex(FileNotFoundError, "nowhere.pem"):
                open_connection(URI("PYRO:thing@127.0.0.1:5"), 1)


if __name__ == "__main__":
    unittest.main()
