"""Timeouts of the loop, with an injected clock; the test runs the turns of the loop."""
from __future__ import annotations

import errno
import socket
from typing import Any, Callable
from unittest import mock

from Pyro5 import errors
from Pyro5._server import acceptor, eventloop, loop, quotas
from Pyro5.protocol import SendingMessage

from ..rawclient import (
    PATIENCE_SECONDS,
    Clock,
    RawClient,
    ServerTestCase,
    call_request,
    connect_request,
    for_both_types,
    wait_until,
)

LARGE = 16 * 1024 * 1024
SMALL_BUFFER = 4096


class TimeoutTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        for module in (acceptor, eventloop, loop, quotas):
            self.at_end.enter_context(mock.patch.object(module, "time", self.clock))

    def start(self, **settings: Any) -> Any:
        self.configure(**settings)
        self.running = self.daemon()
        return self.running

    def turn(self) -> None:
        """Run the loop until all present events are handled."""
        self.running.transportServer.run_once(0)

    def turn_until(self, condition: Callable[[], Any]) -> None:
        def one_turn() -> Any:
            self.running.transportServer.run_once(0.01)
            return condition()
        wait_until(one_turn)

    def accepted(self, receive_buffer: int = 0) -> RawClient:
        before = self.connections()
        client = self.connect(self.running, receive_buffer)
        self.turn_until(lambda: self.connections() == before + 1)
        return client

    def connected(self, receive_buffer: int = 0) -> RawClient:
        client = self.accepted(receive_buffer)
        client.send(connect_request())
        self.answered(client)
        return client

    def connections(self) -> int:
        return len(self.running.transportServer._connections)

    def answered(self, client: RawClient) -> Any:
        """Run the loop until the client has received something, and return that."""
        client.sock.setblocking(False)
        self.turn_until(lambda: self.has_bytes(client))
        client.sock.settimeout(PATIENCE_SECONDS)
        self.turn_until(self.all_parked)
        return client.reply()

    @staticmethod
    def has_bytes(client: RawClient) -> bool:
        try:
            client.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True

    def all_parked(self) -> bool:
        return all(connection.watched for connection in self.running.transportServer._connections.values())

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.turn()

    def check_dropped(self, client: RawClient) -> None:
        self.turn_until(lambda: self.running.gone)
        self.assertIsNone(client.read())
        self.assertEqual(0, self.connections())

    def check_alive(self, client: RawClient) -> None:
        self.turn()
        client.send(call_request("echo", "alive"))
        self.assertEqual("alive", self.answered(client))


class BeforeTheHandshake(TimeoutTestCase):
    def check_refused(self, client: RawClient, reason: str) -> None:
        with self.assertRaisesRegex(errors.CommunicationError, reason):
            client.reply()
        self.assertIsNone(client.read())
        client.close()
        self.turn_until(lambda: self.running.gone)
        self.assertEqual(0, self.connections())

    def test_silence(self) -> None:
        self.start(COMMTIMEOUT=10)
        client = self.accepted()
        self.pass_time(9.9)
        self.assertEqual(1, self.connections())
        with self.assertLogs("Pyro5.server.loop", "WARNING"):
            self.pass_time(0.1)
        self.check_refused(client, "within 10 seconds")

    def test_single_bytes_do_not_extend_the_time(self) -> None:
        self.start(COMMTIMEOUT=10)
        client = self.accepted()
        with self.assertLogs("Pyro5.server.loop", "WARNING"):
            for position in range(10):
                client.send(connect_request()[position:position + 1])
                self.turn()
                self.pass_time(1)
        self.check_refused(client, "within 10 seconds")

    def test_the_setting_for_handshakes(self) -> None:
        for settings in ({"HANDSHAKE_TIMEOUT": 5.0, "COMMTIMEOUT": 10.0}, {"HANDSHAKE_TIMEOUT": 5.0},
                         {"HANDSHAKE_TIMEOUT": 10.0, "COMMTIMEOUT": 5.0}):
            self.start(**{"COMMTIMEOUT": 0.0, **settings})
            client, present = self.accepted(), self.connected()
            with self.assertLogs("Pyro5.server.loop", "WARNING"):
                self.pass_time(5)
            with self.assertRaisesRegex(errors.CommunicationError, "no handshake within 5 seconds"):
                client.reply()
            if "COMMTIMEOUT" not in settings:
                self.pass_time(1e6)
                self.check_alive(present)

    def test_no_limit_without_a_timeout(self) -> None:
        self.start(HANDSHAKE_TIMEOUT=0.0)
        client, half = self.accepted(), self.accepted()
        half.send(connect_request()[:20])
        self.pass_time(1e6)
        client.send(connect_request())
        half.send(connect_request()[20:])
        for each in (client, half):
            self.assertEqual("hello", self.answered(each)[0])

    def test_data_received_while_a_call_blocks_the_loop(self) -> None:
        if self.servertype == "thread":
            self.skipTest("calls do not keep this loop")
        self.start(COMMTIMEOUT=10)
        busy, fresh = self.connected(), self.accepted()

        def long_call(value: Any) -> None:
            fresh.send(connect_request())
            self.clock.now += 60
        with mock.patch.object(self.served, "echo", long_call):
            busy.send(call_request("echo", 1))
            self.answered(busy)
        self.assertEqual("hello", self.answered(fresh)[0])
        self.check_alive(busy)


