"""A client's connection in the server: incremental reading, buffered writing, and its end."""
from __future__ import annotations

import select
import socket
import threading
import time
import traceback
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import errors
from Pyro5._server.connection import NEW_SECONDS, ServerConnection
from Pyro5.protocol import MSG_RESULT, SendingMessage

PATIENCE_SECONDS = 60.0


def message(payload: bytes = b"payload", annotations: Any = None, compress: bool = False) -> SendingMessage:
    return SendingMessage(MSG_RESULT, 0, 1, 1, payload, annotations, compress=compress)


class ConnectionTestCase(unittest.TestCase):
    def setUp(self) -> None:
        here, self.peer = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(self.peer.close)
        for sock in (here, self.peer):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20000)
        here.setblocking(False)
        self.peer.settimeout(PATIENCE_SECONDS)
        self.server = mock.Mock()
        self.server.new_account.loop_seconds = 0.0
        self.connection = ServerConnection(here, self.server, 1000000)


class Accounts(ConnectionTestCase):
    def become_old(self) -> None:
        """Pass the time after which the connection does not count as new any more, and read its account then."""
        later = time.monotonic() + NEW_SECONDS + 1
        with mock.patch("time.monotonic", lambda: later):
            self.assertIs(self.connection, self.connection.loop_account)

    def test_new_connections_share_accounts(self) -> None:
        connection = self.connection
        self.assertIs(self.server.handshake_account, connection.loop_account)
        connection.finish_handshake()
        self.assertIs(self.server.new_account, connection.loop_account)
        self.become_old()
        self.assertIs(connection, connection.loop_account)

    def test_what_it_used_as_a_new_one_follows_it(self) -> None:
        self.server.new_account.loop_seconds = 5.0
        self.connection.loop_seconds = 1.0  # in its handshake, which other connections pay for
        self.connection.finish_handshake()
        self.assertIs(self.server.new_account, self.connection.loop_account)
        self.connection.loop_seconds += 2.0
        self.become_old()
        self.assertIs(self.connection, self.connection.loop_account)
        self.assertEqual(3.0, self.server.new_account.loop_seconds)

    def test_what_new_ones_have_used_is_never_negative(self) -> None:
        self.connection.finish_handshake()
        self.assertIs(self.server.new_account, self.connection.loop_account)
        self.connection.loop_seconds += 2.0
        self.become_old()
        self.assertEqual(0.0, self.server.new_account.loop_seconds)

    def test_a_connected_socket_has_its_own(self) -> None:
        sock, other = socket.socketpair()
        with sock, other:
            connection = ServerConnection(sock, self.server, 0, handshake_done=True)
            self.assertIs(connection, connection.loop_account)


