"""The HTTP gateway and clients that mean no good: after each of them, the next good client is served within a second."""
from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
import unittest
from typing import Any, Dict
from unittest import mock

from Pyro5._gateway import arguments
from Pyro5._http.connection import Limits
from Pyro5._objects.exposure import expose

from ..gateways import Answer, Client, Site, read_answer
from ..rawclient import wait_until
from ..support import PATIENCE_SECONDS

SERVED_WITHIN_SECONDS = 1.0
SCRIPT = "<script>alert(1)</script>"
CALL = b"POST /pyro/http.echo/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@expose
class Echo:
    """Gives back what it gets, or a lot."""

    def echo(self, value: Any = None) -> Any:
        return value

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def large(self) -> str:
        return "x" * 6000000    # more than the buffers of a connection hold


class HostileTestCase(unittest.TestCase):
    site: Site
    limits = Limits()

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.site = Site({"http.echo": Echo(), "http." + SCRIPT: Echo()})
        cls.addClassCleanup(cls.site.__exit__)
        cls.server, cls.client = cls.start_gateway()

    server: Any
    client: Client

    @classmethod
    def start_gateway(cls, **options: Any) -> Any:
        """Return the server of a new gateway, and a client of it."""
        client = cls.site.gateway(cls.limits, **options)[1]
        return cls.site.servers[-1], client

    def setUp(self) -> None:
        self.addCleanup(self.check_that_all_is_well)
        self.attackers = contextlib.ExitStack()
        self.addCleanup(self.attackers.close)

    def check_that_all_is_well(self) -> None:
        wait_until(lambda: len(self.server._threads) <= 1, "the end of the attackers' threads")

    def serve_a_good_client(self) -> None:
        """Make a call as a new client: the attackers must not delay it."""
        before = time.monotonic()
        with contextlib.closing(Client(self.client.port)) as client:
            self.assertEqual([SCRIPT], client.post("/pyro/http.echo/echo", [[SCRIPT]]).value)
        self.assertLess(time.monotonic() - before, SERVED_WITHIN_SECONDS)

    def attack(self, *pieces: bytes) -> socket.socket:
        """Return a connection over which this was sent."""
        sock = self.attackers.enter_context(socket.socket())
        sock.settimeout(PATIENCE_SECONDS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", self.client.port))
        for piece in pieces:
            sock.sendall(piece)
        return sock

    def refused(self, *pieces: bytes) -> Answer:
        """Return the answer to this, after which the connection must be closed."""
        sock = self.attack(*pieces)
        answer = read_answer(sock)
        self.assertEqual(b"", sock.recv(1))
        self.serve_a_good_client()
        return answer


class SlowClients(HostileTestCase):
    limits = Limits(head_seconds=0.15, idle_seconds=0.15, body_seconds=0.15, send_seconds=0.15)

    def test_headers_that_trickle(self) -> None:
        self.trickle(b"GET /pyro/ HTTP/1.1\r\n", b"X: 1\r\n")

    def test_a_body_that_trickles(self) -> None:
        self.trickle(CALL + b"Content-Length: 1000000\r\n\r\n[", b" ")

    def trickle(self, beginning: bytes, more: bytes) -> None:
        sock = self.attack(beginning)
        sock.settimeout(0.02)
        self.serve_a_good_client()
        answer = b""
        until = time.monotonic() + PATIENCE_SECONDS
        while not answer and time.monotonic() < until:
            with contextlib.suppress(socket.timeout):
                answer = sock.recv(100)
            sock.sendall(more)
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.serve_a_good_client()

    def test_silence(self) -> None:
        for beginning in (b"", b"GET /pyro/ HT"):
            sock = self.attack(beginning)
            self.serve_a_good_client()
            self.assertEqual(b"HTTP/1.1 408 "[:13 * bool(beginning)], sock.recv(1000)[:13])

    def test_an_answer_that_is_not_taken(self) -> None:
        self.attack(b"GET /pyro/http.echo/large HTTP/1.1\r\n\r\n")
        wait_until(lambda: self.server._waiting, "the end of the call")
        self.serve_a_good_client()
        wait_until(lambda: not self.server._threads, "the end of the connection")


class ManyClients(HostileTestCase):
    limits = Limits(connections=6)

    def test_more_than_there_is_room_for(self) -> None:
        attackers = [self.attack(b"GET /" * (number % 2)) for number in range(15)]
        self.serve_a_good_client()
        for sock in attackers[:9]:  # the oldest had to go
            self.assertEqual(b"", sock.recv(100))

    def test_requests_that_stop_everywhere(self) -> None:
        whole = CALL + b"Content-Length: 3\r\n\r\n[1]"
        for length in range(0, len(whole), 4):
            self.attack(whole[:length])
        self.serve_a_good_client()

    def test_answers_that_are_never_received(self) -> None:
        for _ in range(6):
            self.attack(b"GET /pyro/http.echo/large HTTP/1.1\r\n\r\n")
        wait_until(lambda: len(self.server._waiting) == 6, "the end of their calls")
        self.serve_a_good_client()

    def test_connections_that_are_reset(self) -> None:
        for number in range(60):
            with self.attack(b"GET /pyro/ HTTP/1.1\r\n\r\n" * (number % 3)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.serve_a_good_client()

    def test_when_all_are_at_work_the_next_one_is_told(self) -> None:
        wait_until(lambda: not self.server._threads, "the end of earlier connections")
        with self.server._lock:
            self.server._open.update(range(6))  # as many as are let in, none of which waits for its client
        try:
            answer = read_answer(self.attack())
        finally:
            with self.server._lock:
                self.server._open.difference_update(range(6))
        self.assertEqual((503, "1"), (answer.status, answer.headers["retry-after"]))
        self.serve_a_good_client()


class TooMuch(HostileTestCase):
    def test_heads_that_are_too_long(self) -> None:
        line = b"GET /pyro/ HTTP/1.1\r\n"
        for beginning, more in ((b"GET /pyro/", b"a"), (line + b"X: ", b"a"), (line, b"X: 1\r\n"), (b"", b"a"),
                                (line + b"X: 1\r\n", b" folded\r\n")):
            with self.subTest(beginning):
                self.assertEqual(431, self.refused(beginning, more * (self.limits.head_bytes // len(more) + 1)).status)

    def test_bodies_that_are_too_long(self) -> None:
        for old, new, status in ((b"POST", b"POST", 413), (b"http.echo", b"nothing", 403), (b"POST", b"GET", 200),
                                 (b"POST", b"PUT", 413)):
            head = CALL.replace(old, new)
            answer = self.refused(head + b"Content-Length: 999999999999\r\n\r\n", b" " * 300000)
            self.assertEqual(status, answer.status)

    def test_a_body_that_is_just_short_enough(self) -> None:
        body = json.dumps(["x" * 100000]).encode()
        for limit, status in ((len(body), 200), (len(body) - 1, 413)):
            with mock.patch.object(arguments, "BODY_BYTES", limit):
                answer = self.client.request("POST", "/pyro/http.echo/echo", {"Content-Type": "application/json"}, body)
            self.assertEqual(status, answer.status)

    def test_deep_and_long_values(self) -> None:
        for body, statuses in (
                (b"[" * 1000000, (400,)), (b'{"a":' * 200000, (400,)), (b"[" * 900 + b"]" * 900, (200, 400, 500)),
                (b"[1e999999999]", (200,)), (b"[%s]" % (b"7" * 1000000), (400,)), (b'["\\ud800"]', (200, 400)),
                (b'["\x00"]', (400,)), (b'{"__class__": 1}', (500,)),
                (b'[{"__class__": "os.system", "__exception__": true}]', (500,))):
            answer = self.client.request("POST", "/pyro/http.echo/echo", {"Content-Type": "application/json"}, body)
            with self.subTest(body[:30]):
                self.assertIn(answer.status, statuses, answer)
                self.serve_a_good_client()


class Malformed(HostileTestCase):
    def test_lengths_that_are_none(self) -> None:
        for length in (b"-1", b"+1", b"1_0", b"0x1", b"1 1", b"3\r\nContent-Length: 4", b"3\r\nContent-Length: 3", b"1" * 5000,
                       b"", "²".encode("latin-1")):
            with self.subTest(length[:20]):
                self.assertEqual(400, self.refused(CALL + b"Content-Length: " + length + b"\r\n\r\n[1]").status)

    def test_requests_hidden_in_bodies(self) -> None:
        hidden = b"GET /pyro/http.echo/echo?value=hidden HTTP/1.1\r\n\r\n"
        for headers, status in ((b"Transfer-Encoding: chunked\r\nContent-Length: 5", 400), (b"Content-Length : 5", 400),
                                (b"Transfer-Encoding: identity", 411), (b"X\r\nContent-Length: 5", 400)):
            with self.subTest(headers):
                self.assertEqual(status, self.refused(CALL + headers + b"\r\n\r\n0\r\n\r\n" + hidden).status)

    def test_what_is_not_http(self) -> None:
        for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\n", b"PYRO\x01\xf6" + bytes(40) + b"\n",
                     b"GET\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET / HTTP/1.x\r\n\r\n", b"GET / a HTTP/1.1\r\n\r\n",
                     b"\xff\xfe /\r\n\r\n"):
            with self.subTest(data[:20]):
                self.assertRegex(self.attack_and_read(data)[:12], rb"\AHTTP/1\.1 (400|505)\Z")
                self.serve_a_good_client()

    def attack_and_read(self, data: bytes) -> bytes:
        sock = self.attack(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))

    def test_bodies_that_end_early(self) -> None:
        self.assertIn(b" 400 ", self.attack_and_read(CALL + b"Content-Length: 30\r\n\r\n[1]")[:13])
        self.serve_a_good_client()

    def test_methods_are_not_told_back(self) -> None:
        answer = self.refused(SCRIPT.encode().replace(b" ", b"") + b" / HTTP/9.9\r\n\r\n")
        self.assertTrue(answer.headers["content-type"].startswith("text/plain"))


class Injection(HostileTestCase):
    def get(self, target: str, headers: Dict[str, str], client: Any = None) -> Answer:
        answer: Answer = (client or self.client).request("GET", target, headers)
        self.assertNotIn("set-cookie", answer.headers)
        self.assertTrue(target == "/pyro/" or not answer.headers["content-type"].startswith("text/html"))
        self.serve_a_good_client()
        return answer

    def test_no_way_to_files(self) -> None:
        everything = self.start_gateway(expose="")[1]
        for path in ("../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd",
                     "http.%2f..%2f..%2fetc/passwd", "..%5c..%5cetc/passwd", "http.%c0%ae%c0%ae/passwd", "page.html",
                     "%00/x", "http.echo%00/echo"):
            for prefix in ("/pyro/", "/"):
                for client in (self.client, everything):
                    answer = self.get(prefix + path, {}, client)
                    self.assertIn(answer.status, (403, 404), path)
                    self.assertNotIn(b"root:", answer.body)

    def test_header_lines(self) -> None:
        line = "x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<html>"
        for target in ("/pyro/" + line + "/x", "/pyro/http.echo/" + line, "/pyro/http.echo/echo?value=" + line, "/" + line,
                       "/pyro/$objects?name=http." + line, "/pyro/http.echo/fail?text=" + line, "/?" + line):
            self.get(target, {"X-Pyro-Options": line})
        answer = self.refused(b"GET /pyro/http.echo/echo HTTP/1.1\r\nX-Pyro-Correlation-Id: a\r\n Set-Cookie: a=b\r\n"
                              b"Connection: close\r\n\r\n")
        self.assertEqual((400, False), (answer.status, "set-cookie" in answer.headers))

    def test_correlation_ids(self) -> None:
        for text in ("{11112222-3333-4444-5555-666677778888}", "urn:uuid:11112222333344445555666677778888"):
            answer = self.get("/pyro/http.echo/echo", {"X-Pyro-Correlation-Id": text})
            self.assertEqual("11112222-3333-4444-5555-666677778888", answer.headers["x-pyro-correlation-id"])
        for text in ("x" * 5000, SCRIPT, "11112222"):
            self.assertEqual(400, self.get("/pyro/http.echo/echo", {"X-Pyro-Correlation-Id": text}).status)

    def test_scripts_stay_text(self) -> None:
        quoted = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
        for target in ("http.echo/echo?value=" + quoted, "http.echo/fail?text=" + quoted, "http.echo/" + quoted,
                       "http.echo/echo?" + quoted + "=1", quoted + "/x", "http." + quoted + "/echo",
                       "http.nobody" + quoted + "/x", "$objects"):
            answer = self.get("/pyro/" + target, {})
            if answer.status != 403:
                self.assertEqual(("application/json; charset=utf-8", "nosniff"),
                                 (answer.headers["content-type"], answer.headers["x-content-type-options"]), target)
            else:
                self.assertNotIn(b"script", answer.body)

    def test_policy_of_the_page(self) -> None:
        policy = self.get("/pyro/", {}).headers["content-security-policy"]
        for directive in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            self.assertIn(directive, policy.split("; "))
        self.assertNotIn("unsafe", policy)
        self.assertNotIn("http", policy)
        self.assertNotIn(b"http://", self.get("/pyro/", {}).body.replace(b"http://www.w3.org/", b""))


if __name__ == "__main__":
    unittest.main()
