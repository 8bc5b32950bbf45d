"""TLS sockets with bounded work: the same results as those of the ssl module, and an end for peers that send no data."""
from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import unittest
from typing import Any, Callable, Optional, Tuple

from Pyro5 import socketutil
from Pyro5._net.tls_socket import EMPTY_BYTES, FEED_BYTES, TlsSocket

from ..peers import CERTIFICATES
from ..support import PATIENCE_SECONDS
from ..tls_floods import AVAILABLE, NOT_REQUESTED, REQUESTED, RawTls

LARGE = bytes(range(256)) * 8192


def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.path.join(CERTIFICATES, "server.pem"), os.path.join(CERTIFICATES, "server.key"))
    return context


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "ca.pem"))


class TlsSocketTestCase(unittest.TestCase):
    def plain_pair(self) -> Tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        for sock in pair:
            sock.settimeout(PATIENCE_SECONDS)
            self.addCleanup(sock.close)
        return pair

    def encrypted(self, sock: socket.socket, is_server: bool) -> TlsSocket:
        end = TlsSocket(sock, server_context() if is_server else client_context(), is_server,
                        None if is_server else "127.0.0.1")
        self.addCleanup(end.close)
        return end

    def meanwhile(self, work: Callable[[], Any]) -> threading.Thread:
        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join, PATIENCE_SECONDS)
        return thread

    def pair(self) -> Tuple[TlsSocket, TlsSocket]:
        """Return a client's and a server's end after the handshake."""
        here, there = self.plain_pair()
        client, server = self.encrypted(here, False), self.encrypted(there, True)
        handshake = self.meanwhile(server.do_handshake)
        client.do_handshake()
        handshake.join(PATIENCE_SECONDS)
        return client, server


class SameResults(TlsSocketTestCase):
    def test_data_in_both_directions(self) -> None:
        client, server = self.pair()
        for one, other in ((client, server), (server, client)):
            self.assertEqual(5, one.send(b"hello"))
            self.assertEqual(b"he", other.recv(2))
            self.assertEqual(3, other.pending())
            buffer = bytearray(10)
            self.assertEqual(3, other.recv_into(buffer))
            self.assertEqual(b"llo", buffer[:3])
            self.assertEqual(0, other.pending())

    def test_several_records_at_once(self) -> None:
        client, server = self.pair()
        for text in (b"one", b"two"):
            client.send(text)
        self.assertEqual(b"one", server.recv(100))
        self.assertGreater(server.pending(), 0)
        self.assertEqual(b"two", server.read(100))
        self.assertEqual(0, server.pending())

    def test_large_data(self) -> None:
        client, server = self.pair()
        sending = self.meanwhile(lambda: client.sendall(LARGE))
        received = bytearray()
        while len(received) < len(LARGE):
            received += server.recv(65536)
        sending.join(PATIENCE_SECONDS)
        self.assertEqual(LARGE, received)

    def test_without_blocking(self) -> None:
        client, server = self.pair()
        client.setblocking(False)
        server.setblocking(False)
        with self.assertRaises(ssl.SSLWantReadError):
            server.recv(10)
        rest, received = memoryview(LARGE), bytearray()
        while len(received) < len(LARGE):
            try:
                while rest:
                    rest = rest[client.send(rest):]
            except ssl.SSLWantWriteError:
                pass  # the next call begins with the same data
            try:
                while True:
                    received += server.recv(65536)
            except ssl.SSLWantReadError:
                pass
        self.assertEqual(LARGE, received)

    def test_timeouts(self) -> None:
        client, server = self.pair()
        client.settimeout(0.01)
        with self.assertRaises(socket.timeout):
            client.recv(10)
        rest, received = memoryview(LARGE), bytearray()
        with self.assertRaises(socket.timeout):
            while rest:
                rest = rest[client.send(rest):]
        receiving = self.meanwhile(lambda: [received.extend(server.recv(65536)) for _ in iter(
            lambda: len(received) < len(LARGE), False)])
        client.settimeout(PATIENCE_SECONDS)
        client.sendall(rest)
        receiving.join(PATIENCE_SECONDS)
        self.assertEqual(LARGE, received)

    def test_the_end(self) -> None:
        client, server = self.pair()
        client.send(b"last")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual([b"last", b"", b""], [server.recv(10) for _ in range(3)])

    def test_the_end_of_tls(self) -> None:
        client, server = self.pair()
        ending = self.meanwhile(server.unwrap)
        self.assertEqual(b"", client.recv(10))
        plain = client.unwrap()
        ending.join(PATIENCE_SECONDS)
        plain.send(b"plain")
        self.assertEqual(b"plain", server.recv(10))

    def test_after_a_shutdown_nothing_is_decrypted(self) -> None:
        client, server = self.pair()
        client.send(b"secret")
        server.shutdown(socket.SHUT_WR)
        received = server.recv(1000)
        self.assertTrue(received)
        self.assertNotIn(b"secret", received)
        with self.assertRaises(ValueError):
            server.version()

    def test_the_first_operation_does_the_handshake(self) -> None:
        for server_sends in (True, False):
            here, there = self.plain_pair()
            server = self.encrypted(there, True)
            with_client = self.meanwhile(lambda here=here: RawTls(here, client_context(), server_hostname="127.0.0.1"))  # type: ignore[misc]
            if server_sends:
                server.send(b"first")
            else:
                with_client.join(0)
                server.settimeout(0.2)
                with self.assertRaises(socket.timeout):
                    server.recv(10)
            with_client.join(PATIENCE_SECONDS)
            self.assertIsNotNone(server.cipher())

    def test_what_is_known_of_the_connection(self) -> None:
        client, server = self.pair()
        self.assertEqual(client.version(), server.version())
        self.assertIn("subject", client.getpeercert())
        self.assertIsNone(server.getpeercert())
        self.assertFalse(hasattr(client, "nonsense"))

    def test_nothing_passes_by_tls(self) -> None:
        client, _server = self.pair()
        for operation in (client.sendmsg, client.sendto, client.recvfrom, client.recvmsg, client.sendfile, client.dup):
            with self.assertRaises(NotImplementedError):
                operation(b"x")

    def test_a_certificate_that_is_not_trusted(self) -> None:
        here, there = self.plain_pair()
        client = TlsSocket(here, ssl.create_default_context(), False, "127.0.0.1")
        self.addCleanup(client.close)
        server, errors = self.encrypted(there, True), []

        def serve() -> None:
            try:
                server.do_handshake()
                server.recv(10)
            except ssl.SSLError as x:
                errors.append(x)
        serving = self.meanwhile(serve)
        with self.assertRaises(ssl.SSLCertVerificationError):
            client.do_handshake()
        serving.join(PATIENCE_SECONDS)
        self.assertIn("alert", str(errors[0]).lower())


