"""The broadcast responder, over real datagrams on the loopback interface."""
from __future__ import annotations

import contextlib
import select
import selectors
import socket
import threading
import unittest
from typing import Any, List

from Pyro5 import config
from Pyro5._naming.broadcast import BroadcastServer
from Pyro5._values.uri import URI

NS_URI = "PYRO:Pyro.NameServer@127.0.0.1:9090"
PATIENCE_SECONDS = 60.0


class BroadcastTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())

    def make(self, uri: Any = NS_URI, host: Any = "127.0.0.1", port: int = 0) -> BroadcastServer:
        server = BroadcastServer(uri, host, port)
        self.addCleanup(server.close)
        return server

    def asker(self, server: BroadcastServer) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE_SECONDS)
        sock.connect(("127.0.0.1", server.sock.getsockname()[1]))
        return sock


class AnswerTests(BroadcastTestCase):
    """One datagram at a time."""

    def take_one(self, server: BroadcastServer) -> None:
        select.select(server.sockets, [], [], PATIENCE_SECONDS)
        server.processRequest()

    def ask(self, server: BroadcastServer, first: bytes) -> List[bytes]:
        """Send two datagrams, of which the second is the question; give all answers."""
        asker = self.asker(server)
        answers = []
        for datagram in (first, b"GET_NSURI"):
            asker.send(datagram)
            self.take_one(server)
        answers.append(asker.recv(200))
        asker.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            answers.append(asker.recv(200))
        return answers

    def test_the_question_is_answered_with_the_uri(self) -> None:
        self.assertEqual(self.ask(self.make(), b"GET_NSURI"), [NS_URI.encode()] * 2)

    def test_anything_else_is_not_answered(self) -> None:
        server = self.make()
        for datagram in (b"get_nsuri", b"GET_NSURI\n", b"", b"HELLO", b"GET_NSURI" + b" " * 200, b"GET_NSUR", b"\0" * 2000):
            self.assertEqual(self.ask(server, datagram), [NS_URI.encode()], repr(datagram))

    def test_nothing_to_read(self) -> None:
        self.make().processRequest()

    def test_any_address_becomes_the_one_that_the_asker_reaches(self) -> None:
        server = self.make("PYRO:Pyro.NameServer@0.0.0.0:9090")
        self.assertEqual(self.ask(server, b""), [NS_URI.encode()])
        self.assertEqual(str(server.nsUri), "PYRO:Pyro.NameServer@0.0.0.0:9090")

    def test_other_hosts_are_answered_as_they_are(self) -> None:
        for text in ("PYRO:Pyro.NameServer@neptune:9090", "PYRO:Pyro.NameServer@[::1]:9090"):
            self.assertEqual(self.ask(self.make(URI(text)), b""), [text.encode()])


class LocationTests(BroadcastTestCase):
    def test_location_text(self) -> None:
        server = self.make()
        self.assertEqual(server.locationStr, "127.0.0.1:%d" % server.sock.getsockname()[1])

    def test_every_interface_is_the_default(self) -> None:
        config.NS_BCHOST = None
        self.assertTrue(self.make(host=None).locationStr.startswith("0.0.0.0:"))

    def test_settings(self) -> None:
        config.NS_BCHOST = "127.0.0.1"
        config.NS_BCPORT = 0
        server = BroadcastServer(NS_URI)
        self.addCleanup(server.close)
        self.assertTrue(server.locationStr.startswith("127.0.0.1:"))

    def test_port_in_use(self) -> None:
        config.SOCK_REUSE = False
        port = self.make().sock.getsockname()[1]
        with self.assertRaisesRegex(OSError, "127.0.0.1:%d" % port):
            self.make(port=port)


class RunningTests(BroadcastTestCase):
    def ask(self, server: BroadcastServer) -> bytes:
        asker = self.asker(server)
        asker.send(b"GET_NSURI")
        return asker.recv(200)

    def test_in_a_thread(self) -> None:
        server = self.make()
        thread = server.runInThread()
        self.assertEqual(self.ask(server), NS_URI.encode())
        self.assertEqual(self.ask(server), NS_URI.encode())
        server.close()
        self.assertFalse(thread.is_alive())
        self.assertEqual(server.sockets, [])

    def test_only_one_thread(self) -> None:
        server = self.make()
        server.runInThread()
        with self.assertRaises(RuntimeError):
            server.runInThread()

    def test_no_thread_after_close(self) -> None:
        server = self.make()
        server.close()
        with self.assertRaises(RuntimeError):
            server.runInThread()

    def test_close_frees_the_port_and_may_be_repeated(self) -> None:
        config.SOCK_REUSE = False
        with self.make() as server:
            port = server.sock.getsockname()[1]
        server.close()
        self.make(port=port)

    def test_close_by_several_threads_at_once(self) -> None:
        server = self.make()
        running = server.runInThread()
        closers = [threading.Thread(target=server.close) for _ in range(4)]
        for thread in closers:
            thread.start()
        for thread in closers + [running]:
            thread.join(PATIENCE_SECONDS)
            self.assertFalse(thread.is_alive())

    def test_in_an_event_loop(self) -> None:
        server = self.make()
        asker = self.asker(server)
        asker.send(b"GET_NSURI")
        with selectors.DefaultSelector() as selector:
            for sock in server.sockets:
                selector.register(sock, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(PATIENCE_SECONDS)]
        server.events([])
        server.events(ready)
        self.assertEqual(asker.recv(200), NS_URI.encode())


if __name__ == "__main__":
    unittest.main()
