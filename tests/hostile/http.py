"""Attacks on the HTTP gateway of the server process: heads with two meanings, crowds of bodies, pages of other web sites."""
from __future__ import annotations

import contextlib
import functools
import socket
from typing import Callable, Iterator

from .attack import Attack
from .target import CLIENT_SECONDS, Target

CALL = b"POST /pyro/http.obj/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
FORM = CALL.replace(b"application/json", b"application/x-www-form-urlencoded")
HIDDEN = b"GET /pyro/http.obj/echo?value=hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
CROWD = 20
UNREAD = 12     # results of 6 MB: twice as much as the gateway may keep


def connect(target: Target) -> socket.socket:
    """Return a connection to the gateway."""
    return socket.create_connection(("127.0.0.1", target.ports["http"]), CLIENT_SECONDS)


def _answer(sock: socket.socket) -> bytes:
    """Return all that the gateway sends until it closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        for data in iter(lambda: sock.recv(65536), b""):
            received += data
    return received


def _refused(data: bytes, statuses: bytes, target: Target) -> None:
    with connect(target) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        answer = _answer(sock)
    if answer and answer[9:12] not in statuses.split() or answer.count(b"HTTP/1.1 ") > 1 or b"hidden" in answer:
        raise AssertionError("answered with %r" % answer[:200])


def _refusal(name: str, data: bytes, statuses: bytes = b"400") -> Attack:
    return Attack("http: " + name, functools.partial(_refused, data, statuses), daemon="http")


def _site(name: str, headers: bytes) -> Attack:
    call = b"GET /pyro/http.obj/echo?value=hidden HTTP/1.1\r\nConnection: close\r\n%s\r\n\r\n" % headers
    return _refusal(name, call, b"403")


def _bodies(body: bytes, missing: int, head: bytes = CALL) -> Callable[[Target], None]:
    """Build an attack by many clients that send a body at once, all but its last bytes."""
    def attack(target: Target) -> None:
        with _crowd(target) as stack:
            for _ in range(CROWD * target.scale):
                sock = stack.enter_context(connect(target))
                sock.settimeout(0.05)
                with contextlib.suppress(OSError):
                    sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:len(body) - missing])
            target.probe("http")
    return attack


@contextlib.contextmanager
def _crowd(target: Target) -> Iterator[contextlib.ExitStack]:
    """Close all clients of the block at its end, and wait until the gateway has done so, however the block ends."""
    files = target.state().files
    try:
        with contextlib.ExitStack() as stack:
            yield stack
    finally:
        target.wait_for_files(files)    # a connection has a thread, which ends with it


def _unread_results(target: Target) -> None:
    """Many clients ask for large results, and receive nothing of them."""
    with _crowd(target) as stack:
        for _ in range(UNREAD):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(CLIENT_SECONDS)
            sock.connect(("127.0.0.1", target.ports["http"]))
            sock.sendall(b"GET /pyro/http.obj/huge HTTP/1.1\r\nHost: localhost\r\n\r\n")
            sock.recv(1)
        target.probe("http")


ATTACKS = (
    Attack("http: a crowd that receives no results", _unread_results, memory=64, daemon="http"),
    Attack("http: a crowd of forms of escape sequences", _bodies(b"value=" + b"%41" * 600000, 0, FORM), memory=80,
           daemon="http"),
    Attack("http: a crowd of bodies of wide characters", _bodies('["\U0001f600'.encode() + b"x" * 1000000 + b'"]', 0),
           memory=80, daemon="http"),
    _refusal("a line feed that begins another header", CALL + b"X: a\nContent-Length: 0\r\n\r\n" + HIDDEN),
    _refusal("a carriage return that begins another header", CALL + b"X: a\rContent-Length: 0\r\n\r\n" + HIDDEN),
    _refusal("a folded header", CALL + b"X: a\r\n Content-Length: 0\r\n\r\n" + HIDDEN),
    _refusal("two lengths", CALL + b"Content-Length: 0\r\nContent-Length: 90\r\n\r\n" + HIDDEN),
    _refusal("a length and chunks", CALL + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN),
    _refusal("chunks", CALL + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN, b"411"),
    _refusal("an underscore for a hyphen", CALL + b"Content_Length: 5\r\n\r\n" + HIDDEN),
    _refusal("a blank before the colon", CALL + b"Content-Length : 5\r\n\r\n" + HIDDEN),
    _refusal("a zero byte in a header", CALL + b"X: a\x00b\r\n\r\n" + HIDDEN),
    _refusal("two keys", CALL + b"X-Pyro-Gateway-Key: a\r\nX-Pyro-Gateway-Key: b\r\n\r\n" + HIDDEN),
    _refusal("thousands of headers", CALL + b"X: a\r\n" * 5000 + b"\r\n" + HIDDEN, b"431"),
    _site("a name that was re-bound", b"Host: evil.example"),
    _site("a name that was re-bound, of the same origin", b"Host: evil.example\r\nOrigin: http://evil.example\r\n"
          b"Sec-Fetch-Site: same-origin"),
    _site("an image in a page of another site", b"Host: localhost\r\nSec-Fetch-Site: cross-site"),
    _site("a form in a page of another site", b"Host: localhost\r\nOrigin: http://evil.example"),
    _site("a page that does not tell where it is from", b"Host: localhost\r\nOrigin: null"),
    Attack("http: a crowd of bodies that stop before their end", _bodies(b'["' + b"x" * 2000000 + b'"]', 1),
           memory=64, daemon="http"),
    Attack("http: a crowd of bodies of very many values", _bodies(b"[" + b"[]," * 300000 + b"[]]", 0), memory=80,
           daemon="http"),
)
