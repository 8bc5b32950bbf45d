"""The gateway's own HTTP server, and clients that follow the rules. Those that do not are in test_httpgateway_hostile."""
from __future__ import annotations

import socket
import unittest
from typing import Any
from unittest import mock

from Pyro5._gateway import app

from ..gateways import Client, GatewayTestCase, http_server, read_answer
from ..support import PATIENCE_SECONDS


class ServerTests(GatewayTestCase):
    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.client.port), timeout=PATIENCE_SECONDS)
        self.addCleanup(sock.close)
        return sock

    def test_connections_stay_open(self) -> None:
        sock = self.connect()
        for _ in range(3):
            sock.sendall(b"GET /pyro/http.clerk/desk HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual({"number": 4}, read_answer(sock).value)

    def test_or_not(self) -> None:
        for head in (b"GET /pyro/ HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET /pyro/ HTTP/1.0\r\n\r\n",
                     b"GET /pyro/\r\n\r\n"):
            sock = self.connect()
            sock.sendall(head)
            answer = read_all(sock)
            self.assertIn(b"</html>", answer[-20:])
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_requests_in_one_piece(self) -> None:
        sock = self.connect()
        request = b"POST /pyro/http.clerk/fill_in HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n[%d]"
        last = b"GET /pyro/http.clerk/desk HTTP/1.1\r\nConnection: close\r\n\r\n"
        sock.sendall(b"".join(request % number for number in range(3)) + last)
        answers = read_all(sock)
        self.assertEqual(4, answers.count(b"HTTP/1.1 200 OK\r\n"))
        found = [answers.find(text) for text in (b"[[0], {}]", b"[[1], {}]", b"[[2], {}]", b'{"number": 4}')]
        self.assertEqual(sorted(found), found)
        self.assertNotIn(-1, found)

    def test_clients_that_ask_before_they_send_a_body(self) -> None:
        head = (b"POST /pyro/%s/fill_in HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 3\r\n"
                b"Expect: 100-continue\r\n\r\n")
        sock = self.connect()
        sock.sendall(head % b"http.clerk")
        self.assertEqual(b"HTTP/1.1 100 Continue\r\n\r\n", sock.recv(100))
        sock.sendall(b"[1]")
        self.assertEqual([[1], {}], read_answer(sock).value)
        sock.sendall(head % b"hidden.clerk")
        self.assertEqual(403, read_answer(sock, "POST").status)

    def test_a_url_with_the_host_in_it(self) -> None:
        sock = self.connect()
        sock.sendall(b"GET http://127.0.0.1:%d/pyro/http.clerk/desk HTTP/1.1\r\nHost: localhost\r\n\r\n" % self.client.port)
        self.assertEqual({"number": 4}, read_answer(sock).value)

    def test_head(self) -> None:
        answer = self.client.request("HEAD", "/pyro/http.clerk/desk")
        self.assertEqual((405, b""), (answer.status, answer.body))
        self.assertEqual("GET, POST, PUT, DELETE, OPTIONS", answer.headers["allow"])

    def test_an_application_that_fails(self) -> None:
        def fail(environ: Any, start_response: Any) -> Any:
            raise RuntimeError("on purpose")

        with http_server(fail) as server, self.assertLogs("Pyro5.utils.httpconnection", "ERROR"):
            client = Client(server.port)
            self.assertEqual(500, client.get("/").status)
            client.close()

    def test_a_gateway_that_fails(self) -> None:
        with mock.patch.object(app._Request, "route", side_effect=RuntimeError("on purpose")):
            with self.assertLogs("Pyro5.utils.gatewayapp", "ERROR"):
                answer = self.client.get("/pyro/")
        self.assertEqual((500, "Pyro5.errors.PyroError"), (answer.status, answer.value["__class__"]))
        self.assertNotIn(b"on purpose", answer.body)


def read_all(sock: socket.socket) -> bytes:
    """Return everything until the other side closes."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


if __name__ == "__main__":
    unittest.main()
