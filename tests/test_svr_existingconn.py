"""Serving a connected socket: no handshake, the end with the other side, and the socket returned unchanged."""
from __future__ import annotations

import gc
import select
import socket
import threading
import unittest
from typing import Any, Optional
from unittest import mock

from .rawclient import PATIENCE_SECONDS, RawClient, ServerTestCase, call_request, wait_until

LARGE = 6 * 1024 * 1024


class ExistingConnection(ServerTestCase):
    def connected(self, timeout: Optional[float] = None, loop: bool = True) -> Any:
        """Provide a daemon on one end of a socket pair, that end, a client on the other, and the thread of the loop."""
        here, there = socket.socketpair()
        there.settimeout(timeout)
        self.at_end.callback(there.close)
        client = RawClient(here)
        self.at_end.callback(client.close)
        daemon = self.daemon(connected_socket=there)
        return daemon, there, client, self.run_loop(daemon) if loop else None

    def test_calls_without_a_handshake(self) -> None:
        daemon, there, client, _thread = self.connected()
        self.assertEqual(1, client.call("echo", 1))
        self.assertEqual(LARGE, len(client.call("large", LARGE)))
        self.assertIs(there, daemon.sock)
        self.assertEqual([there], daemon.sockets)

    def test_calls_run_in_the_loop(self) -> None:
        _daemon, _there, client, thread = self.connected()
        self.assertEqual(thread.name, client.call("thread"))

    def test_the_loop_ends_with_the_other_side(self) -> None:
        daemon, _there, client, thread = self.connected()
        client.send(call_request("note", "last"))
        client.sock.shutdown(socket.SHUT_WR)
        self.assertIsNone(client.reply())
        self.join(thread)
        self.assertEqual((["last"], 1, []), (self.served._notes, len(daemon.gone), daemon.sockets))

    def test_the_socket_is_given_back_as_it_was(self) -> None:
        for timeout in (None, 0.0, 7.5):
            daemon, there, client, thread = self.connected(timeout)
            client.call("echo", 1)
            self.assertEqual(0.0, there.gettimeout())
            daemon.shutdown()
            self.join(thread)
            daemon.close()
            self.assertEqual(timeout, there.gettimeout())
            there.sendall(b"still usable")
            self.assertEqual(b"still usable", client.sock.recv(100))

    def test_a_daemon_whose_loop_never_ran(self) -> None:
        daemon, there, _client, _thread = self.connected(7.5, loop=False)
        daemon.close()
        self.assertEqual(7.5, there.gettimeout())
        self.assertNotEqual(-1, there.fileno())

    def test_the_user_may_close_it(self) -> None:
        daemon, there, client, thread = self.connected()
        client.call("echo", 1)
        there.shutdown(socket.SHUT_RDWR)
        self.join(thread)
        there.close()
        daemon.close()

    def test_a_socket_that_is_not_connected(self) -> None:
        with socket.socket() as sock:
            with self.assertRaises(OSError):
                self.daemon(connected_socket=sock)
            gc.collect()  # an open socket would cause a ResourceWarning now
            self.assertIsNone(sock.gettimeout())

    def test_invalid_data_ends_it_without_closing_the_socket(self) -> None:
        _daemon, there, client, thread = self.connected()
        with self.assertLogs("Pyro5.server.loop", "WARNING"):
            client.send(b"GET / HTTP/1.1\r\n")
            self.join(thread)
        self.assertNotEqual(-1, there.fileno())

    def test_shutdown_from_inside_a_call(self) -> None:
        daemon, there, client, thread = self.connected()
        self.assertEqual("shutting down", client.call("shutdown"))
        self.join(thread)
        self.assertNotEqual(-1, there.fileno())
        self.assertEqual(1, len(daemon.gone))

    def test_foreign_loop(self) -> None:
        daemon, there, client, _thread = self.connected(loop=False)
        answers = []

        def ask() -> None:
            answers.append(client.call("echo", 1))
            answers.append(len(client.call("large", LARGE)))
            answers.append(client.call("echo", 2))
            client.close()
        thread = threading.Thread(target=ask)
        thread.start()

        def turn() -> bool:
            ready, _, _ = select.select(daemon.sockets, [], [], 0.01)
            if ready:
                daemon.events(ready)
            return not daemon.sockets
        wait_until(turn)
        thread.join(PATIENCE_SECONDS)
        self.assertEqual(([1, LARGE, 2], 1), (answers, len(daemon.gone)))
        self.assertIsNone(there.gettimeout())

    def test_timeouts_do_not_end_an_idle_one(self) -> None:
        self.configure(COMMTIMEOUT=0.001)
        _daemon, _there, client, thread = self.connected()
        client.call("echo", 1)
        thread.join(0.05)
        self.assertEqual(2, client.call("echo", 2))

    def test_tracked_resources_are_freed(self) -> None:
        daemon, _there, client, thread = self.connected()
        resource = mock.Mock()
        client.call("note_connection")
        self.served._notes.pop().tracked_resources.add(resource)
        client.close()
        self.join(thread)
        resource.close.assert_called_once_with()
        self.assertEqual(1, len(daemon.gone))


if __name__ == "__main__":
    unittest.main()