@unittest.skipUnless(AVAILABLE, "OpenSSL cannot be made to send key updates here")
class RecordsWithoutData(TlsSocketTestCase):
    def flooded(self, is_server: bool = True) -> Tuple[RawTls, TlsSocket]:
        """Return a peer, and the end that it may flood."""
        here, there = self.plain_pair()
        end = self.encrypted(there, is_server)
        handshake = self.meanwhile(end.do_handshake)
        context = client_context() if is_server else server_context()
        peer = RawTls(here, context, **({"server_hostname": "127.0.0.1"} if is_server else {"server_side": True}))
        handshake.join(PATIENCE_SECONDS)
        return peer, end

    def test_key_updates_between_data(self) -> None:
        peer, end = self.flooded()
        for _ in range(3):
            for kind in (NOT_REQUESTED, REQUESTED):
                peer.sock.sendall(peer.key_updates(5, kind))
                peer.tls.write(b"data")
                peer.flush()
                self.assertEqual(b"data", end.recv(10))
                end.send(b"answer")
                peer.receive()
                self.assertEqual(b"answer", peer.tls.read(10))

    def test_one_call_without_blocking_takes_one_step(self) -> None:
        peer, end = self.flooded()
        end.setblocking(False)
        peer.sock.sendall(peer.key_updates(1500))
        for _ in range(2):
            before = len(self.unread(end))
            with self.assertRaises(ssl.SSLWantReadError):
                end.recv(10)
            self.assertLessEqual(before - len(self.unread(end)), FEED_BYTES)

    def unread(self, sock: socket.socket) -> bytes:
        return socket.socket.recv(sock, 1 << 20, socket.MSG_PEEK)

    def check_flood(self, timeout: Optional[float], is_server: bool = True) -> None:
        peer, end = self.flooded(is_server)
        end.settimeout(timeout)
        records = peer.key_updates(EMPTY_BYTES // 27 + 1300)

        def flood() -> None:
            try:
                peer.sock.sendall(records)
            except OSError:
                pass
        flooding = self.meanwhile(flood)
        with self.assertRaisesRegex(ConnectionAbortedError, "without data"):
            end.recv(10)
        end.close()
        flooding.join(PATIENCE_SECONDS)

    def test_a_flood_ends_the_connection(self) -> None:
        self.check_flood(None)

    def test_a_flood_from_a_server(self) -> None:
        self.check_flood(PATIENCE_SECONDS, is_server=False)

    def test_a_timeout_is_kept_though_records_come(self) -> None:
        peer, end = self.flooded(is_server=False)
        end.settimeout(0.1)
        ended = threading.Event()

        def drip() -> None:
            while not ended.wait(0.02):
                peer.sock.sendall(peer.key_updates(1))
        dripping = self.meanwhile(drip)
        since = time.monotonic()
        with self.assertRaises(socket.timeout):
            end.recv(10)
        self.assertLess(time.monotonic() - since, PATIENCE_SECONDS / 2)
        ended.set()
        dripping.join(PATIENCE_SECONDS)

    def test_answers_that_are_not_read(self) -> None:
        peer, end = self.flooded()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        with self.assertRaises(OSError):
            while True:
                peer.tls.write(b"x")
                peer.sock.sendall(peer.outgoing.read() + peer.key_updates(200, REQUESTED))
                end.setblocking(False)
                try:
                    while True:
                        end.recv(10)
                except ssl.SSLWantReadError:
                    pass


class Handshakes(TlsSocketTestCase):
    def test_the_timeout_is_for_all_of_it(self) -> None:
        here, there = self.plain_pair()
        server = self.encrypted(there, True)
        server.settimeout(0.1)
        ended = threading.Event()

        def drip() -> None:
            for number in range(500):
                if ended.wait(0.02):
                    return
                here.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[number:number + 1] or b"x")
        dripping = self.meanwhile(drip)
        since = time.monotonic()
        with self.assertRaises(socket.timeout):
            server.do_handshake()
        self.assertLess(time.monotonic() - since, PATIENCE_SECONDS / 2)
        ended.set()
        dripping.join(PATIENCE_SECONDS)

    def test_a_connection_made_with_create_socket(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()

            def serve() -> None:
                accepted = TlsSocket(listener.accept()[0], server_context(), True)
                with accepted:
                    accepted.do_handshake()
                    accepted.send(b"welcome")
            serving = self.meanwhile(serve)
            with socketutil.create_socket(connect=listener.getsockname(), sslContext=client_context(), timeout=5) as sock:
                self.assertEqual(b"welcome", sock.recv(100))
                self.assertEqual(5, sock.gettimeout())
            serving.join(PATIENCE_SECONDS)


if __name__ == "__main__":
    unittest.main()
