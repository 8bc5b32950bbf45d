"""TLS contexts and handshakes that do not block."""
from __future__ import annotations

import os
import selectors
import socket
import ssl
import threading
import unittest
from typing import Any, Dict, Tuple

from Pyro5._net import tls
from Pyro5.socketutil import create_socket

from ..peers import CERTIFICATES, PATIENCE_SECONDS, settings


def file(name: str) -> str:
    return os.path.join(CERTIFICATES, name)


CA = file("ca.pem")
SERVER: Dict[str, Any] = {"servercert": file("server.pem"), "serverkey": file("server.key")}
CLIENT: Dict[str, Any] = {"clientcert": file("client.pem"), "clientkey": file("client.key")}


class ContextTests(unittest.TestCase):
    def test_the_same_arguments_give_the_same_context(self) -> None:
        self.assertIs(tls.get_ssl_context(**SERVER), tls.get_ssl_context(**SERVER))
        self.assertIsNot(tls.get_ssl_context(**SERVER), tls.get_ssl_context(cacerts=CA, **SERVER))
        self.assertIsNot(tls.get_ssl_context(cacerts=CA), tls.get_ssl_context(cacerts=CA, **CLIENT))

    def test_a_client_checks_certificate_and_host_name(self) -> None:
        for context in (tls.get_ssl_context(), tls.get_ssl_context(cacerts=CA, **CLIENT)):
            self.assertEqual(ssl.CERT_REQUIRED, context.verify_mode)
            self.assertTrue(context.check_hostname)

    def test_a_server_asks_for_certificates_if_the_setting_says_so(self) -> None:
        self.assertEqual(ssl.CERT_NONE, tls.get_ssl_context(cacerts=CA, **SERVER).verify_mode)
        with settings(SSL_REQUIRECLIENTCERT=True):
            self.assertEqual(ssl.CERT_REQUIRED, tls.get_ssl_context(cacerts=CA, **SERVER).verify_mode)

    def test_no_side_renegotiates(self) -> None:
        for context in (tls.get_ssl_context(**SERVER), tls.get_ssl_context()):
            self.assertTrue(context.options & ssl.OP_NO_RENEGOTIATION)

    def test_one_side_only(self) -> None:
        with self.assertRaises(ValueError):
            tls.get_ssl_context(**SERVER, **CLIENT)
        for arguments in ({"serverkey": "key"}, {"clientkey": "key"}):
            with self.assertRaises(ValueError):
                tls.get_ssl_context(**arguments)

    def test_missing_and_useless_files_are_named(self) -> None:
        with self.assertRaisesRegex(FileNotFoundError, "nowhere.pem"):
            tls.get_ssl_context(servercert="nowhere.pem")
        with self.assertRaisesRegex(ssl.SSLError, "README.md"):
            tls.get_ssl_context(servercert=file("README.md"))

    def test_an_encrypted_key_needs_its_password(self) -> None:
        arguments = {"clientcert": file("client.pem"), "clientkey": file("client-encrypted.key")}
        tls.get_ssl_context(keypassword="secret", **arguments)
        with self.assertRaises(ssl.SSLError):
            tls.get_ssl_context(keypassword="wrong", **arguments)
        with self.assertRaises(ssl.SSLError):
            tls.get_ssl_context(**arguments)


class HandshakeTests(unittest.TestCase):
    def finish(self, sock: socket.socket) -> None:
        """Do the server's handshake as a selector loop would."""
        with selectors.DefaultSelector() as selector:
            wanted = tls.tls_handshake_step(sock)
            while wanted:
                selector.register(sock, wanted)
                self.assertTrue(selector.select(PATIENCE_SECONDS))
                selector.unregister(sock)
                wanted = tls.tls_handshake_step(sock)

    def test_steps_do_not_block(self) -> None:
        listener = create_socket(bind=("localhost", 0))
        self.addCleanup(listener.close)
        clients = []

        def connect() -> None:
            clients.append(create_socket(connect=("localhost", listener.getsockname()[1]),
                                         sslContext=tls.get_ssl_context(cacerts=CA)))

        thread = threading.Thread(target=connect)
        thread.start()
        plain, _ = listener.accept()
        plain.setblocking(False)
        sock = tls.tls_server_socket(plain, tls.get_ssl_context(**SERVER))
        self.finish(sock)
        thread.join()
        with sock, clients[0] as client:
            client.sendall(b"hello")
            sock.setblocking(True)
            self.assertEqual(b"hello", sock.recv(5))
            self.assertEqual((("commonName", "Test server"),), client.getpeercert()["subject"][0])

    def test_a_failing_handshake_is_an_error(self) -> None:
        server_end, client_end = self.pair()
        client_end.sendall(b"GET / HTTP/1.0\r\n\r\n")
        server_end.setblocking(False)
        sock = tls.tls_server_socket(server_end, tls.get_ssl_context(**SERVER))
        with sock, self.assertRaises(ssl.SSLError):
            self.finish(sock)

    def pair(self) -> Tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        for sock in pair:
            self.addCleanup(sock.close)
        return pair


class EventsWantedTests(unittest.TestCase):
    def test_only_what_passes_by_itself_is_waited_for(self) -> None:
        read, write = selectors.EVENT_READ, selectors.EVENT_WRITE
        self.assertEqual(write, tls.events_wanted(BlockingIOError(), write))
        self.assertEqual(read, tls.events_wanted(BlockingIOError(), read))
        self.assertEqual(read, tls.events_wanted(ssl.SSLWantReadError(), write))
        self.assertEqual(write, tls.events_wanted(ssl.SSLWantWriteError(), read))
        self.assertEqual(0, tls.events_wanted(ConnectionResetError(), read))
        self.assertEqual(0, tls.events_wanted(ssl.SSLError(), read))


if __name__ == "__main__":
    unittest.main()