class AfterTheHandshake(TimeoutTestCase):
    def test_idle(self) -> None:
        self.start(COMMTIMEOUT=10)
        client = self.connected()
        self.pass_time(9.9)
        self.check_alive(client)
        self.pass_time(9.9)
        self.check_alive(client)
        self.pass_time(10)
        if self.servertype == "thread":
            self.check_dropped(client)
        else:
            self.check_alive(client)

    def test_silence_during_a_message(self) -> None:
        request = call_request("echo", "x" * 100000)
        for cut in (1, 50, 90000):
            self.start(COMMTIMEOUT=10)
            client = self.connected()
            client.send(request[:cut])
            self.turn()
            self.pass_time(9.9)
            client.send(request[cut:cut + 1])
            self.turn()
            self.pass_time(9.9)
            self.assertEqual(1, self.connections())
            self.pass_time(0.1)
            self.check_dropped(client)

    def test_a_slow_reader_is_not_disconnected(self) -> None:
        self.start(COMMTIMEOUT=10)
        client = self.connected(SMALL_BUFFER)
        client.send(call_request("large", LARGE))
        self.turn_until(lambda: self.all_parked() and self.outgoing())
        for _ in range(5):
            before = self.outgoing()
            while self.outgoing() == before:  # until the server could send more
                client.sock.recv(100000)
                self.turn()
            self.pass_time(9)
        self.assertEqual(1, self.connections())
        self.pass_time(10)
        self.turn_until(lambda: self.running.gone)
        self.assertEqual(0, self.connections())

    def outgoing(self) -> int:
        (connection,) = self.running.transportServer._connections.values()
        return sum(map(len, connection.outgoing))

    def test_a_long_call_is_not_interrupted(self) -> None:
        if self.servertype == "multiplex":
            self.skipTest("the call is in this thread")
        self.start(COMMTIMEOUT=10)
        client = self.connected()
        client.send(call_request("wait", "long"))
        self.turn_until(lambda: self.served._notes)
        self.pass_time(60)
        self.served._open_gate()
        self.assertEqual("long", self.answered(client))
        self.check_alive(client)

    def test_no_limit_without_a_timeout(self) -> None:
        self.start()
        idle, half = self.connected(), self.connected()
        half.send(call_request("echo", "half")[:60])
        self.turn()
        self.pass_time(1e6)
        self.check_alive(idle)
        half.send(call_request("echo", "half")[60:])
        self.assertEqual("half", self.answered(half))


class Refused(TimeoutTestCase):
    def test_a_refused_client_has_a_moment_to_read_the_reason(self) -> None:
        self.start()
        with self.assertLogs("Pyro5.server", "WARNING"):
            client = self.accepted()
            client.send(SendingMessage(77, 0, 0, 1, b"").data)
            with self.assertRaises(errors.CommunicationError):
                self.answered(client)
        for _ in range(9):
            client.send(b"x" * 10)  # sending more does not extend its time
            self.pass_time(quotas.REFUSAL_SECONDS / 10)
            self.assertEqual(1, self.connections())
        self.pass_time(quotas.REFUSAL_SECONDS / 10)
        self.turn_until(lambda: self.running.gone)
        self.assertEqual(0, self.connections())


class NoDescriptorsLeft(TimeoutTestCase):
    def test_accepting_pauses_and_continues(self) -> None:
        self.start()
        present, listener = self.connected(), self.running.transportServer._acceptor.listener
        with mock.patch.object(listener, "accept", side_effect=OSError(errno.EMFILE, "too many open files")) as accept:
            waiting = self.connect(self.running)
            with self.assertLogs("Pyro5.server.acceptor", "WARNING") as logged:
                for _ in range(5):
                    self.turn()
                self.running.transportServer._acceptor.accept()
            self.assertEqual((1, 1), (accept.call_count, len(logged.records)))
            self.check_alive(present)
            with self.assertLogs("Pyro5.server.acceptor", "WARNING"):
                self.pass_time(acceptor.ACCEPT_PAUSE_SECONDS)
                self.turn()
        self.pass_time(acceptor.ACCEPT_PAUSE_SECONDS)
        waiting.send(connect_request())
        self.assertEqual("hello", self.answered(waiting)[0])

    def test_closing_during_the_pause(self) -> None:
        daemon = self.start()
        with mock.patch.object(daemon.transportServer._acceptor.listener, "accept", side_effect=OSError(errno.ENFILE, "full")):
            self.connect(daemon)
            with self.assertLogs("Pyro5.server.acceptor", "WARNING"):
                self.turn()
        daemon.close()
        self.assertEqual(-1, daemon.sock.fileno())

    def test_the_loop_wakes_up_in_time(self) -> None:
        server = self.start(COMMTIMEOUT=10).transportServer
        self.assertEqual(2.0, server._until_deadline(2.0))
        self.accepted()
        self.clock.now += 9.5
        self.assertAlmostEqual(0.5, server._until_deadline(2.0))
        self.clock.now += 100
        self.assertEqual(0.0, server._until_deadline(2.0))


for base in (BeforeTheHandshake, AfterTheHandshake, Refused, NoDescriptorsLeft):
    for_both_types(globals(), base)
    del globals()[base.__name__]
del base, TimeoutTestCase
