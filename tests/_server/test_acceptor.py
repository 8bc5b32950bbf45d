"""Accepting clients of the thread server: by the loop, or by a worker that has just ended a connection."""
from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import unittest
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import errors
from Pyro5._net import busy_poll, polling_policy
from Pyro5._server import acceptor
from Pyro5._server.acceptor import Acceptor
from Pyro5._server.eventloop import EventLoop
from Pyro5._server.listener import Listener
from Pyro5.server import Daemon

from ..peers import settings
from ..rawclient import PATIENCE_SECONDS, RawClient, ServerTestCase


@contextlib.contextmanager
def polling_is_promising() -> Iterator[None]:
    with mock.patch.multiple(busy_poll, _processors=2, _last=None), settings(SPINNING=True):
        yield


@unittest.skipUnless(hasattr(selectors, "EpollSelector"), "only where there is epoll")
class InPlaceOfTheLoop(unittest.TestCase):
    def setUp(self) -> None:
        at_end = contextlib.ExitStack()
        self.addCleanup(at_end.close)
        at_end.enter_context(polling_is_promising())
        self.at_end = at_end
        self.loop = EventLoop()
        at_end.callback(self.loop.close)
        self.loop.watch_wakeup()
        self.taken_in: List[socket.socket] = []
        self.listener = Listener("127.0.0.1", 0)
        self.acceptor = Acceptor(self.listener, self.loop, self.taken_in.append)
        at_end.callback(self.acceptor.close)
        self.acceptor.watch(True)

    def connect(self) -> None:
        self.at_end.enter_context(socket.create_connection(self.listener.sock.getsockname()[:2]))

    def is_watched(self) -> bool:
        """Return whether the loop is notified of new clients."""
        return any(key.fileobj is self.listener.sock for key, _ in self.loop.selector.select(0))

    def test_the_loop_is_not_woken(self) -> None:
        self.assertTrue(self.acceptor.begin_accepting())
        self.connect()
        self.assertFalse(self.is_watched())
        sock = self.acceptor.finish_accepting()
        self.assertIsNotNone(sock)
        self.at_end.callback(getattr(sock, "close", None))
        self.connect()
        self.assertTrue(self.is_watched())

    def test_no_client_connects(self) -> None:
        self.assertTrue(self.acceptor.begin_accepting())
        self.assertIsNone(self.acceptor.finish_accepting())
        self.connect()
        self.assertTrue(self.is_watched())
        self.assertFalse(busy_poll._polling.locked())

    def test_polling_stops_if_no_clients_connect(self) -> None:
        replaced = 0
        for _ in range(100):
            if self.acceptor.begin_accepting():
                replaced += 1
                self.assertIsNone(self.acceptor.finish_accepting())
        self.assertTrue(polling_policy.MAX_FAILURES <= replaced < 10, replaced)

    def test_one_worker_at_a_time(self) -> None:
        self.assertTrue(self.acceptor.begin_accepting())
        self.assertFalse(self.acceptor.begin_accepting())
        self.assertIsNone(self.acceptor.finish_accepting())
        self.assertTrue(self.acceptor.begin_accepting())
        self.assertIsNone(self.acceptor.finish_accepting())

    def test_not_while_the_loop_does_not_accept(self) -> None:
        self.acceptor.watch(False)
        self.assertFalse(self.acceptor.begin_accepting())

    def test_no_polling_where_it_cannot_succeed(self) -> None:
        with settings(SPINNING=False):
            self.assertFalse(self.acceptor.begin_accepting())
        self.assertTrue(self.acceptor.begin_accepting())
        self.assertIsNone(self.acceptor.finish_accepting())

    def test_closed_in_between(self) -> None:
        self.assertTrue(self.acceptor.begin_accepting())
        self.acceptor.close()
        self.assertIsNone(self.acceptor.finish_accepting())
        self.assertFalse(self.acceptor.begin_accepting())

    def test_the_socket_is_closed_in_between(self) -> None:
        self.assertTrue(self.acceptor.begin_accepting())
        self.listener.sock.close()
        self.assertIsNone(self.acceptor.finish_accepting())
        self.acceptor.close()
        self.assertFalse(self.acceptor.begin_accepting())

    def test_just_when_the_loop_begins_to_watch(self) -> None:
        worker = threading.Thread(target=lambda: self.acceptor.begin_accepting() and self.acceptor.finish_accepting())
        poll: Any = self.loop.selector._selector  # type: ignore[attr-defined]

        def register(*args: Any) -> None:
            worker.start()
            worker.join(0.05)  # it may have to wait for this
            poll.register(*args)

        self.acceptor.watch(False)
        with mock.patch.object(self.loop.selector, "_selector", mock.Mock(wraps=poll, register=register)):
            self.acceptor.watch(True)
            worker.join(PATIENCE_SECONDS)
        self.connect()
        self.assertTrue(self.is_watched())
        self.acceptor.watch(False)

    def test_combined_in_between(self) -> None:
        self.assertTrue(self.acceptor.begin_accepting())
        other = EventLoop()
        self.at_end.callback(other.close)
        other.watch_wakeup()
        other.combine(self.loop)
        self.assertIsNone(self.acceptor.finish_accepting())
        self.connect()
        self.assertTrue(self.is_watched())
        self.acceptor.close()

    def test_out_of_descriptors(self) -> None:
        self.assertTrue(self.acceptor.begin_accepting())
        with mock.patch.object(self.listener, "accept", side_effect=OSError(24, "too many open files")):
            self.assertIsNone(self.acceptor.finish_accepting())
        self.connect()
        self.assertTrue(self.is_watched())


