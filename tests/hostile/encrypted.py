"""Attacks on the TLS handshake, and below it."""
from __future__ import annotations

import contextlib
import functools
import shutil
import socket
import ssl
import subprocess
import threading
import time

from .. import tls_floods
from ..drafts import message
from ..rawclient import call_request, connect_request
from ..support import PATIENCE_SECONDS
from .attack import PARTED, Attack, observe
from .target import Target, tls_context

INVOKE = 4


def _client_hello() -> bytes:
    """Return what a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls_context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def _silence(target: Target) -> None:
    for _ in range(20 * target.scale):
        target.hold(target.connect("tls"), is_unaccepted=True)


def _half_a_hello(target: Target) -> None:
    client = target.connect("tls")
    client.send(_client_hello()[:100])
    target.hold(client, is_unaccepted=True)


def _a_hello_and_no_more(target: Target) -> None:
    client = target.connect("tls")
    client.send(_client_hello())
    target.hold(client, is_unaccepted=True)


def _plain(data: bytes, target: Target) -> None:
    with target.connect("tls") as client:
        client.send(data)
        try:
            while client.sock.recv(1000):
                continue
        except ConnectionError:
            return


def _rubbish_inside(target: Target) -> None:
    with target.connect_with_handshake("tls") as client:
        client.send(message(INVOKE, b"", payload_length=0xffffffff))
        ended = observe(client)
    if ended != PARTED:
        raise AssertionError(ended)


def _rubbish_below(target: Target) -> None:
    """Plain bytes in the middle of an encrypted connection."""
    with target.connect_with_handshake("tls") as client:
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
    target.hold(client, is_unaccepted=True)


def _renegotiation(target: Target) -> None:
    """OpenSSL's own client asks for it when it is given the line R; TLS 1.2 was the last version to have it."""
    program = shutil.which("openssl")
    if program is not None:
        done = subprocess.run([program, "s_client", "-tls1_2", "-connect", "127.0.0.1:%d" % target.ports["tls"]], input=b"R\n",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_SECONDS, check=False)
        if b"RENEGOTIATING" in done.stdout and b"no renegotiation" not in done.stdout:
            raise AssertionError(done.stdout.decode("ascii", "replace"))


def _key_updates(count: int, kind: int, target: Target) -> None:
    """Records without data, from several connections at once: the server ends them, and goes on with the others meanwhile."""
    if not tls_floods.AVAILABLE:
        return
    with target.connect_with_handshake("tls") as honest, contextlib.ExitStack() as at_end:
        peers = []
        for _ in range(3):
            client = at_end.enter_context(target.connect("tls"))
            peers.append(tls_floods.RawTls(client.sock, tls_context(), server_hostname="127.0.0.1"))
        floods = [peer.key_updates(count * target.scale, kind) for peer in peers]
        ended = [threading.Thread(target=_send_until_it_ends, args=(peer.sock, flood)) for peer, flood in zip(peers, floods)]
        for thread in ended:
            thread.start()
        for _ in range(20):
            since = time.monotonic()
            honest.call("echo", 1)
            target.check_promise(time.monotonic() - since)
        for thread in ended:
            thread.join(PATIENCE_SECONDS)
            if thread.is_alive():
                raise AssertionError("records without data are received without end")


def _send_until_it_ends(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
        while sock.recv(65536):
            continue
    except ConnectionError:
        return


def _hellos_at_once(target: Target) -> None:
    """The server signs something for each of them: a client that is connected is served between them, as are new ones."""
    hello = _client_hello()
    with target.connect_with_handshake("tls") as honest:
        clients = [target.connect("tls") for _ in range(50 * target.scale)]
        for client in clients:
            client.send(hello)
        for _ in range(5):
            since = time.monotonic()
            honest.call("echo", 1)
            target.check_promise(time.monotonic() - since)
        for source in ("127.0.0.1", "127.0.0.2"):
            since = time.monotonic()
            with target.connect_with_handshake("tls", source=source) as other:
                other.call("echo", 1)
            target.check_promise(time.monotonic() - since)
        for client in clients:
            client.close()


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
    Attack("TLS: key updates without end", functools.partial(_key_updates, 4000, tls_floods.NOT_REQUESTED), daemon="tls"),
    Attack("TLS: key updates that are to be answered", functools.partial(_key_updates, 4000, tls_floods.REQUESTED),
           daemon="tls"),
    Attack("TLS: many hellos at once", _hellos_at_once, memory=64, daemon="tls"),
    Attack("TLS: plain bytes between encrypted ones", _rubbish_below, daemon="tls"),
)
