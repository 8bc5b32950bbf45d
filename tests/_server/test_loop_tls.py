"""The loop with TLS: stalled handshakes do not delay other clients, and no data is left in the TLS layer."""
from __future__ import annotations

import os
import socket
import ssl
import threading
import unittest
from typing import Any
from unittest import mock

from Pyro5._server import tls_handshakes
from Pyro5.protocol import FLAGS_ONEWAY
from tests.support import PROJECT

from .. import tls_floods
from ..rawclient import RawClient, ServerTestCase, call_request, connect_request, connected_to, for_all_types, wait_until

CERTIFICATES = os.path.join(PROJECT, "tests", "certs")
LARGE = 6 * 1024 * 1024
SMALL_BUFFER = 4096
HANDSHAKE_RECORD = b"\x16\x03\x01\x02\x00"  # announces 512 bytes of a ClientHello


class TlsTestCase(ServerTestCase):
    def serving(self, **settings: Any) -> Any:
        return super().serving(SSL=True, SSL_SERVERCERT=os.path.join(CERTIFICATES, "server.pem"),
                               SSL_SERVERKEY=os.path.join(CERTIFICATES, "server.key"), **settings)

    def connect(self, daemon: Any, receive_buffer: int = 0) -> RawClient:
        context = ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "ca.pem"))
        client = RawClient(context.wrap_socket(connected_to(daemon, receive_buffer), server_hostname="127.0.0.1"))
        self.at_end.callback(client.close)
        return client

    def plain(self, daemon: Any) -> RawClient:
        client = RawClient(connected_to(daemon))
        self.at_end.callback(client.close)
        return client

    def check_others_are_served(self, daemon: Any) -> None:
        with self.client(daemon) as other:
            self.assertEqual("other", other.call("echo", "other"))


class Handshakes(TlsTestCase):
    def test_clients_that_send_nothing_or_half_a_handshake(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=1)
        silent = [self.plain(daemon) for _ in range(5)]
        for client, data in zip(silent, (b"", b"\x16", HANDSHAKE_RECORD, HANDSHAKE_RECORD + b"\x01")):
            client.send(data)
        self.check_others_are_served(daemon)

    def test_clients_without_tls(self) -> None:
        daemon = self.serving()
        for data in (connect_request(), b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100):
            client = self.plain(daemon)
            client.send(data)
            while client.sock.recv(1000):
                continue  # an alert of TLS
            client.close()
        daemon.wait_for_gone(3)
        self.check_others_are_served(daemon)

    def test_clients_that_disconnect(self) -> None:
        daemon = self.serving()
        for data in (b"", HANDSHAKE_RECORD):
            with self.plain(daemon) as client:
                client.send(data)
        daemon.wait_for_gone(2)
        self.check_others_are_served(daemon)

    def test_silent_clients_are_disconnected_in_time(self) -> None:
        daemon = self.serving(COMMTIMEOUT=0.05)
        client = self.plain(daemon)
        client.send(HANDSHAKE_RECORD)
        self.assertEqual(b"", client.sock.recv(100))

    def test_the_time_passes_during_a_step(self) -> None:
        """Of the handshake, which another thread does if there is one."""
        daemon = self.serving(COMMTIMEOUT=0.05)
        deadlines = daemon.transportServer._handshakes

        def late_step(connection: Any) -> Any:
            if daemon.transportServer.has_thread_for_tls():
                wait_until(lambda: connection not in deadlines, "the end of its time")
            return do_step(connection)
        do_step = tls_handshakes._step
        with mock.patch.object(tls_handshakes, "_step", late_step):
            client = self.plain(daemon)
            client.send(HANDSHAKE_RECORD)
            self.assertEqual(b"", client.sock.recv(100))

    def test_a_client_that_does_not_trust_the_server(self) -> None:
        daemon = self.serving()
        with connected_to(daemon) as sock, self.assertRaises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")
        daemon.wait_for_gone(1)
        self.check_others_are_served(daemon)


