"""TLS sockets of the program: an operation that takes too long is ended."""
from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import unittest
from typing import Any
from unittest import mock

from Pyro5._net import tls_guard
from Pyro5._net.tls_guard import EXTRA_TICKS, GuardedReceiver, guarded
from Pyro5.client import Proxy

from ..peers import CERTIFICATES
from ..rawclient import PATIENCE_SECONDS, RawClient, ServerTestCase, wait_until


class Stuck:
    """A socket that never returns from an operation, whatever its timeout is, until it is shut down."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.timeout = 0.0

    def gettimeout(self) -> float:
        return self.timeout

    def recv(self, size: int) -> bytes:
        return self.sock.recv(size)

    def recv_into(self, buffer: Any) -> int:
        return self.sock.recv_into(buffer)


class Limits(unittest.TestCase):
    def setUp(self) -> None:
        self.sock, self.peer = socket.socketpair()
        self.addCleanup(self.sock.close)
        self.addCleanup(self.peer.close)
        self.watchdog = tls_guard._Watchdog()
        self.watchdog.is_running = True  # the test makes the ticks
        for patched in (mock.patch.object(tls_guard, "_watchdog", self.watchdog),
                        mock.patch.object(tls_guard, "_shut_down", lambda sock: self.sock.shutdown(socket.SHUT_RDWR))):
            patched.start()
            self.addCleanup(patched.stop)
        self.stuck = Stuck(self.sock)
        self.receiver = GuardedReceiver(self.stuck)

    def check_ended_after(self, ticks: int, receive: Any) -> None:
        found = []
        thread = threading.Thread(target=lambda: found.append(receive()))
        thread.start()
        wait_until(lambda: self.watchdog.active)
        for _ in range(ticks - 1):
            self.watchdog.tick()
        self.assertTrue(thread.is_alive())
        self.watchdog.tick()
        thread.join(PATIENCE_SECONDS)
        self.assertEqual(([0], {}), ([len(found[0]) if isinstance(found[0], bytes) else found[0]], self.watchdog.active))

    def test_one_that_may_not_block(self) -> None:
        self.check_ended_after(EXTRA_TICKS, lambda: self.receiver.recv(100))

    def test_one_with_a_timeout(self) -> None:
        self.stuck.timeout = 3.0
        self.check_ended_after(EXTRA_TICKS + 6, lambda: self.receiver.recv_into(bytearray(10)))

    def test_one_that_ends_in_time(self) -> None:
        self.peer.sendall(b"data")
        self.assertEqual(b"data", self.receiver.recv(100))
        self.watchdog.tick()
        self.peer.sendall(b"more")
        self.assertEqual(b"more", self.receiver.recv(100))

    def test_a_closed_socket_is_left_alone(self) -> None:
        mock.patch.stopall()
        self.sock.close()
        tls_guard._shut_down(self.sock)


class Thread(unittest.TestCase):
    def test_it_ends_when_there_is_nothing_to_watch(self) -> None:
        watchdog = tls_guard._Watchdog()
        with mock.patch.object(tls_guard, "TICK_SECONDS", 0.001), mock.patch.object(tls_guard, "IDLE_TICKS", 2):
            for _ in range(2):
                watchdog.ensure_running()
                wait_until(lambda: not watchdog.is_running)


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class Forks(unittest.TestCase):
    def test_a_child_has_a_thread_of_its_own(self) -> None:
        before = tls_guard._watchdog
        self.addCleanup(setattr, tls_guard, "_watchdog", before)
        tls_guard._forget_thread()
        self.assertIsNot(before, tls_guard._watchdog)
        self.assertFalse(tls_guard._watchdog.is_running)


class ConnectedSockets(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        # The thread of the library goes on for some seconds; this one ends with the test.
        quick = tls_guard._Watchdog()
        for patched in (mock.patch.object(tls_guard, "_watchdog", quick), mock.patch.object(tls_guard, "TICK_SECONDS", 0.01),
                        mock.patch.object(tls_guard, "IDLE_TICKS", 2)):
            self.at_end.enter_context(patched)
        self.at_end.callback(lambda: wait_until(lambda: not quick.is_running))

    def pair(self) -> Any:
        """Return both ends of a TLS connection, made by the ssl module."""
        here, there = socket.socketpair()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(CERTIFICATES + "/server.pem", CERTIFICATES + "/server.key")
        client = ssl.create_default_context(cafile=CERTIFICATES + "/ca.pem")
        ends = []
        accepting = threading.Thread(target=lambda: ends.append(server.wrap_socket(there, server_side=True)))
        accepting.start()
        mine = client.wrap_socket(here, server_hostname="127.0.0.1")
        accepting.join()
        for sock in (mine, ends[0]):
            self.at_end.callback(sock.close)
        return mine, ends[0]

    def test_calls(self) -> None:
        mine, theirs = self.pair()
        daemon = self.daemon(connected_socket=theirs)
        self.run_loop(daemon)
        mine.settimeout(PATIENCE_SECONDS)
        with Proxy("obj", connected_socket=mine) as proxy:
            self.assertEqual([1, "x" * 100000], proxy.echo([1, "x" * 100000]))
            self.assertIsInstance(proxy._pyroConnection._incoming, GuardedReceiver)
        self.assertIs(theirs, daemon.sock)

    def test_the_server_receives_with_a_limit(self) -> None:
        mine, theirs = self.pair()
        daemon = self.daemon(connected_socket=theirs)
        connection, = daemon.transportServer._connections.values()
        self.assertIsInstance(connection._source, GuardedReceiver)
        with contextlib.closing(RawClient(mine)):
            self.assertIs(mine, guarded(mine)._sock)

    def test_other_sockets_need_none(self) -> None:
        sock, other = socket.socketpair()
        with sock, other:
            self.assertIs(sock, guarded(sock))


if __name__ == "__main__":
    unittest.main()