class Visits(ServerTestCase):
    """Clients that connect one after the other."""

    def plain_daemon(self, daemon_class: Any = Daemon, **changes: Any) -> Any:
        self.at_end.enter_context(polling_is_promising())
        self.configure(**changes)
        daemon = self.daemon(daemon_class)
        self.run_loop(daemon)
        return daemon

    def visit(self, daemon: Any, value: Any) -> None:
        with RawClient(socket.create_connection(daemon.sock.getsockname()[:2])) as client:
            self.assertEqual(value, client.greet().call("echo", value))

    def test_all_are_served(self) -> None:
        daemon = self.plain_daemon()
        with mock.patch.object(acceptor, "ACCEPT_ATTEMPTS", 1000):
            for number in range(200):
                self.visit(daemon, number)

    def test_several_at_once(self) -> None:
        daemon = self.plain_daemon(THREADPOOL_SIZE=3, THREADPOOL_SIZE_MIN=2)
        failures: List[BaseException] = []

        def visits() -> None:
            try:
                for number in range(50):
                    self.visit(daemon, number)
            except BaseException as x:
                failures.append(x)

        threads = [threading.Thread(target=visits) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual([], failures)

    def test_the_loop_removes_ended_connections(self) -> None:
        daemon = self.plain_daemon()
        for number in range(300):
            self.visit(daemon, number)
        self.assertLess(len(daemon.transportServer._connections), 200)

    def accepted(self, daemon: Any) -> Any:
        """Return a client, and the socket with which a worker has accepted it."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.at_end.callback(theirs.close)
        client = RawClient(ours)
        self.at_end.callback(client.close)
        return client, theirs

    def test_a_silent_client_is_left_to_the_loop(self) -> None:
        daemon = self.plain_daemon(HANDSHAKE_TIMEOUT=0.05)
        client, sock = self.accepted(daemon)
        server = daemon.transportServer
        server.pool.submit(lambda: server._release_connection(self.served_by(server, server._accept_connection(sock))))
        with self.assertRaisesRegex(errors.CommunicationError, "no handshake within"):
            client.reply()

    def served_by(self, server: Any, connection: Any) -> Any:
        server._serve_requests(connection, False)
        return connection

    def test_a_full_server(self) -> None:
        daemon = self.plain_daemon(MAX_CONNECTIONS=1)
        self.client(daemon)
        client, sock = self.accepted(daemon)
        self.assertIsNone(daemon.transportServer._accept_connection(sock))
        with self.assertRaisesRegex(errors.CommunicationError, "busy"):
            client.reply()

    def test_a_stopping_server(self) -> None:
        daemon = self.plain_daemon()
        client, sock = self.accepted(daemon)
        with mock.patch.object(daemon.transportServer, "stopping", True):
            self.assertIsNone(daemon.transportServer._accept_connection(sock))
        self.assertIsNone(client.read())
        self.assertNotIn(sock, daemon.transportServer._connections)

    def test_clients_do_not_wait_for_the_cleanup_of_others(self) -> None:
        served = self.served

        class Slow(Daemon):
            def clientDisconnect(self, conn: Any) -> None:
                served.wait("gone")

        daemon = self.plain_daemon(Slow)
        with mock.patch.object(acceptor, "ACCEPT_ATTEMPTS", 1000):
            self.visit(daemon, 1)
            served._wait_for_notes(1)
            self.assertEqual(2, self.client(daemon).call("echo", 2))
        served._open_gate()

    def test_which_connections_end_without_user_code(self) -> None:
        daemon = self.plain_daemon()
        connection = mock.Mock(has_resources=False)
        self.assertTrue(daemon._ends_without_user_code(connection))
        daemon._streams.open(iter("ab"), connection)
        self.assertFalse(daemon._ends_without_user_code(connection))
        self.assertFalse(daemon._ends_without_user_code(mock.Mock(has_resources=True)))
        daemon.clientDisconnect = print
        self.assertFalse(daemon._ends_without_user_code(mock.Mock(has_resources=False)))


if __name__ == "__main__":
    unittest.main()
