"""Sockets: creating them, their options, whole reads and writes, connections, wake-ups."""
from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import tempfile
import threading
import unittest
from typing import Any, List, Tuple
from unittest import mock

from Pyro5 import errors, socketutil
from Pyro5._net.wakeup import Wakeup

from .peers import PATIENCE_SECONDS, free_port, settings

HAS_UNIX = hasattr(socket, "AF_UNIX")


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


class SocketTestCase(unittest.TestCase):
    def keep(self, sock: Any) -> Any:
        """Close a socket after the test."""
        self.addCleanup(sock.close)
        return sock

    def pair(self) -> Tuple[socket.socket, socket.socket]:
        first, second = socket.socketpair()
        return self.keep(first), self.keep(second)

    def connect_to(self, listener: socket.socket, **arguments: Any) -> Tuple[socket.socket, socket.socket]:
        client = self.keep(socketutil.create_socket(connect=listener.getsockname(), **arguments))
        return client, self.keep(listener.accept()[0])


class CreateTests(SocketTestCase):
    def check_talk(self, listener: socket.socket) -> None:
        client, server = self.connect_to(listener)
        client.sendall(b"x")
        self.assertEqual(b"x", server.recv(1))

    def test_ipv4(self) -> None:
        listener = self.keep(socketutil.create_socket(bind=("127.0.0.1", 0)))
        self.assertEqual(socket.AF_INET, listener.family)
        self.check_talk(listener)

    @unittest.skipUnless(_has_ipv6(), "needs IPv6")
    def test_ipv6(self) -> None:
        listener = self.keep(socketutil.create_socket(bind=("::1", 0), ipv6=True))
        self.assertEqual(socket.AF_INET6, listener.family)
        self.check_talk(listener)

    @unittest.skipUnless(_has_ipv6(), "needs IPv6")
    def test_connecting_tries_all_addresses_of_a_host(self) -> None:
        listener = self.keep(socketutil.create_socket(bind=("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        found = [(socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", port, 0, 0)),
                 (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]
        with mock.patch("socket.getaddrinfo", return_value=found):
            client = self.keep(socketutil.create_socket(connect=("somewhere", port), ipv6=None))
        self.assertEqual(socket.AF_INET, client.family)

    @unittest.skipUnless(HAS_UNIX, "needs Unix domain sockets")
    def test_unix(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            listener = self.keep(socketutil.create_socket(bind=os.path.join(directory, "a socket")))
            self.check_talk(listener)

    def test_neither_bound_nor_connected(self) -> None:
        self.assertEqual(socket.AF_INET, self.keep(socketutil.create_socket()).family)

    def test_either_bind_or_connect(self) -> None:
        with self.assertRaises(ValueError):
            socketutil.create_socket(bind=("127.0.0.1", 0), connect=("127.0.0.1", 0))

    def test_tls_without_an_address_is_on_the_side_of_the_context(self) -> None:
        for protocol, server_side in ((ssl.PROTOCOL_TLS_CLIENT, False), (ssl.PROTOCOL_TLS_SERVER, True)):
            context = ssl.SSLContext(protocol)
            context.check_hostname = False
            sock = self.keep(socketutil.create_socket(sslContext=context))
            assert isinstance(sock, ssl.SSLSocket)
            self.assertEqual((server_side, "0.0.0.0"), (sock.server_side, sock.getsockname()[0]))
        with self.assertRaises(ValueError):  # and no socket is left open
            socketutil.create_socket(sslContext=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def test_a_host_that_is_none_means_all_interfaces(self) -> None:
        for host in (None, ""):
            self.assertEqual("0.0.0.0", self.keep(socketutil.create_bc_socket((host, 0))).getsockname()[0])
            self.assertEqual("0.0.0.0", self.keep(socketutil.create_socket(bind=(host, 0))).getsockname()[0])
        self.assertEqual("::", self.keep(socketutil.create_socket(bind=(None, 0), ipv6=True)).getsockname()[0])

    def test_names_for_programs_with_sockets_of_their_own(self) -> None:
        self.assertEqual("IPv4", socketutil.family_str(self.keep(socketutil.create_socket())))
        self.assertEqual("IPv6", socketutil.family_str(self.keep(socketutil.create_socket(ipv6=True))))
        self.assertIn(errno.EAGAIN, socketutil.ERRNO_RETRIES)
        self.assertEqual([errno.EBADF, errno.ENOTSOCK, errno.EADDRNOTAVAIL, errno.EADDRINUSE],
                         [numbers[0] for numbers in (socketutil.ERRNO_BADF, socketutil.ERRNO_ENOTSOCK,
                                                     socketutil.ERRNO_EADDRNOTAVAIL, socketutil.ERRNO_EADDRINUSE)])
        self.assertIsInstance(socketutil.USE_MSG_WAITALL, bool)

    def test_timeouts_that_are_no_limit(self) -> None:
        with settings(COMMTIMEOUT=-1):
            for seconds in (None, 0, 0.0, -1, float("inf")):
                self.assertIsNone(socketutil.effective_timeout(seconds), seconds)

    def test_timeout(self) -> None:
        with settings(COMMTIMEOUT=0.0):
            self.assertIsNone(self.keep(socketutil.create_socket()).gettimeout())
        with settings(COMMTIMEOUT=2.5):
            self.assertEqual(2.5, self.keep(socketutil.create_socket()).gettimeout())
            self.assertEqual(2.5, self.keep(socketutil.create_socket(bind=("127.0.0.1", 0))).gettimeout())
            self.assertIsNone(self.keep(socketutil.create_socket(timeout=None)).gettimeout())
            self.assertEqual(7, self.keep(socketutil.create_socket(timeout=7)).gettimeout())
        self.assertIsNone(self.keep(socketutil.create_socket(timeout=0)).gettimeout())

    def test_options(self) -> None:
        def option(sock: socket.socket, level: int, name: int) -> bool:
            return bool(sock.getsockopt(level, name))

        usual = self.keep(socketutil.create_socket())
        self.assertTrue(option(usual, socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        self.assertTrue(option(usual, socket.IPPROTO_TCP, socket.TCP_NODELAY))
        bare = self.keep(socketutil.create_socket(keepalive=False, nodelay=False, noinherit=True))
        self.assertFalse(option(bare, socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        self.assertFalse(option(bare, socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.assertFalse(bare.get_inheritable())
        if os.name != "nt":
            self.assertFalse(option(bare, socket.SOL_SOCKET, socket.SO_REUSEADDR))
            self.assertTrue(option(self.keep(socketutil.create_socket(reuseaddr=True)), socket.SOL_SOCKET,
                                   socket.SO_REUSEADDR))

    def test_options_that_a_socket_does_not_have_are_no_error(self) -> None:
        for sock in self.pair():
            socketutil.set_nodelay(sock)
            socketutil.set_keepalive(sock)
            socketutil.set_reuseaddr(sock)
            socketutil.set_noinherit(sock)


class FailureTests(SocketTestCase):
    """Every failure names the address and keeps the kind of error that the system reported."""

    def test_port_not_open(self) -> None:
        port = free_port()
        with self.assertRaisesRegex(ConnectionRefusedError, "127.0.0.1:%d" % port):
            socketutil.create_socket(connect=("127.0.0.1", port))

    def test_address_in_use(self) -> None:
        address = self.keep(socketutil.create_socket(bind=("127.0.0.1", 0))).getsockname()
        with self.assertRaisesRegex(OSError, "127.0.0.1:%d .*port 0" % address[1]) as caught:
            socketutil.create_socket(bind=address)
        self.assertEqual(errno.EADDRINUSE, caught.exception.errno)

    def test_address_of_another_machine(self) -> None:
        with self.assertRaisesRegex(OSError, "192.0.2.1:0 .*address of this machine"):
            socketutil.create_socket(bind=("192.0.2.1", 0))

    @unittest.skipUnless(HAS_UNIX, "needs Unix domain sockets")
    def test_unix_sockets(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "sock")
            with self.assertRaisesRegex(FileNotFoundError, "unix socket .*sock"):
                socketutil.create_socket(connect=path)
            self.keep(socketutil.create_socket(bind=path))
            with self.assertRaisesRegex(OSError, "unix socket .*sock.*remove a file") as caught:
                socketutil.create_socket(bind=path)
            self.assertEqual(errno.EADDRINUSE, caught.exception.errno)

    def test_time_for_connecting_runs_out(self) -> None:
        with mock.patch("socket.socket.connect", side_effect=socket.timeout("timed out")):
            with self.assertRaisesRegex(socket.timeout, "cannot connect to 127.0.0.1:7: timeout"):
                socketutil.create_socket(connect=("127.0.0.1", 7), timeout=3)

    def test_datagram_address_of_another_machine(self) -> None:
        with self.assertRaisesRegex(OSError, "datagrams on 192.0.2.1:0"):
            socketutil.create_bc_socket(bind=("192.0.2.1", 0))


class DatagramTests(SocketTestCase):
    def test_broadcast_socket(self) -> None:
        receiver = self.keep(socketutil.create_bc_socket(bind=("127.0.0.1", 0), reuseaddr=True, timeout=PATIENCE_SECONDS))
        sender = self.keep(socketutil.create_bc_socket(timeout=4))
        self.assertTrue(sender.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))
        self.assertEqual(4, sender.gettimeout())
        sender.sendto(b"question", receiver.getsockname())
        self.assertEqual(b"question", receiver.recv(100))


class PortTests(SocketTestCase):
    def test_bind_unused_port(self) -> None:
        sock = self.keep(socket.socket())
        port = socketutil.bind_unused_port(sock)
        self.assertEqual(("127.0.0.1", port), sock.getsockname())

    @unittest.skipUnless(_has_ipv6(), "needs IPv6")
    def test_bind_unused_port_ipv6(self) -> None:
        sock = self.keep(socket.socket(socket.AF_INET6))
        self.assertEqual(socketutil.bind_unused_port(sock), sock.getsockname()[1])

    def test_find_probably_unused_port(self) -> None:
        port = socketutil.find_probably_unused_port()
        self.keep(socketutil.create_socket(bind=("127.0.0.1", port)))

    def test_interrupt_socket_wakes_a_listener(self) -> None:
        listener = self.keep(socketutil.create_socket(bind=("127.0.0.1", 0), timeout=PATIENCE_SECONDS))
        socketutil.interrupt_socket(listener.getsockname())
        sock = self.keep(listener.accept()[0])
        self.assertEqual(b"", sock.recv(1))
        listener.close()
        socketutil.interrupt_socket(("127.0.0.1", free_port()))


class WholeReadTests(SocketTestCase):
    def test_pieces_are_put_together(self) -> None:
        first, second = self.pair()
        for piece in (b"ab", b"c", b"def"):
            first.sendall(piece)
        self.assertEqual(b"abcde", socketutil.receive_data(second, 5))
        self.assertEqual(b"f", socketutil.receive_data(second, 1))
        self.assertEqual(b"", socketutil.receive_data(second, 0))

    def test_a_closed_connection_tells_what_had_arrived(self) -> None:
        first, second = self.pair()
        first.sendall(b"abc")
        first.close()
        with self.assertRaises(errors.ConnectionClosedError) as caught:
            socketutil.receive_data(second, 5)
        self.assertEqual(b"abc", caught.exception.partialData)  # type: ignore[attr-defined]

    def test_a_timeout_tells_what_had_arrived(self) -> None:
        first, second = self.pair()
        second.settimeout(0.01)
        first.sendall(b"abc")
        with self.assertRaises(errors.TimeoutError) as caught:
            socketutil.receive_data(second, 5)
        self.assertEqual(b"abc", caught.exception.partialData)  # type: ignore[attr-defined]
        self.assertIsInstance(caught.exception.__cause__, socket.timeout)

    def test_a_timeout_of_the_network_is_a_lost_connection(self) -> None:
        lost = socketutil.communication_error("receiving", OSError(errno.ETIMEDOUT, "network is down"))
        self.assertIsInstance(lost, errors.ConnectionClosedError)

    def test_a_non_blocking_socket_is_waited_for(self) -> None:
        first, second = self.pair()
        second.setblocking(False)
        timer = threading.Timer(0.02, first.sendall, [b"later"])
        timer.start()
        self.assertEqual(b"later", socketutil.receive_data(second, 5))
        timer.join()

    def test_a_lost_connection(self) -> None:
        sock = mock.Mock()
        sock.recv.side_effect = ConnectionResetError(errno.ECONNRESET, "reset")
        with self.assertRaisesRegex(errors.ConnectionClosedError, "reset") as caught:
            socketutil.receive_data(sock, 5)
        self.assertIsInstance(caught.exception.__cause__, ConnectionResetError)


class WholeWriteTests(SocketTestCase):
    def check_large(self, blocking: bool) -> None:
        first, second = self.pair()
        first.setblocking(blocking)
        data = os.urandom(1 << 20)
        received: List[bytes] = []
        thread = threading.Thread(target=lambda: received.append(socketutil.receive_data(second, len(data))))
        thread.start()
        socketutil.send_data(first, data)
        thread.join()
        self.assertEqual(data, received[0])

    def test_blocking(self) -> None:
        self.check_large(True)

    def test_non_blocking(self) -> None:
        self.check_large(False)

    def test_a_closed_connection(self) -> None:
        first, second = self.pair()
        second.close()
        with self.assertRaises(errors.ConnectionClosedError):
            socketutil.send_data(first, b"x")

    def test_timeout(self) -> None:
        first, _ = self.pair()
        first.settimeout(0.01)
        with self.assertRaises(errors.TimeoutError):
            socketutil.send_data(first, bytes(1 << 22))


class Resource:
    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.closed = 0

    def close(self) -> None:
        self.closed += 1
        if self.broken:
            raise ValueError("broken resource")


class ConnectionTests(SocketTestCase):
    def connection(self, **arguments: Any) -> Tuple[socketutil.SocketConnection, socket.socket]:
        first, second = self.pair()
        return socketutil.SocketConnection(first, **arguments), second

    def test_send_and_receive(self) -> None:
        connection, other = self.connection(objectId="obj")
        connection.send(b"abc")
        self.assertEqual(b"abc", other.recv(10))
        other.sendall(b"def")
        self.assertEqual(b"de", connection.recv(2))
        self.assertEqual("obj", connection.objectId)
        self.assertEqual(connection.sock.fileno(), connection.fileno())

    def test_a_with_statement_closes_it(self) -> None:
        connection, other = self.connection()
        with connection as entered:
            self.assertIs(connection, entered)
        self.assertEqual((b"", -1), (other.recv(1), connection.fileno()))

    def test_timeouts_by_the_names_of_sockets(self) -> None:
        connection, _ = self.connection()
        connection.settimeout(2.5)
        self.assertEqual((2.5, 2.5), (connection.gettimeout(), connection.timeout))

    def test_close_ends_both_directions_and_may_be_repeated(self) -> None:
        connection, other = self.connection()
        connection.close()
        connection.close()
        self.assertEqual(b"", other.recv(1))
        self.assertEqual(-1, connection.fileno())

    def test_close_wakes_a_thread_that_receives(self) -> None:
        connection, _ = self.connection()
        caught: List[BaseException] = []

        def receive() -> None:
            try:
                connection.recv(1)
            except errors.ConnectionClosedError as x:
                caught.append(x)

        thread = threading.Thread(target=receive)
        thread.start()
        connection.close()
        thread.join(PATIENCE_SECONDS)
        self.assertEqual(1, len(caught))

    def test_a_socket_of_the_program_stays_open(self) -> None:
        connection, other = self.connection(keep_open=True)
        sock = connection.sock
        connection.close()
        del connection
        sock.sendall(b"open")
        self.assertEqual(b"open", other.recv(10))

    def test_a_forgotten_connection_closes_its_socket(self) -> None:
        connection, other = self.connection()
        sock = connection.sock
        del connection
        self.assertEqual(-1, sock.fileno())

    def test_timeout(self) -> None:
        connection, _ = self.connection()
        connection.timeout = 3
        self.assertEqual((3, 3), (connection.timeout, connection.sock.gettimeout()))
        connection.setTimeout(None)
        self.assertIsNone(connection.getTimeout())

    def test_family(self) -> None:
        for family, text in ((socket.AF_INET, "IPv4"), (socket.AF_INET6, "IPv6"), (9999, "???")):
            self.assertEqual(text, socketutil.SocketConnection(mock.Mock(family=family), keep_open=True).family())

    def test_no_certificate_without_tls(self) -> None:
        self.assertIsNone(self.connection()[0].getpeercert())

    def test_tracked_resources_are_closed_once(self) -> None:
        connection, _ = self.connection()
        broken, sound, gone = Resource(broken=True), Resource(), Resource()
        for resource in (broken, sound, gone):
            connection.tracked_resources.add(resource)
        del resource, gone
        with self.assertLogs("Pyro5.socketutil", "WARNING") as logs:
            connection.close()
            connection.close()
        self.assertEqual((1, 1), (broken.closed, sound.closed))
        self.assertEqual(1, len(logs.records))


class WakeupTests(unittest.TestCase):
    def readable(self, wakeup: Wakeup, seconds: float = 0) -> bool:
        return bool(select.select([wakeup], [], [], seconds)[0])

    def test_wake_from_another_thread(self) -> None:
        wakeup = Wakeup()
        self.addCleanup(wakeup.close)
        self.assertFalse(self.readable(wakeup))
        thread = threading.Thread(target=wakeup.wake)
        thread.start()
        self.assertTrue(self.readable(wakeup, PATIENCE_SECONDS))
        thread.join()
        wakeup.drain()
        self.assertFalse(self.readable(wakeup))

    def test_never_blocks(self) -> None:
        wakeup = Wakeup()
        for _ in range(10000):
            wakeup.wake()
        self.assertTrue(self.readable(wakeup))
        wakeup.drain()
        wakeup.drain()
        self.assertFalse(self.readable(wakeup))
        wakeup.close()
        wakeup.close()
        wakeup.wake()


if __name__ == "__main__":
    unittest.main()
