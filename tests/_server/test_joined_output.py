"""Replies to requests that were received together are sent together, and never wait for a method that takes long."""
from __future__ import annotations

import contextlib
import socket
import threading
import unittest
from Pyro5._server.shared_output import ReplyFlusher
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import protocol
from Pyro5._server import eventloop, shared_output
from Pyro5._server.output import JOINED_BYTES, JOINED_REPLIES

from ..rawclient import PATIENCE_SECONDS, SERPENT, ServerTestCase, call_request, for_both_types


@contextlib.contextmanager
def joining_for_long() -> Iterator[None]:
    """Make the limits of time so long that they never end the joining: the tests count what comes in one receive."""
    with mock.patch.object(shared_output, "HOLD_SECONDS", PATIENCE_SECONDS):
        with mock.patch.object(eventloop, "TURN_SECONDS", PATIENCE_SECONDS):
            yield


class Joined:
    def received(self: Any, client: Any) -> bytes:
        """Return what one receive gets."""
        return bytes(client.sock.recv(1 << 20))

    def test_replies_come_in_one_piece_in_order_and_with_the_same_bytes(self: Any) -> None:
        client = self.client(self.serving())
        # the correlation id of a reply to a request without one is random
        requests = [with_id("echo", [number], seq=number) for number in range(JOINED_REPLIES)]
        single = []
        for request in requests:
            client.send(request)
            single.append(self.received(client))
        with joining_for_long():
            client.send(b"".join(requests))
            self.assertEqual(b"".join(single), self.received(client))

    def test_a_client_with_many_calls_in_flight_gets_the_first_replies_while_the_others_are_computed(self: Any) -> None:
        client = self.client(self.serving())
        with joining_for_long():
            client.send(b"".join([call_request("echo", number, seq=number) for number in range(JOINED_REPLIES)])
                        + call_request("wait", "last"))
            self.assertEqual(list(range(JOINED_REPLIES)), [client.reply() for _ in range(JOINED_REPLIES)])
            self.served._open_gate()
            self.assertEqual("last", client.reply())

    def test_errors_and_oneway_calls_between_them(self: Any) -> None:
        client = self.client(self.serving())
        with joining_for_long():
            client.send(call_request("echo", 1, seq=1) + call_request("note_oneway", "x", seq=2, flags=protocol.FLAGS_ONEWAY)
                        + call_request("missing", seq=3) + call_request("echo", 4, seq=4)
                        + call_request("note_oneway", "y", seq=5, flags=protocol.FLAGS_ONEWAY))
            self.assertEqual(1, client.reply())
            with self.assertRaises(AttributeError):
                client.reply()
            self.assertEqual(4, client.reply())
        self.assertEqual({"x", "y"}, set(self.served._wait_for_notes(2)))

    def test_a_reply_does_not_wait_for_the_method_of_the_next_request(self: Any) -> None:
        client = self.client(self.serving())
        client.send(call_request("echo", "first") + call_request("wait", "second") + call_request("echo", "third"))
        self.assertEqual("first", client.reply())
        self.served._open_gate()
        self.assertEqual(["second", "third"], [client.reply(), client.reply()])

    def test_more_than_a_limit_is_not_held(self: Any) -> None:
        client = self.client(self.serving())
        with joining_for_long():
            client.send(call_request("large", 2 * JOINED_BYTES) + call_request("wait", "second"))
            self.assertEqual(2 * JOINED_BYTES, len(client.reply()))
            self.served._open_gate()
            self.assertEqual("second", client.reply())

    def test_large_replies_to_a_client_that_does_not_read(self: Any) -> None:
        client = self.client(self.serving(), receive_buffer=4096)
        client.send(b"".join([call_request("large", size, seq=size & 0xFFFF) for size in (3000000, 10, 300000, 5)]))
        self.assertEqual([3000000, 10, 300000, 5], [len(client.reply()) for _ in range(4)])

    def test_a_request_of_which_only_a_part_has_arrived_is_not_waited_for(self: Any) -> None:
        client = self.client(self.serving())
        request = call_request("echo", "second")
        with joining_for_long():
            client.send(call_request("echo", "first") + request[:50])
            self.assertEqual("first", client.reply())
            client.send(request[50:])
            self.assertEqual("second", client.reply())

    def test_a_message_that_ends_the_connection(self: Any) -> None:
        client = self.client(self.serving())
        with joining_for_long():
            client.send(call_request("echo", "first") + b"GET / HTTP/1.1\r\n\r\n" + b" " * 40)
            self.assertEqual("first", client.reply())
            self.assertIsNone(client.read())

    def test_shutdown_in_the_middle(self: Any) -> None:
        client = self.client(self.serving())
        with joining_for_long():
            client.send(call_request("echo", "first") + call_request("shutdown") + call_request("echo", "third"))
            self.assertEqual(["first", "shutting down"], [client.reply(), client.reply()])
            self.assertIsNone(client.read())

    def test_a_client_that_waits_for_each_reply_needs_no_lock(self: Any) -> None:
        client = self.client(self.serving())
        client.call("note_connection")
        connection = self.served._wait_for_notes(1)[0]
        client.call("echo", 1)
        self.assertFalse(connection.is_shared)
        shared: List[bool] = []
        with mock.patch.object(self.served, "echo", lambda value: shared.append(connection.is_shared) or value):
            client.send(call_request("echo", 1) + call_request("echo", 2))
            self.assertEqual([1, 2], [client.reply(), client.reply()])
            self.assertEqual([3, 4], [client.call("echo", 3), client.call("echo", 4)])
        self.assertEqual([True, True, False, False], shared)


