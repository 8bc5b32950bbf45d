"""What calls would cost if the library cost nothing: bare sockets between two Python processes.

``python -m programs.floors`` is the server: it prints a line of JSON that tells its port, and serves until it is killed.
A client says first what it wants, and how many bytes: `echo` sends back what comes; `framed` takes apart a header and a
marshal payload, calls one function, and answers in the same way; `bulk` receives so many bytes in place, and sends them
back. A `visit` is a new connection for two of the first kind.
"""
from __future__ import annotations

import json
import marshal
import os
import socket
import struct
from typing import Any, Callable, Dict

from .workload import SUM, SUMMANDS, add

WANTED = struct.Struct("!6sQ")
HEADER = struct.Struct("!4sHBBHHII16sHH")
NO_ID = bytes(16)
BUFFER_BYTES = 65536


def frame(kind: int, number: int, payload: bytes) -> bytes:
    return HEADER.pack(b"BARE", 1, kind, 0, 0, number, len(payload), 0, NO_ID, 0, 0) + payload


def serve_echo(connection: socket.socket, size: int) -> None:
    while True:
        data = connection.recv(BUFFER_BYTES)
        if not data:
            return
        connection.sendall(data)


def serve_framed(connection: socket.socket, size: int) -> None:
    while True:
        data = connection.recv(BUFFER_BYTES)
        if not data:
            return
        fields = HEADER.unpack(data[:HEADER.size])
        _, _, arguments, keywords = marshal.loads(data[HEADER.size:])
        connection.sendall(frame(2, fields[5], marshal.dumps(add(*arguments, **keywords))))


def receive_into(connection: socket.socket, buffer: memoryview) -> bool:
    """Fill the buffer; tell whether so much came."""
    while buffer:
        received = connection.recv_into(buffer)
        if not received:
            return False
        buffer = buffer[received:]
    return True


def serve_bulk(connection: socket.socket, size: int) -> None:
    buffer = memoryview(bytearray(size))
    while receive_into(connection, buffer):
        connection.sendall(buffer)


SERVED: Dict[bytes, Callable[[socket.socket, int], None]] = {
    b"echo": serve_echo, b"framed": serve_framed, b"bulk": serve_bulk}


def echo(connection: socket.socket, size: int) -> Callable[[], Any]:
    data = bytes(size)

    def exchange() -> None:
        connection.sendall(data)
        connection.recv(BUFFER_BYTES)
    return exchange


def framed(connection: socket.socket, size: int) -> Callable[[], Any]:
    def exchange() -> None:
        payload = marshal.dumps(("object", "add", SUMMANDS, {}))
        connection.sendall(frame(1, 7, payload))
        data = connection.recv(BUFFER_BYTES)
        HEADER.unpack(data[:HEADER.size])
        if marshal.loads(data[HEADER.size:]) != SUM:
            raise ValueError("the floor answers something else")
    return exchange


def bulk(connection: socket.socket, size: int) -> Callable[[], Any]:
    data = bytes(size)
    buffer = memoryview(bytearray(size))

    def exchange() -> None:
        connection.sendall(data)
        receive_into(connection, buffer)
    return exchange


def visit(connection: socket.socket, size: int) -> Callable[[], Any]:
    """Connect for every two messages; the given connection only tells where to."""
    address = connection.getpeername()
    connection.close()
    introduction, data = WANTED.pack(b"echo", 0) + bytes(100), bytes(100)

    def exchange() -> None:
        with socket.create_connection(address) as visitor:
            visitor.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            visitor.sendall(introduction)
            visitor.recv(BUFFER_BYTES)
            visitor.sendall(data)
            visitor.recv(BUFFER_BYTES)
    return exchange


FLOORS: Dict[str, Callable[[socket.socket, int], Callable[[], Any]]] = {
    "echo": echo, "framed": framed, "bulk": bulk, "visit": visit}


def connect(port: int, kind: str, size: int) -> socket.socket:
    """Connect to the server of the floors; what is exchanged is made by the function in `FLOORS`."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(WANTED.pack(b"echo" if kind == "visit" else kind.encode(), size))
    return connection


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()}), flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                kind, size = WANTED.unpack(connection.recv(WANTED.size, socket.MSG_WAITALL))
                SERVED[kind.rstrip(b"\0")](connection, size)


if __name__ == "__main__":
    main()
