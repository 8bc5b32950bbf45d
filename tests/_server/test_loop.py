"""Behaviour of every server type: slow, silent and demanding clients do not delay others, and no request is lost."""
from __future__ import annotations

import socket
import threading
from typing import Any, List
from unittest import mock

from Pyro5 import errors, protocol
from Pyro5._server.oneway import OnewayCalls
from Pyro5.protocol import HEADER_SIZE, SendingMessage

from ..rawclient import RawClient, ServerTestCase, call_request, connect_request, for_all_types, wait_until

LARGE = 6 * 1024 * 1024  # bytes; more than all buffers on the way take, if the client's is small
SMALL_BUFFER = 4096


class OtherClients(ServerTestCase):
    """While one client does this, another one is served."""

    def check_others_are_served(self, daemon: Any, count: int = 3) -> None:
        for number in range(count):
            with self.client(daemon) as other:
                self.assertEqual(number, other.call("echo", number))


class SlowClients(OtherClients):
    def test_silent_clients(self) -> None:
        daemon = self.serving()
        silent = [self.connect(daemon) for _ in range(20)]
        self.check_others_are_served(daemon)
        for client in silent:
            self.assertEqual("late", client.greet().call("echo", "late"))

    def test_half_messages(self) -> None:
        daemon = self.serving()
        handshake, request = connect_request(), call_request("echo", "x" * 200000)
        halves: List[Any] = [(self.connect(daemon), handshake, cut) for cut in (1, 6, HEADER_SIZE, HEADER_SIZE + 1)]
        halves += [(self.client(daemon), request, cut) for cut in (5, 39, HEADER_SIZE, 70000, len(request) - 1)]
        for client, data, cut in halves:
            client.send(data[:cut])
        self.check_others_are_served(daemon)
        for client, data, cut in halves:
            client.send(data[cut:])
        for client, data, _cut in halves:
            self.assertEqual("hello" if data is handshake else "x", client.reply()[0])

    def test_byte_by_byte(self) -> None:
        daemon = self.serving()
        client = self.connect(daemon)
        for data in (connect_request(), call_request("echo", "slowly")):
            for position in range(len(data)):
                client.send(data[position:position + 1])
        self.assertEqual("hello", client.reply()[0])
        self.assertEqual("slowly", client.reply())

    def test_idle_clients_hold_no_worker(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=1)
        idle = [self.client(daemon) for _ in range(50)]
        self.check_others_are_served(daemon)
        for number, client in enumerate(idle):
            self.assertEqual(number, client.call("echo", number))

    def test_a_long_call_does_not_prevent_clients_from_connecting(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        busy = self.client(daemon)
        busy.send(call_request("wait", "busy"))
        self.served._wait_for_notes(1)
        waiting = [self.connect(daemon) for _ in range(10)]
        for client in waiting:
            client.send(connect_request())
        self.served._open_gate()
        for client in waiting:
            self.assertEqual("hello", client.reply()[0])
        self.assertEqual("busy", busy.reply())

    def test_more_clients_than_workers_wait_for_their_turn(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=1)
        clients = [self.client(daemon) for _ in range(50)]
        for number, client in enumerate(clients):
            client.send(call_request("wait", number))
        self.served._wait_for_notes(1)
        self.served._open_gate()
        self.assertEqual(list(range(50)), [client.reply() for client in clients])
        self.assertLessEqual(self.served._most, 2)

    def test_a_client_with_endless_requests_does_not_block_others(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        greedy = self.client(daemon)
        flood = b"".join(call_request("note_oneway", number, flags=protocol.FLAGS_ONEWAY) for number in range(5000))
        sender = threading.Thread(target=greedy.send, args=(flood,))
        sender.start()
        self.check_others_are_served(daemon)
        self.join(sender)
        self.assertEqual(5000, len(self.served._wait_for_notes(5000)))


class BackPressure(OtherClients):
    """A client does not read the replies that it requested."""

    def check_large_reply(self, client: RawClient) -> None:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LARGE)  # reads as fast as it can from now on
        self.assertEqual(LARGE, len(client.reply()))

    def test_large_unread_replies(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=1)
        lazy = [self.client(daemon, receive_buffer=SMALL_BUFFER) for _ in range(3)]
        for client in lazy:
            client.send(call_request("large", LARGE))
        self.check_others_are_served(daemon)
        for client in lazy:
            self.check_large_reply(client)
            self.assertEqual("again", client.call("echo", "again"))

    def test_requests_wait_until_the_previous_reply_is_read(self) -> None:
        daemon = self.serving()
        lazy = self.client(daemon, receive_buffer=SMALL_BUFFER)
        lazy.send(call_request("large", LARGE) + call_request("note", "second"))
        self.check_others_are_served(daemon)
        self.assertEqual([], self.served._notes)
        self.check_large_reply(lazy)
        self.assertIsNone(lazy.reply())
        self.assertEqual(["second"], self.served._notes)

    def test_many_small_unread_replies(self) -> None:
        daemon = self.serving()
        lazy = self.client(daemon, receive_buffer=SMALL_BUFFER)
        requests = call_request("large", 20000) * 1000
        sender = threading.Thread(target=lazy.send, args=(requests,))
        sender.start()
        self.check_others_are_served(daemon)
        self.assertEqual({20000}, {len(lazy.reply()) for _ in range(1000)})
        self.join(sender)

    def test_disconnecting_during_a_reply(self) -> None:
        daemon = self.serving()
        for _ in range(3):
            lazy = self.client(daemon, receive_buffer=SMALL_BUFFER)
            lazy.send(call_request("large", LARGE))
            lazy.sock.recv(1000)
            lazy.close()
        daemon.wait_for_gone(3)
        self.check_others_are_served(daemon)

    def test_replies_of_very_many_parts(self) -> None:
        client = self.client(self.serving())
        client.send(call_request("annotate", 3000, 100000))
        message = client.read()
        self.assertEqual(3000, message and len(message.annotations))


class Order(ServerTestCase):
    def test_pipelined_calls_are_answered_in_order(self) -> None:
        client = self.client(self.serving())
        client.send(b"".join(call_request("echo", number, seq=number) for number in range(500)))
        self.assertEqual(list(range(500)), [client.reply() for _ in range(500)])
        client.send(call_request("echo", 1, seq=7) + call_request("echo", 2, seq=5))
        messages = [client.read(), client.read()]
        self.assertEqual([7, 5], [message and message.seq for message in messages])

    def test_a_handshake_and_calls_in_one_packet(self) -> None:
        client = self.connect(self.serving())
        client.send(connect_request() + call_request("echo", 1) + call_request("echo", 2))
        self.assertEqual("hello", client.reply()[0])
        self.assertEqual([1, 2], [client.reply(), client.reply()])

    def test_oneway_calls_before_a_close_are_all_run(self) -> None:
        daemon = self.serving()
        for _ in range(5):
            with self.client(daemon) as client:
                client.send(b"".join(call_request("note_oneway", number, flags=protocol.FLAGS_ONEWAY)
                                     for number in range(100)))
        self.assertEqual(sorted(5 * list(range(100))), sorted(self.served._wait_for_notes(500)))

    def test_requests_before_a_close_take_several_turns(self) -> None:
        with mock.patch("Pyro5._aio_server.server.TURN_SECONDS", 0.0), self.client(self.serving()) as client:
            client.send(b"".join(call_request("note_oneway", number, flags=protocol.FLAGS_ONEWAY) for number in range(50)))
            client.close()
            self.assertEqual(50, len(self.served._wait_for_notes(50)))

    def test_requests_behind_too_many_oneway_calls(self) -> None:
        pause, paused = OnewayCalls.pause, []

        def pause_too_late(calls: OnewayCalls, client: Any) -> bool:
            self.served._open_gate()
            wait_until(lambda: not client.oneway_calls, "the end of its oneway calls")
            paused.append(client)
            return pause(calls, client)
        self.configure(MAX_ONEWAY=4)
        with mock.patch.object(OnewayCalls, "pause", pause_too_late):
            client = self.client(self.serving())
            # They run until the gate is open, so there are too many of them in any case.
            calls = [call_request("wait", number, flags=protocol.FLAGS_ONEWAY) for number in range(20)]
            client.send(b"".join(calls) + call_request("echo", "last"))
            self.assertEqual("last", client.reply())
        self.assertTrue(paused)
        self.assertEqual(20, len(self.served._wait_for_notes(20)))

    def test_calls_before_a_half_close_are_answered(self) -> None:
        client = self.client(self.serving())
        client.send(b"".join(call_request("echo", number) for number in range(50)))
        client.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(list(range(50)), [client.reply() for _ in range(50)])
        self.assertIsNone(client.read())

    def test_clients_that_disconnect(self) -> None:
        daemon = self.serving()
        for _ in range(10):
            self.connect(daemon).close()
            self.client(daemon).close()
            with self.client(daemon) as client:
                client.send(call_request("echo", 1)[:-1])
        daemon.wait_for_gone(30)
        self.assertEqual("here", self.client(daemon).call("echo", "here"))
        self.assertEqual(30, len(set(daemon.gone)))


class Refusals(OtherClients):
    """Clients that send invalid data, or are refused, are told the reason, and do not affect others."""

    def refused(self, client: RawClient, data: bytes, reason: str = "") -> None:
        with client, self.assertLogs("Pyro5.server", "WARNING"):
            client.send(data)
            with self.assertRaisesRegex(errors.PyroError, reason):
                client.reply()
            self.assertIsNone(client.read())

    def test_invalid_data_instead_of_a_handshake(self) -> None:
        daemon = self.serving()
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"PYRO\0\0", call_request("echo", 1)):
            self.refused(self.connect(daemon), data)
        daemon.wait_for_gone(4)
        self.check_others_are_served(daemon)

    def test_a_refused_client_that_continues_sending_gets_the_reason(self) -> None:
        daemon = self.serving()
        client = self.connect(daemon)
        with self.assertLogs("Pyro5.server", "WARNING"):
            client.send(b"GET / HTTP/1.1\r\n")
            for _ in range(20):
                client.send(b"x" * 1000)
            with self.assertRaises(errors.CommunicationError):
                client.reply()

    def test_unknown_object(self) -> None:
        self.refused(self.connect(self.serving()), connect_request("nobody"), "nobody")

    def test_denied_without_a_reply(self) -> None:
        daemon = self.serving()
        with mock.patch.object(daemon, "validateHandshake", side_effect=errors.ConnectionClosedError("go away")):
            client = self.connect(daemon)
            client.send(connect_request() + call_request("note", "too early"))
            self.assertIsNone(client.read())
        self.check_others_are_served(daemon)
        self.assertEqual([], self.served._notes)

    def test_messages_over_the_limit(self) -> None:
        daemon = self.serving(MAX_MESSAGE_SIZE=5000)
        self.refused(self.connect(daemon), SendingMessage(1, 0, 0, 1, b"x" * 6000, max_size=0).data[:HEADER_SIZE], "5000")
        client = self.client(daemon)
        with self.assertLogs("Pyro5.server", "WARNING"):
            client.send(call_request("echo", "x" * 6000, seq=77))
            message = client.read()
        self.assertEqual(77, message and message.seq)
        self.assertIsNone(client.read())
        self.check_others_are_served(daemon)

    def test_invalid_data_after_the_handshake(self) -> None:
        daemon = self.serving()
        client = self.client(daemon)
        with self.assertLogs("Pyro5.server", "WARNING"):
            client.send(call_request("echo", "before") + b"GET / HTTP/1.1\r\n")
            self.assertEqual("before", client.reply())
            self.assertIsNone(client.read())
        daemon.wait_for_gone(1)
        self.check_others_are_served(daemon)

    def test_a_payload_that_cannot_be_inflated(self) -> None:
        client = self.client(self.serving())
        message = bytearray(SendingMessage(protocol.MSG_INVOKE, 0, 1, 1, b"no zlib").data)
        message[9] |= protocol.FLAGS_COMPRESSED
        self.refused(client, bytes(message))

    def test_a_method_that_closes_its_own_connection(self) -> None:
        daemon = self.serving()
        for how in ("connection", "socket"):
            client = self.client(daemon)
            client.send(call_request("close_my_connection", how))
            self.assertIsNone(client.read())
        daemon.wait_for_gone(2)
        self.check_others_are_served(daemon)

    def test_a_connection_closed_by_another_thread(self) -> None:
        daemon = self.serving()
        for _ in range(3):
            client = self.client(daemon)
            client.call("note_connection")
            self.served._notes.pop().close()
            self.assertIsNone(client.read())
            self.check_others_are_served(daemon)
        daemon.wait_for_gone(3)


for base in (SlowClients, BackPressure, Order, Refusals):
    for_all_types(globals(), base)
    del globals()[base.__name__]
del base, OtherClients