def with_id(method: str, args: List[Any], seq: int) -> bytes:
    payload = SERPENT.dumpsCall("obj", method, args, {})
    return protocol.SendingMessage(protocol.MSG_INVOKE, 0, seq, SERPENT.serializer_id, payload,
                                   correlation_id=b"a correlation id").data


for_both_types(globals(), Joined)


class ConnectedSockets(ServerTestCase):
    def test_replies_are_joined(self) -> None:
        here, there = socket.socketpair()
        daemon = self.daemon(connected_socket=here)
        self.run_loop(daemon)
        with here, there, joining_for_long():
            there.settimeout(PATIENCE_SECONDS)
            there.sendall(with_id("echo", [1], 1) + with_id("echo", [2], 2))
            received = there.recv(1 << 20)
        self.assertEqual(2, received.count(b"a correlation id"))


class Flusher(unittest.TestCase):
    def test_the_thread_ends_when_it_has_nothing_to_do_and_starts_again(self) -> None:
        sent = threading.Semaphore(0)

        class Connection:
            def send_held(self) -> None:
                sent.release()

        with mock.patch.object(shared_output, "LINGER_SECONDS", 0.001), mock.patch.object(shared_output, "HOLD_SECONDS", 0.0):
            flusher = ReplyFlusher()
            self.addCleanup(flusher.stop)
            for _ in range(3):
                flusher.watch(Connection())
                self.assertTrue(sent.acquire(timeout=PATIENCE_SECONDS))
                thread = flusher._thread
                if thread is not None:
                    thread.join(PATIENCE_SECONDS)
                    self.assertFalse(thread.is_alive())

    def test_a_lost_connection_does_not_end_the_thread(self) -> None:
        sent = threading.Event()

        class Lost:
            peer_address = "somewhere"

            def send_held(self) -> None:
                raise ConnectionResetError

        class Connection:
            def send_held(self) -> None:
                sent.set()

        flusher = ReplyFlusher()
        flusher.watch(Lost())
        flusher.watch(Connection())
        self.assertTrue(sent.wait(PATIENCE_SECONDS))
        flusher.stop()
        flusher.watch(Connection())  # without effect


if __name__ == "__main__":
    unittest.main()
