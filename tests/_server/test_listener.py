"""Listening sockets: every kind of address, stale socket files, accepting, and the end."""
from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import tempfile
import unittest
import uuid
import warnings
from typing import Any, List, Optional
from unittest import mock

from Pyro5 import config, errors, socketutil
from tests.support import PROJECT
from Pyro5._server.listener import OUT_OF_RESOURCES, Listener

HAS_UNIX = hasattr(socket, "AF_UNIX")


class ListenerTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "a socket")

    def listener(self, host: str = "127.0.0.1", port: int = 0, unixsocket: Optional[str] = None) -> Listener:
        listener = Listener(host, port, unixsocket)
        self.addCleanup(listener.close)
        return listener

    def connect(self, listener: Listener) -> socket.socket:
        client = socket.socket(listener.sock.family)
        self.addCleanup(client.close)
        client.settimeout(20)
        client.connect(listener.sock.getsockname())
        return client

    def accept(self, listener: Listener) -> socket.socket:
        sock = listener.accept()
        assert sock is not None
        self.addCleanup(sock.close)
        return sock

    def check_works(self, listener: Listener) -> None:
        client, sock = self.connect(listener), self.accept(listener)
        client.sendall(b"hello")
        self.assertEqual(b"hello", sock.recv(100))


class Addresses(ListenerTestCase):
    def test_ipv4(self) -> None:
        listener = self.listener()
        self.assertEqual("127.0.0.1:%d" % listener.sock.getsockname()[1], listener.location)
        self.check_works(listener)

    def test_host_names_stay_in_the_location(self) -> None:
        self.assertRegex(self.listener("localhost").location, "^localhost:[0-9]+$")

    def test_ipv6(self) -> None:
        try:
            listener = self.listener("::1")
        except OSError as x:
            self.skipTest("this machine has no IPv6: %s" % x)
        self.assertRegex(listener.location, r"^\[::1\]:[0-9]+$")
        self.check_works(listener)

    def test_a_port_in_use(self) -> None:
        config.SOCK_REUSE = False
        port = self.listener().sock.getsockname()[1]
        with self.assertRaisesRegex(OSError, "127.0.0.1.*%d" % port):
            self.listener(port=port)

    def test_an_address_of_another_machine(self) -> None:
        with self.assertRaisesRegex(OSError, "192.0.2.1"):  # an address for documentation, which no machine has
            self.listener("192.0.2.1")


@unittest.skipUnless(HAS_UNIX, "this system has no Unix domain sockets")
class UnixSockets(ListenerTestCase):
    def test_location_and_end(self) -> None:
        listener = self.listener(unixsocket=self.path)
        self.assertEqual("./u:" + self.path, listener.location)
        self.check_works(listener)
        listener.close()
        listener.close()
        self.assertFalse(os.path.exists(self.path))

    def test_the_file_is_removed_after_a_change_of_directory(self) -> None:
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(os.path.dirname(self.path))
        listener = self.listener(unixsocket="relative")
        self.assertEqual("./u:relative", listener.location)
        os.chdir(before)
        listener.close()
        self.assertEqual([], os.listdir(os.path.dirname(self.path)))

    def test_a_stale_file_is_replaced(self) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.path)
            dead.listen()
        self.check_works(self.listener(unixsocket=self.path))

    def test_the_file_of_a_running_server_stays(self) -> None:
        living = self.listener(unixsocket=self.path)
        with self.assertRaisesRegex(OSError, "a socket"):
            self.listener(unixsocket=self.path)
        self.accept(living)  # the connection that checked whether it is running
        self.check_works(living)

    def test_a_server_with_a_full_backlog_is_running(self) -> None:
        with socket.socket(socket.AF_UNIX) as busy:
            busy.bind(self.path)
            busy.listen(0)
            clients: List[socket.socket] = []
            try:
                while len(clients) < 50:
                    clients.append(socket.socket(socket.AF_UNIX))
                    clients[-1].setblocking(False)
                    clients[-1].connect(self.path)
            except BlockingIOError:
                pass
            with self.assertRaises(OSError):
                self.listener(unixsocket=self.path)
            self.assertTrue(os.path.exists(self.path))
            for client in clients:
                client.close()

    def test_a_file_that_is_no_socket_stays(self) -> None:
        with open(self.path, "w") as file:
            file.write("precious")
        with self.assertRaises(OSError):
            self.listener(unixsocket=self.path)
        self.assertTrue(stat.S_ISREG(os.stat(self.path).st_mode))

    def test_a_missing_directory(self) -> None:
        with self.assertRaisesRegex(OSError, "missing"):
            self.listener(unixsocket=os.path.join(self.path, "missing", "socket"))

    def test_abstract_names(self) -> None:
        name = "\0test-" + uuid.uuid4().hex
        try:
            listener = self.listener(unixsocket=name)
        except (OSError, ValueError) as x:
            self.skipTest("this system has no abstract names: %s" % x)
        self.assertEqual("./u:" + name, listener.location)
        self.check_works(listener)
        listener.close()
        self.listener(unixsocket=name)  # it is free again


class Accepting(ListenerTestCase):
    def test_no_waiting_client(self) -> None:
        self.assertIsNone(self.listener().accept())

    def test_accepted_sockets(self) -> None:
        listener = self.listener()
        self.connect(listener)
        sock = self.accept(listener)
        self.assertEqual(0.0, sock.gettimeout())
        for level, option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE)):
            self.assertTrue(sock.getsockopt(level, option))
        self.assertFalse(sock.get_inheritable())

    def test_errors(self) -> None:
        listener = self.listener()
        with mock.patch.object(listener, "sock") as sock:
            for number in OUT_OF_RESOURCES:
                sock.accept.side_effect = OSError(number, "none left")
                with self.assertRaises(OSError):
                    listener.accept()
            gone: List[Any] = [BlockingIOError(), ConnectionAbortedError(), OSError(errno.EPROTO, "x")]
            for error in gone:
                sock.accept.side_effect = error
                self.assertIsNone(listener.accept())

    def test_closed(self) -> None:
        listener = self.listener()
        listener.close()
        self.assertIsNone(listener.accept())


class Tls(ListenerTestCase):
    def test_without_a_certificate(self) -> None:
        config.SSL = True
        with self.assertRaisesRegex(errors.SecurityError, "SSL_SERVERCERT"):
            self.listener()
        self.assertFalse(os.path.exists(self.path))

    def test_with_one(self) -> None:
        certificates = os.path.join(PROJECT, "tests", "certs")
        config.SSL = True
        config.SSL_SERVERCERT = os.path.join(certificates, "server.pem")
        config.SSL_SERVERKEY = os.path.join(certificates, "server.key")
        listener = self.listener()
        with warnings.catch_warnings(record=True) as warned, self.connect(listener) as hasty:
            warnings.simplefilter("always")
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            hasty.sendall(b"x")
            hasty.close()
            self.assertIsNone(listener.accept())
            self.assertEqual([], warned)
        self.connect(listener)
        sock = self.accept(listener)  # before the client sends anything
        self.assertEqual(0.0, sock.gettimeout())
        self.assertNotEqual(0, socketutil.tls_handshake_step(sock))


if __name__ == "__main__":
    unittest.main()
