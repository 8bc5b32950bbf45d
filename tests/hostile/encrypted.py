"""Attacks on the TLS handshake, and below it."""
from __future__ import annotations

import shutil
import ssl
import subprocess

from ..drafts import message
from ..rawclient import call_request, connect_request
from ..support import PATIENCE_SECONDS
from .attack import PARTED, Attack, observe
from .target import Target, tls_context

INVOKE = 4


def _client_hello() -> bytes:
    """Give what a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls_context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def _silence(target: Target) -> None:
    for _ in range(20 * target.scale):
        target.hold(target.connect("tls"), is_stranger=True)


def _half_a_hello(target: Target) -> None:
    client = target.connect("tls")
    client.send(_client_hello()[:100])
    target.hold(client, is_stranger=True)


def _a_hello_and_no_more(target: Target) -> None:
    client = target.connect("tls")
    client.send(_client_hello())
    target.hold(client, is_stranger=True)


def _plain(data: bytes, target: Target) -> None:
    with target.connect("tls") as client:
        client.send(data)
        try:
            while client.sock.recv(1000):
                continue
        except ConnectionError:
            return


def _rubbish_inside(target: Target) -> None:
    with target.greeted("tls") as client:
        client.send(message(INVOKE, b"", payload_length=0xffffffff))
        ended = observe(client)
    if ended != PARTED:
        raise AssertionError(ended)


def _rubbish_below(target: Target) -> None:
    """Plain bytes in the middle of an encrypted connection."""
    with target.greeted("tls") as client:
        raw = client.sock.detach()
        client.sock = ssl.socket(fileno=raw)
        client.sock.settimeout(5)
        client.send(b"\x17\x03\x03\x10\x00" + b"x" * 5000)
        try:
            while client.sock.recv(1000):
                continue
        except ConnectionError:
            return


def _silence_after_the_handshake(target: Target) -> None:
    client = target.connect("tls")
    client.sock = tls_context().wrap_socket(client.sock, server_hostname="127.0.0.1")
    target.hold(client, is_stranger=True)


def _renegotiation(target: Target) -> None:
    """OpenSSL's own client asks for it when it is given the line R; TLS 1.2 was the last version to have it."""
    program = shutil.which("openssl")
    if program is not None:
        done = subprocess.run([program, "s_client", "-tls1_2", "-connect", "127.0.0.1:%d" % target.ports["tls"]], input=b"R\n",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS, check=False)
        if b"RENEGOTIATING" in done.stdout and b"no renegotiation" not in done.stdout:
            raise AssertionError(done.stdout.decode("ascii", "replace"))


ATTACKS = (
    Attack("TLS: silence", _silence, daemon="tls"),
    Attack("TLS: half a hello", _half_a_hello, daemon="tls"),
    Attack("TLS: a hello and no more", _a_hello_and_no_more, daemon="tls"),
    Attack("TLS: silence after the handshake", _silence_after_the_handshake, daemon="tls"),
    Attack("TLS: a plain handshake", lambda target: _plain(connect_request(), target), daemon="tls"),
    Attack("TLS: zeros", lambda target: _plain(bytes(1000), target), daemon="tls"),
    Attack("TLS: a web request", lambda target: _plain(b"GET / HTTP/1.0\r\n\r\n", target), daemon="tls"),
    Attack("TLS: a plain call", lambda target: _plain(call_request("echo", 1), target), daemon="tls"),
    Attack("TLS: four gigabytes announced, encrypted", _rubbish_inside, daemon="tls"),
    Attack("TLS: renegotiation", _renegotiation, daemon="tls"),
    Attack("TLS: plain bytes between encrypted ones", _rubbish_below, daemon="tls"),
)