class Reading(ConnectionTestCase):
    def test_messages_are_fetched_and_taken(self) -> None:
        self.peer.sendall(message(b"one").data + message(b"two").data + message(b"three").data[:20])
        self.assertTrue(self.connection.receive())
        for payload in (b"one", b"two"):
            self.assertTrue(self.connection.fetch_message())
            self.assertTrue(self.connection.has_more)
            self.assertEqual(payload, self.connection.take_message().data)
        self.assertFalse(self.connection.fetch_message())
        self.assertTrue(self.connection.mid_message)
        self.peer.sendall(message(b"three").data[20:])
        self.assertTrue(self.connection.receive())
        self.assertTrue(self.connection.fetch_message())
        self.assertFalse(self.connection.mid_message)
        self.assertFalse(self.connection.has_more)

    def test_plain_messages(self) -> None:
        """Whether a client sends one small message after the other; all come out in order in any case."""
        plain = message(b"one").data
        for kind, data, payloads in (("plain", plain, [b"one"]), ("two", 2 * plain, [b"one", b"one"]),
                                     ("large", message(bytes(70000)).data, [bytes(70000)]),
                                     ("annotated", message(b"one", {"ABCD": b"1"}).data, [b"one"]),
                                     ("compressed", message(bytes(2000), compress=True).data, [bytes(2000)])):
            for size in (len(data), len(data) - 1, 50):
                sock, peer = socket.socketpair()
                with sock, peer:
                    connection = ServerConnection(sock, self.server, 0, handshake_done=True)
                    first = self.received(connection, peer, plain)
                    self.assertTrue(connection.is_plain)
                    pieces = [data[start:start + size] for start in range(0, len(data), size)]
                    found = [each for piece in pieces for each in self.received(connection, peer, piece)]
                    # Two at once are not, but the second of two that arrive one after the other is.
                    self.assertEqual(kind != "annotated" and (kind, len(pieces)) != ("two", 1), connection.is_plain)
                    self.assertFalse(connection.mid_message)
                    last = self.received(connection, peer, plain)
                    self.assertTrue(connection.is_plain)
                self.assertEqual([b"one", *payloads, b"one"], first + found + last, (kind, size))

    def test_each_call_raises_the_error_of_invalid_data(self) -> None:
        for size in (100, 100000):
            data = message(bytes(size), {"ABCD": b"1"}).data
            invalid = data[:44] + b"\0\0\0\xff" + data[48:]  # the annotation announces more bytes than there are
            sock, peer = socket.socketpair()
            with self.subTest(size=size), sock, peer:
                connection = ServerConnection(sock, self.server, 0, handshake_done=True)
                with self.assertRaisesRegex(errors.ProtocolError, "announces"):
                    self.received(connection, peer, invalid)
                with self.assertRaisesRegex(errors.ProtocolError, "announces"):
                    connection.fetch_message()

    @staticmethod
    def received(connection: ServerConnection, peer: socket.socket, data: bytes) -> List[Any]:
        found = []
        for start in range(0, len(data), 10000):
            peer.sendall(data[start:start + 10000])
            while select.select([connection.sock], [], [], 0)[0]:
                connection.receive()
                while connection.fetch_message():
                    found.append(connection.take_message().data)
        return found

    def test_a_message_that_is_not_taken_stays(self) -> None:
        connection = ServerConnection(self.connection.sock, self.server, 0, handshake_done=True, keep_open=True)
        for payload in (b"one", b"two", b"three"):
            self.peer.sendall(message(payload).data)
            self.assertTrue(connection.receive())
            self.assertTrue(connection.fetch_message())
        for payload in (b"one", b"two", b"three"):
            self.assertTrue(connection.fetch_message())
            self.assertEqual(payload, connection.take_message().data)

    def test_new_limits_hold_for_the_next_plain_message(self) -> None:
        connection = ServerConnection(self.connection.sock, self.server, 0, handshake_done=True, keep_open=True)
        self.received(connection, self.peer, message(b"one").data)
        self.server.current_limits = lambda: mock.Mock(message_bytes=2, inflated_bytes=0)
        connection.settings_version -= 1
        self.peer.sendall(message(b"one").data)
        self.assertTrue(connection.receive())
        with self.assertRaises(errors.MessageTooLargeError):
            connection.fetch_message()

    def test_no_data(self) -> None:
        with self.assertRaises(BlockingIOError):
            self.connection.receive()
        self.connection.setTimeout(0.001)
        with self.assertRaises(socket.timeout):
            self.connection.receive()

    def test_the_other_side_has_closed(self) -> None:
        self.peer.sendall(message().data)
        self.peer.close()
        self.assertTrue(self.connection.receive())
        self.assertFalse(self.connection.receive())
        self.assertTrue(self.connection.fetch_message())

    def test_invalid_data_stays_invalid(self) -> None:
        self.peer.sendall(message().data + b"garbage" + message().data)
        self.connection.receive()
        for _ in range(2):
            self.assertTrue(self.connection.fetch_message())  # the same message, until it is taken
        self.connection.take_message()
        for _ in range(3):
            with self.assertRaises(errors.ProtocolError):
                self.connection.fetch_message()
        self.assertIsNone(self.connection.refused_message)

    def test_the_limit(self) -> None:
        self.peer.sendall(message(bytes(1000001)).data[:100])
        self.connection.receive()
        with self.assertRaises(errors.MessageTooLargeError):
            self.connection.fetch_message()
        refused = self.connection.refused_message
        self.assertEqual(1, refused and refused.seq)

    def test_a_refusal_does_not_keep_inflated_data(self) -> None:
        """Its traceback would refer to the data through the local variables of functions."""
        bomb = SendingMessage(MSG_RESULT, 0, 1, 1, bytes(2000000), compress=True)
        self.peer.sendall(bomb.data)
        self.connection.receive()
        try:  # assertRaises would remove the traceback
            self.connection.fetch_message()
        except errors.MessageTooLargeError as x:
            files = [frame.f_code.co_filename for frame, _line in traceback.walk_tb(x.__traceback__)]
            self.assertEqual((2, None), (len(files), x.__context__), files)
        else:
            self.fail("the message was not refused")

    def test_take_message_waits_if_none_is_at_hand(self) -> None:
        taken: List[Any] = []
        reader = threading.Thread(target=lambda: taken.append(self.connection.take_message()))
        reader.start()
        data = message(b"late").data
        self.peer.sendall(data[:10])
        self.peer.sendall(data[10:])
        reader.join(PATIENCE_SECONDS)
        self.assertEqual([b"late"], [each.data for each in taken])
        self.peer.close()
        with self.assertRaises(errors.ConnectionClosedError):
            self.connection.take_message()

    def test_take_message_applies_the_limit(self) -> None:
        self.peer.sendall(message(bytes(1000001)).data[:100])
        with self.assertRaises(errors.MessageTooLargeError):
            self.connection.take_message()

    def test_without_tls_there_are_no_tls_bytes(self) -> None:
        self.peer.sendall(b"x")
        self.assertFalse(self.connection.has_tls_bytes())