@unittest.skipUnless(tls_floods.AVAILABLE, "OpenSSL cannot be made to send key updates here")
class RecordsWithoutData(TlsTestCase):
    def check_flood(self, after_a_call: bool) -> None:
        daemon = self.serving()
        with self.client(daemon) as other, connected_to(daemon) as sock:
            context = ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "ca.pem"))
            peer = tls_floods.RawTls(sock, context, server_hostname="127.0.0.1")
            if after_a_call:
                peer.tls.write(connect_request())
                peer.flush()
                peer.receive()
            flood = peer.key_updates(4000)
            with self.assertRaises(ConnectionError):
                sock.sendall(flood)
                while sock.recv(65536):
                    continue
                raise ConnectionResetError("ended")
            self.assertEqual("other", other.call("echo", "other"))

    def test_a_client_that_is_not_let_in_yet_is_disconnected(self) -> None:
        self.check_flood(after_a_call=False)

    def test_a_client_is_disconnected(self) -> None:
        self.check_flood(after_a_call=True)


class Calls(TlsTestCase):
    def test_small_and_large(self) -> None:
        client = self.client(self.serving())
        for size in (1, 16000, 20000, 70000, LARGE):
            self.assertEqual(size, len(client.call("large", size)))
            self.assertEqual(size, len(client.call("echo", "x" * size)))

    def test_pipelined(self) -> None:
        client = self.client(self.serving())
        sizes = [1, 100000, 1, 1, 16300, 50000, 1] * 3
        requests = b"".join(call_request("note_oneway", "x" * size, flags=FLAGS_ONEWAY) for size in sizes)
        client.send(requests + call_request("echo", "last"))
        self.assertEqual("last", client.reply())
        self.assertEqual(sorted(sizes), sorted(map(len, self.served._wait_for_notes(len(sizes)))))

    def test_a_request_in_the_tls_layer_behind_an_unread_reply(self) -> None:
        daemon = self.serving()
        client = self.client(daemon, SMALL_BUFFER)
        sender = threading.Thread(target=client.send, args=(call_request("echo", "x" * LARGE) + call_request("echo", 2),))
        sender.start()
        self.check_others_are_served(daemon)
        self.join(sender)
        wait_until(lambda: any(conn.has_outgoing for conn in list(daemon.transportServer._connections.values())))
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LARGE)
        self.assertEqual(LARGE, len(client.reply()))
        self.assertEqual(2, client.reply())

    def test_a_request_in_the_tls_layer_while_others_wait_for_the_worker(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        client, other = self.client(daemon), self.client(daemon)
        # one TLS record holds the end of the first request and all of the second
        client.send(call_request("wait", "x" * 100000) + call_request("echo", "hidden"))
        self.served._wait_for_notes(1)
        other.send(call_request("echo", "other"))
        if self.servertype == "thread":
            wait_until(lambda: daemon.transportServer.pool.jobs_waiting)
        self.served._open_gate()
        self.assertEqual("other", other.reply())
        self.assertEqual(100000, len(client.reply()))
        self.assertEqual("hidden", client.reply())

    def test_unread_replies(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=1)
        lazy = [self.client(daemon, SMALL_BUFFER) for _ in range(3)]
        for client in lazy:
            client.send(call_request("large", LARGE))
        self.check_others_are_served(daemon)
        for client in lazy:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LARGE)
            self.assertEqual(LARGE, len(client.reply()))

    def test_a_refused_client_gets_the_reason(self) -> None:
        client = self.connect(self.serving())
        with self.assertLogs("Pyro5.server", "WARNING"):
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            with self.assertRaisesRegex(Exception, "not the Pyro protocol"):
                client.reply()


for base in (Handshakes, RecordsWithoutData, Calls):
    for_all_types(globals(), base)
    del globals()[base.__name__]
del base, TlsTestCase
