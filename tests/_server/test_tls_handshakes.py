"""Many TLS handshakes at once: in which order the server continues them. Callbacks of the ssl module record this."""
from __future__ import annotations

import contextlib
import select
import socket
import ssl
import sysconfig
import threading
import unittest
from typing import Any, List, Optional

from Pyro5._net import tls

from ..peers import CERTIFICATES
from ..rawclient import PATIENCE_SECONDS, RawClient, ServerTestCase, call_request, for_all_types, wait_until

FLOOD = 40
# Clients are accepted in growing numbers, with a step of a handshake in between: 1, 2, 4, 8, ... Of each two steps, one may
# belong to the client that has been waiting longest.
MOST_BEFORE = 16


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CERTIFICATES + "/ca.pem")


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client_context().wrap_bio(incoming, outgoing, server_hostname="flood").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class Floods(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.names: List[Optional[str]] = []  # of the handshakes, in the order of the server; None: the well-behaved client
        self.gate = threading.Event()
        self.configure(SSL=True, SSL_SERVERCERT=CERTIFICATES + "/server.pem", SSL_SERVERKEY=CERTIFICATES + "/server.key")
        context = tls.server_context()
        context.sni_callback = self.record
        self.at_end.callback(setattr, context, "sni_callback", None)
        self.running = self.serving()

    def tearDown(self) -> None:
        self.gate.set()  # the server ends after its handshakes
        super().tearDown()

    def record(self, _connection: Any, name: Optional[str], _context: ssl.SSLContext) -> None:
        """Record a handshake, and hold it until the gate is open. Called by the server."""
        self.names.append(name)
        self.gate.wait(PATIENCE_SECONDS)

    def send_hello(self) -> socket.socket:
        sock = socket.create_connection(self.running.sock.getsockname(), PATIENCE_SECONDS)
        self.at_end.callback(sock.close)
        sock.sendall(client_hello())
        return sock

    def well_behaved(self, source: str) -> RawClient:
        try:
            sock = socket.create_connection(self.running.sock.getsockname(), PATIENCE_SECONDS, source_address=(source, 0))
        except OSError as x:
            self.skipTest("this system has no address %s: %s" % (source, x))
        self.at_end.callback(sock.close)
        client = RawClient(client_context().wrap_socket(sock, server_hostname="127.0.0.1", do_handshake_on_connect=False))
        self.at_end.callback(client.close)
        return client

    def hold_the_server(self) -> socket.socket:
        """Send a ClientHello, and return when the server is handling it."""
        first = self.send_hello()
        wait_until(lambda: self.names, "a handshake")
        return first

    def wait_for_hellos(self, count: int) -> None:
        """Wait until these wait for their turn, besides the first. (The loops of others are held: they accept none.)"""
        if self.servertype == "thread":
            handshakes = self.running.transportServer._tls
            wait_until(lambda: len(handshakes._queue) + len(handshakes._in_threads) > count, "%d handshakes" % count)

    def check_order(self, source: str) -> None:
        self.hold_the_server()
        for _ in range(FLOOD):
            self.send_hello()
        client = self.well_behaved(source)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.sock.setblocking(False)
            client.sock.do_handshake()
        client.sock.settimeout(PATIENCE_SECONDS)
        self.wait_for_hellos(FLOOD + 1)
        self.gate.set()
        client.sock.do_handshake()
        self.assertEqual("served", client.greet().call("echo", "served"))
        self.assertLessEqual(self.names.index(None), MOST_BEFORE)
        wait_until(lambda: len(self.names) == FLOOD + 2, "the handshake of each client")

    def test_a_client_of_another_address_is_served_soon(self) -> None:
        self.check_order("127.0.0.2")

    def test_a_client_of_the_same_address_is_served_soon(self) -> None:
        self.check_order("127.0.0.1")

    @unittest.skipUnless(hasattr(select, "POLLRDHUP"), "this system does not report that a peer has closed")
    def test_nothing_is_signed_for_clients_that_have_gone(self) -> None:
        self.hold_the_server()
        clients = [self.send_hello() for _ in range(FLOOD)]
        self.wait_for_hellos(FLOOD)
        before = list(self.names)
        for client in clients:
            client.close()
        self.gate.set()
        self.running.wait_for_gone(FLOOD)
        self.assertEqual(before, self.names)

    def test_connected_clients_are_served_first(self) -> None:
        if self.servertype == "aio" and sysconfig.get_config_var("Py_GIL_DISABLED"):
            self.skipTest("the thread of the call runs beside the event loop, which goes on with handshakes meanwhile")
        self.gate.set()
        client = self.well_behaved("127.0.0.1").greet()
        self.gate.clear()
        self.names.clear()
        self.hold_the_server()
        for _ in range(FLOOD):
            self.send_hello()
        self.wait_for_hellos(FLOOD)
        client.send(call_request("echo", "first"))
        if self.servertype != "thread":  # otherwise the loop is not held
            self.gate.set()
        self.assertEqual("first", client.reply())
        self.assertLessEqual(len(self.names), MOST_BEFORE)

    def test_shutdown_while_handshakes_wait(self) -> None:
        if self.servertype == "aio":
            self.skipTest("asyncio leaves connections open that it is accepting when the event loop ends")
        self.hold_the_server()
        clients = [self.send_hello() for _ in range(5)]
        self.running.shutdown()
        self.gate.set()
        for client in clients:
            with contextlib.suppress(ConnectionError):
                while client.recv(65536):
                    continue


for_all_types(globals(), Floods)
del Floods

if __name__ == "__main__":
    unittest.main()
