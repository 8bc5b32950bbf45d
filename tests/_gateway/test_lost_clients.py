"""Calls whose HTTP client disconnects before the response are cancelled."""
from __future__ import annotations

import asyncio
import select
import socket
import struct
import threading
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import current_context
from Pyro5._http import lost_clients
from Pyro5._http.lost_clients import LostClients
from Pyro5._objects.exposure import expose

from ..gateways import Site, read_answer
from ..support import PATIENCE_SECONDS

REQUEST = b"GET /pyro/http.oven/%s HTTP/1.%d\r\nHost: localhost\r\n%s\r\n"


@expose
class Oven:
    def __init__(self) -> None:
        self.began = threading.Event()
        self.cancelled = threading.Event()
        self.done = threading.Event()

    def bake(self) -> str:
        self.began.set()
        if current_context.cancelled.wait(PATIENCE_SECONDS):
            self.cancelled.set()
        return "cancelled"

    async def roast(self) -> None:
        self.began.set()
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def keep_warm(self) -> str:
        self.began.set()
        self.done.wait(PATIENCE_SECONDS)
        return "warm"

    @property
    def temperature(self) -> str:
        return self.bake()


@unittest.skipUnless(hasattr(select, "POLLRDHUP"), "this system does not report that a client has disconnected")
class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.oven = Oven()
        cls.site = Site({"http.oven": cls.oven})
        cls.addClassCleanup(cls.site.__exit__)
        cls.client = cls.site.gateway()[1]

    oven: Oven
    site: Site
    client: Any

    def setUp(self) -> None:
        patched = mock.patch.object(lost_clients, "CHECK_SECONDS", 0.01)
        patched.start()
        self.addCleanup(patched.stop)
        for event in (self.oven.began, self.oven.cancelled, self.oven.done):
            event.clear()
        self.addCleanup(self.oven.done.set)

    def begin(self, member: bytes, minor: int = 1, header: bytes = b"") -> socket.socket:
        """Send a request, and wait until the method runs."""
        sock = socket.create_connection(("127.0.0.1", self.client.port), timeout=PATIENCE_SECONDS)
        self.addCleanup(sock.close)
        sock.sendall(REQUEST % (member, minor, header))
        self.assertTrue(self.oven.began.wait(PATIENCE_SECONDS))
        return sock

    def test_the_call_is_cancelled(self) -> None:
        for member in (b"bake", b"roast", b"temperature"):
            with self.subTest(member=member):
                self.begin(member).close()
                self.assertTrue(self.oven.cancelled.wait(PATIENCE_SECONDS))
                self.oven.began.clear()
                self.oven.cancelled.clear()

    def test_before_the_first_event(self) -> None:
        self.begin(b"bake", header=b"Accept: text/event-stream\r\n").close()
        self.assertTrue(self.oven.cancelled.wait(PATIENCE_SECONDS))

    def test_a_client_that_only_sends_no_more_gets_its_response(self) -> None:
        sock = self.begin(b"keep_warm")
        sock.shutdown(socket.SHUT_WR)
        # Sent when it was noticed.
        self.assertEqual(lost_clients._PROBE, sock.recv(len(lost_clients._PROBE), socket.MSG_WAITALL))
        self.oven.done.set()
        answer = read_answer(sock)
        self.assertEqual((200, "warm"), (answer.status, answer.value))

    def test_the_connection_is_used_on(self) -> None:
        sock = self.begin(b"keep_warm")
        self.oven.done.set()
        self.assertEqual("warm", read_answer(sock).value)
        self.oven.began.clear()
        sock.sendall(REQUEST % (b"bake", 1, b""))
        self.assertTrue(self.oven.began.wait(PATIENCE_SECONDS))
        sock.close()
        self.assertTrue(self.oven.cancelled.wait(PATIENCE_SECONDS))


@unittest.skipUnless(hasattr(select, "POLLRDHUP"), "this system does not report that a client has disconnected")
class Watching(unittest.TestCase):
    def setUp(self) -> None:
        patched = mock.patch.object(lost_clients, "CHECK_SECONDS", 0.0)
        patched.start()
        self.addCleanup(patched.stop)
        self.wakes: List[int] = []
        self.clients = LostClients(lambda: self.wakes.append(1))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname(), PATIENCE_SECONDS)
            self.server = listener.accept()[0]
        self.addCleanup(self.client.close)
        self.addCleanup(self.server.close)
        self.server.settimeout(PATIENCE_SECONDS)
        self.lost = threading.Event()

    def test_the_thread_is_woken_once(self) -> None:
        self.assertIsNone(self.clients.pause())
        with self.clients.watching(self.server, True, self.lost.set):
            with self.clients.watching(self.client, True, self.fail):
                self.assertEqual(1, len(self.wakes))
            self.assertIsNotNone(self.clients.pause())
        self.assertIsNone(self.clients.pause())

    def test_a_client_of_http_1_0_that_sends_no_more(self) -> None:
        with self.clients.watching(self.server, False, self.lost.set):
            self.client.shutdown(socket.SHUT_WR)
            self.assertEqual(b"", self.server.recv(1))
            for _ in range(3):
                self.clients.check()
            self.server.sendall(b"response")
            self.assertEqual(b"response", self.client.recv(100))
        self.assertFalse(self.lost.is_set())

    def test_a_connection_that_is_reset(self) -> None:
        with self.clients.watching(self.server, False, self.lost.set):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.client.close()
            with self.assertRaises(ConnectionResetError):
                self.server.recv(1)
            self.clients.check()
            self.assertTrue(self.lost.wait(PATIENCE_SECONDS))

    def test_after_the_block_nothing_is_called(self) -> None:
        with self.clients.watching(self.server, True, self.fail):
            pass
        self.client.close()
        self.assertEqual(b"", self.server.recv(1))
        self.clients.check()


if __name__ == "__main__":
    unittest.main()
