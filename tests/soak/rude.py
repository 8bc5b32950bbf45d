"""What clients do that mean no good, or that are broken."""
from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections import deque
from typing import Any, Callable, Deque, Tuple

from ..rawclient import RawClient, call_request, connect_request

# So many connections stay that say nothing.
SILENT = 20


class Crowd:
    """Connections of such clients. As a context manager it ends them."""

    def __init__(self, uri: Any) -> None:
        self._address = (uri.host, uri.port)
        self.object = str(uri.object)
        self.silent: Deque[socket.socket] = deque()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *exc_info: object) -> None:
        while self.silent:
            self.silent.popleft().close()

    def connect(self) -> RawClient:
        return RawClient(socket.create_connection(self._address))

    def connect_with_handshake(self) -> RawClient:
        return self.connect().greet(self.object)


def reset(client: RawClient) -> None:
    """End the connection as a crash does."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def keep_silent(crowd: Crowd) -> None:
    crowd.silent.append(crowd.connect().sock)
    if len(crowd.silent) > SILENT:
        crowd.silent.popleft().close()


def send_garbage(crowd: Crowd) -> None:
    with crowd.connect() as client, contextlib.suppress(OSError):
        client.send(os.urandom(200))
        client.read()


def send_half_a_handshake(crowd: Crowd) -> None:
    data = connect_request(crowd.object)
    with crowd.connect() as client:
        client.send(data[:len(data) // 2])


def ask_for_nobody(crowd: Crowd) -> None:
    with crowd.connect() as client:
        client.send(connect_request("nobody"))
        client.read()


def send_half_a_request(crowd: Crowd) -> None:
    data = call_request("echo", "x" * 100000, object_id=crowd.object)
    client = crowd.connect_with_handshake()
    client.send(data[:len(data) // 2])
    reset(client)


def announce_too_much(crowd: Crowd) -> None:
    data = bytearray(call_request("echo", 1, object_id=crowd.object))
    data[12:16] = b"\xff\xff\xff\xff"
    with crowd.connect_with_handshake() as client, contextlib.suppress(OSError):
        client.send(bytes(data))
        client.read()


def call_what_is_not_there(crowd: Crowd) -> None:
    with crowd.connect_with_handshake() as client:
        client.send(call_request("__class__", object_id=crowd.object))
        client.read()


def leave_with_replies_unread(crowd: Crowd) -> None:
    client = crowd.connect_with_handshake()
    with contextlib.suppress(OSError):
        client.send(b"".join(call_request("bulk", 500000, seq=seq, object_id=crowd.object) for seq in range(4)))
    reset(client)


def leave_streams_open(crowd: Crowd) -> None:
    with crowd.connect_with_handshake() as client:
        client.send(b"".join(call_request("parts", 5, seq=seq, object_id=crowd.object) for seq in range(3)))
        for _ in range(3):
            client.read()


WAYS: Tuple[Callable[[Crowd], Any], ...] = (
    keep_silent, send_garbage, send_half_a_handshake, ask_for_nobody, send_half_a_request, announce_too_much,
    call_what_is_not_there, leave_with_replies_unread, leave_streams_open)