class Writing(ConnectionTestCase):
    def receive_all(self, size: int) -> bytes:
        """Receive while the other side flushes."""
        received = bytearray()
        self.peer.setblocking(False)
        while len(received) < size:
            try:
                received += self.peer.recv(30000)
            except BlockingIOError:
                self.assertFalse(self.connection.flush() and not self.more_arrives(), "everything is sent, but not there")
        return bytes(received)

    def more_arrives(self) -> bool:
        try:
            return bool(self.peer.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def test_a_small_message_is_sent_at_once(self) -> None:
        self.connection.send_message(message())
        self.assertFalse(self.connection.has_outgoing)
        self.assertEqual(message().data, self.peer.recv(1000))

    def test_unsent_data_is_kept_in_order(self) -> None:
        numbers = bytes(range(256)) * 3000
        sent = [message(numbers), message(b"small"), message(numbers, {"ANNO": numbers, "NONE": b""}),
                message(b"", {"ANNO": numbers}), message(b"", {"ANNO": b""})]
        for each in sent:
            self.connection.send_message(each)
        self.assertTrue(self.connection.has_outgoing)
        self.assertFalse(self.connection.flush())
        expected = b"".join(each.data for each in sent)
        self.assertTrue(expected == self.receive_all(len(expected)))
        self.assertTrue(self.connection.flush())
        self.assertFalse(self.connection.has_outgoing)

    def test_many_annotations(self) -> None:
        sent = message(bytes(100000), {"%04d" % number: b"%d" % number for number in range(2000)})
        self.assertGreater(len(sent.buffers), 4000)
        self.connection.send_message(sent)
        self.assertTrue(sent.data == self.receive_all(sent.size))

    def test_sent_in_parts_of_all_sizes(self) -> None:
        sent = message(bytes(range(250)) * 200, {"AAAA": b"a" * 300, "BBBB": b"", "CCCC": b"c" * 20})
        for size in (0, 1, 39, 40, 41, 48, 349, 50000):
            real = self.connection.sock
            with mock.patch.object(self.connection, "sock", wraps=real) as sock:
                del sock.pending  # it is not TLS
                sock.sendmsg.side_effect = (lambda buffers, ancillary, flags, real=real, size=size:
                                            real.send(b"".join(buffers)[:size], flags))
                self.connection.send_message(sent)
            self.assertTrue(sent.data == self.receive_all(sent.size), "after %d bytes" % size)

    def test_a_disconnected_reader(self) -> None:
        self.peer.close()
        for sent in (message(), message(bytes(100000))):
            with self.assertRaises(OSError):
                self.connection.send_message(sent)

    def test_a_fast_reader_does_not_delay_other_clients(self) -> None:
        with mock.patch.object(self.connection, "sock") as sock:
            sock.send.side_effect = lambda data, flags: len(data)
            self.connection.outgoing.append(memoryview(bytes(100000000)))
            flushes = 1
            while not self.connection.flush():
                flushes += 1
        self.assertGreater(flushes, 10)
        self.assertLess(flushes, 1000)

    def test_abandoned(self) -> None:
        self.connection.send_message(message(bytes(500000)))
        self.connection.abandon()
        self.assertEqual((False, True, True),
                         (self.connection.has_outgoing, self.connection.closing, self.connection.lost))
        self.assertTrue(self.connection.flush())

    def test_a_short_timeout_bounds_the_wait(self) -> None:
        self.connection.setTimeout(0.001)
        self.connection.send_message(message(bytes(500000)))
        self.assertFalse(self.connection.flush())
        self.assertTrue(self.connection.has_outgoing)


class Ending(ConnectionTestCase):
    def test_closing_a_watched_connection_shuts_it_down(self) -> None:
        self.connection.close()
        self.assertFalse(self.connection.receive())
        self.assertNotEqual(-1, self.connection.fileno())
        self.assertEqual(b"", self.peer.recv(10))

    def test_closing_at_the_end(self) -> None:
        resource = mock.Mock()
        self.connection.tracked_resources.add(resource)
        self.connection.pyroInstances[int] = 5
        self.connection.dropped = True
        self.connection.close()
        self.connection.close()
        self.assertEqual((-1, {}), (self.connection.fileno(), self.connection.pyroInstances))
        resource.close.assert_called_once_with()

    def test_a_socket_of_the_program_stays_open(self) -> None:
        self.connection.keep_open = self.connection.dropped = True
        self.connection.close()
        self.peer.sendall(b"still there")
        self.assertEqual(b"still there", self.connection.sock.recv(100))

    def test_the_address_of_the_client(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
            sock, address = listener.accept()
            with sock:
                self.assertEqual(address, ServerConnection(sock, None, 0).peer_address)
            client.close()
            self.assertIsNone(ServerConnection(sock, None, 0).peer_address)

    def test_events_go_to_the_server(self) -> None:
        self.connection.on_ready(3)
        self.server.connection_ready.assert_called_once_with(self.connection, 3)


if __name__ == "__main__":
    unittest.main()
