"""Heads of HTTP requests: what is understood, and what is refused because two programs could understand it differently."""
from __future__ import annotations

import unittest
from typing import List

from Pyro5._http.head import HEADERS, BadRequest, Head, parse_head


def parse(data: bytes) -> Head:
    return parse_head(data.splitlines(keepends=True) if b"\r\n" not in data else
                      [line + b"\n" for line in data.split(b"\n")[:-1]])


class Understood(unittest.TestCase):
    def test_request_lines(self) -> None:
        for line, expected in ((b"GET / HTTP/1.1", ("GET", "/", (1, 1))), (b"GET /a?b HTTP/1.0", ("GET", "/a?b", (1, 0))),
                               (b"x-Y /", ("x-Y", "/", (0, 9))), (b"GET /\xc3\xbc HTTP/1.9", ("GET", "/\xc3\xbc", (1, 1)))):
            self.assertEqual((*expected, {}), parse(line + b"\r\n\r\n"))

    def test_line_breaks_may_be_line_feeds_if_all_are(self) -> None:
        self.assertEqual({"host": "a", "x": "1"}, parse(b"GET / HTTP/1.1\nHost: a\nX:1\n\n").headers)

    def test_headers(self) -> None:
        head = parse(b"GET / HTTP/1.1\r\nHost: a\r\nX-One:\t1 \r\nx-one: \xfc\r\nEmpty:\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n")
        self.assertEqual({"host": "a", "x-one": "1,\xfc", "empty": "", "cookie": "a=1; b=2"}, head.headers)

    def test_the_host_of_the_target_counts(self) -> None:
        head = parse(b"GET http://b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(("/c?d", "b:80"), (head.target, head.headers["host"]))
        self.assertEqual("/", parse(b"GET HTTP://b HTTP/1.1\r\n\r\n").target)

    def test_lengths(self) -> None:
        self.assertEqual([0, 12], [parse(b"GET / HTTP/1.1\r\n%s\r\n" % line).body_length()
                                   for line in (b"", b"Content-Length: 12\r\n")])


class Refused(unittest.TestCase):
    def check(self, lines: List[bytes], status: int = 400) -> None:
        for line in lines:
            with self.subTest(line), self.assertRaises(BadRequest) as caught:
                parse(b"POST / HTTP/1.1\r\nHost: a\r\n%s\r\nContent-Length: 1\r\n\r\n" % line)
            self.assertEqual(status, caught.exception.args[0])

    def test_line_breaks_inside(self) -> None:
        self.check([b"X: a\rX-Pyro-Gateway-Key: b", b"X: a\nX-Pyro-Gateway-Key: b", b"X: a\r", b"\rX: a", b"X: a\r\r"])

    def test_control_characters(self) -> None:
        self.check([b"X: a\x00b", b"X\x00: a", b"X: \x1b[2J", b"X: \x7f", b"X: a\x0bY: b", b"X: a\x0cY: b"])

    def test_names(self) -> None:
        self.check([b"X_Pyro_Gateway_Key: b", b"Content_Length: 5", b"X-Pyro_Gateway-Key: b", b"X : a", b" X: a", b": a", b"X",
                    b"X\t: a", b"X(y): a", b"\xc3\xbc: a", b"X Y: a", b"\xa0X: a"])

    def test_folded_lines(self) -> None:
        self.check([b"X: a\r\n b", b"X: a\r\n\tX-Pyro-Gateway-Key: b", b"X:\r\n \r\nY: b"])

    def test_headers_that_are_there_twice(self) -> None:
        self.check([b"Host: a", b"HOST: b", b"Content-Length: 1", b"X-Pyro-Gateway-Key: a\r\nX-Pyro-Gateway-Key: b",
                    b"x-pyro-options: a\r\nX-Pyro-Options: oneway", b"Origin: http://a\r\nOrigin: http://b",
                    b"Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site", b"Content-Type: a/b\r\nContent-Type: c/d",
                    b"X-Pyro-Correlation-Id: 1\r\nX-Pyro-Correlation-Id: 2"])

    def test_more_headers_than_anything_needs(self) -> None:
        self.check([b"\r\n".join([b"X: a"] * HEADERS)], 431)

    def test_request_lines(self) -> None:
        for line, status in ((b"", 400), (b"GET", 400), (b"GET  / HTTP/1.1", 400), (b"GET / a HTTP/1.1", 400),
                             (b"GET\t/ HTTP/1.1", 400), (b"GET /\x00 HTTP/1.1", 400), (b"GET / HTTP/1.x", 400),
                             (b" GET / HTTP/1.1", 400), (b"GET / HTTP/1.1 ", 400), (b"GET / HTTP/1.10", 400),
                             (b"G\xc3 / HTTP/1.1", 400), (b"G@T / HTTP/1.1", 400), (b"A" * 50 + b" / HTTP/1.1", 400),
                             (b"GET / HTTP/2.0", 505), (b"GET / HTTP/0.9", 505)):
            with self.subTest(line), self.assertRaises(BadRequest) as caught:
                parse(line + b"\r\n\r\n")
            self.assertEqual(status, caught.exception.args[0])

    def test_lengths_that_contradict(self) -> None:
        for headers, status in ((b"Transfer-Encoding: chunked\r\nContent-Length: 3", 400),
                                (b"Transfer-Encoding: chunked", 411), (b"Transfer-Encoding: identity", 411),
                                (b"Transfer-Encoding:", 411), (b"Content-Length: +1", 400),
                                (b"Content-Length:", 400), (b"Content-Length: 1,1", 400), (b"Content-Length: 0x1", 400)):
            with self.subTest(headers), self.assertRaises(BadRequest) as caught:
                parse(b"POST / HTTP/1.1\r\n%s\r\n\r\n" % headers).body_length()
            self.assertEqual(status, caught.exception.args[0])
        with self.assertRaises(BadRequest):
            parse(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").body_length()


if __name__ == "__main__":
    unittest.main()
