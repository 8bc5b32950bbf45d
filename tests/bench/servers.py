"""The two servers that are measured, each in a process of its own: ``python -m tests.bench.servers bare|pyro [TYPE]``.

Both print where they listen and then serve until they are killed.
"""
from __future__ import annotations

import socket
import struct
import sys
from typing import Any, Union

LENGTH = struct.Struct("!I")


def receive_exactly(connection: socket.socket, size: int) -> bytearray:
    """Read size bytes; an empty result means that the peer has gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        received = connection.recv_into(view)
        if not received:
            return bytearray()
        view = view[received:]
    return data


def receive_frame(connection: socket.socket) -> bytearray:
    head = receive_exactly(connection, LENGTH.size)
    return receive_exactly(connection, LENGTH.unpack(head)[0]) if head else head


def send_frame(connection: socket.socket, data: Union[bytes, bytearray]) -> None:
    connection.sendall(LENGTH.pack(len(data)) + data)


def serve_bare() -> None:
    """Send back whatever one client sends: what a call would cost if the library cost nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                data = receive_frame(connection)
                if not data:
                    return
                send_frame(connection, data)


def serve_pyro(servertype: str) -> None:
    """Serve an object that sends back its argument."""
    from Pyro5 import api

    class Echo:
        @api.expose
        def nothing(self) -> None:
            pass

        @api.expose
        def echo(self, value: Any) -> Any:
            return value

    api.config.SERVERTYPE = servertype
    with api.Daemon(host="127.0.0.1", port=0) as daemon:
        print(daemon.register(Echo()), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        serve_bare()
    else:
        serve_pyro(sys.argv[2])
