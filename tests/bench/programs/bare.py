"""The least that a Python program has to do for a row: the same bytes over bare sockets, with the library of the serializer.

``python -m programs.bare`` is the server: it prints a line of JSON with its port, and serves each connection in a thread until
it is killed. A client says first which serializer it uses, and whether both sides poll their sockets before they block, as
Pyro5 does. `CASES` are the rows that have such a program; they have the same names as in `cases`.
"""
from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import socket
import struct
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import workload
from .timing import rate, rate_of_threads, with_processor_time

WANTED = struct.Struct("!16sB")
HEADER = struct.Struct("!4sHBBHHII16sHH")
NO_ID = bytes(16)
RECEIVED_BYTES = 65536
JOINED_BYTES = 32768        # longer payloads are sent without being copied
POLLS = 250
REQUEST, REPLY, ONEWAY = 1, 2, 3
BATCHED, GROUPED, IN_FLIGHT, BURST, THREADS = 200, 100, 64, 1000, 8


class Codec(NamedTuple):
    """The functions of a serializer."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[Any], Any]


def json_dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8")


def codec(name: str) -> Codec:
    if name == "json":
        return Codec(json_dumps, json.loads)
    library = importlib.import_module(name)
    return Codec(library.packb, library.unpackb) if name == "msgpack" else Codec(library.dumps, library.loads)


class Messages:
    """Sends and receives messages: a header of 40 bytes and a payload."""

    def __init__(self, connection: socket.socket, polls: bool) -> None:
        self.socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._polls = POLLS if polls and hasattr(socket, "MSG_DONTWAIT") else 0
        self._received = b""

    def send(self, payload: bytes, kind: int = REQUEST) -> None:
        header = HEADER.pack(b"BARE", 1, kind, 0, 0, 7, len(payload), 0, NO_ID, 0, 0)
        if len(payload) < JOINED_BYTES:
            self.socket.sendall(header + payload)
        else:
            self.socket.sendall(header, getattr(socket, "MSG_MORE", 0))
            self.socket.sendall(payload)

    def receive(self) -> Optional[Tuple[int, Any]]:
        """Return the kind and the payload of the next message, None at the end."""
        data = self._received or self._receive()
        while 0 < len(data) < HEADER.size:
            data += self.socket.recv(RECEIVED_BYTES)
        if not data:
            return None
        _, _, kind, _, _, _, size, *_ = HEADER.unpack_from(data)
        end = HEADER.size + size
        if len(data) >= end:
            self._received = data[end:]
            return kind, data[HEADER.size:end]
        self._received = b""
        payload = bytearray(size)
        view = memoryview(payload)
        have = len(data) - HEADER.size
        view[:have] = data[HEADER.size:]
        while have < size:
            have += self.socket.recv_into(view[have:])
        return kind, payload

    def _receive(self) -> bytes:
        for _ in range(self._polls):
            with contextlib.suppress(BlockingIOError):
                return self.socket.recv(RECEIVED_BYTES, socket.MSG_DONTWAIT)
        return self.socket.recv(RECEIVED_BYTES)


class Methods:
    """What the clients call."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.functions: Dict[str, Callable[..., Any]] = {
            "nothing": lambda: None, "add": workload.add, "echo": lambda value: value, "next": self._numbers.__next__,
            "next_group": lambda: [next(self._numbers) for _ in range(GROUPED)], "batch": self._batch,
            "tell": lambda number: None, "processor_seconds": time.process_time}

    def _batch(self, calls: List[Any]) -> List[Any]:
        functions = self.functions
        return [functions[name](*arguments, **named) for name, arguments, named in calls]


def serve(connection: socket.socket) -> None:
    with connection:
        name, polls = WANTED.unpack(connection.recv(WANTED.size, socket.MSG_WAITALL))
        dumps, loads = codec(name.rstrip(b"\0").decode())
        messages, functions = Messages(connection, bool(polls)), Methods().functions
        while True:
            received = messages.receive()
            if received is None:
                return
            kind, payload = received
            _, method, arguments, named = loads(payload)
            result = functions[method](*arguments, **named)
            if kind == REQUEST:
                messages.send(dumps(result), REPLY)


class Client:
    """A connection that calls methods."""

    def __init__(self, port: int, serializer: str, polls: bool) -> None:
        self.messages = Messages(socket.create_connection(("127.0.0.1", port)), polls)
        self.messages.socket.sendall(WANTED.pack(serializer.encode(), polls))
        self.dumps, self.loads = codec(serializer)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.messages.socket.close()

    def call(self, method: str, *arguments: Any) -> Any:
        self.messages.send(self.dumps(("object", method, arguments, {})))
        received = self.messages.receive()
        if received is None:
            raise ConnectionError("the server has closed the connection")
        return self.loads(received[1])

    def batch(self) -> None:
        calls = [("add", (number, 1), {}) for number in range(BATCHED)]
        self._check(self.call("batch", calls)[-1], BATCHED)

    def in_flight(self) -> None:
        for _ in range(IN_FLIGHT):
            self.messages.send(self.dumps(("object", "add", workload.SUMMANDS, {})))
        for _ in range(IN_FLIGHT):
            received = self.messages.receive()
            self._check(self.loads(received and received[1]), workload.SUM)

    def tell(self) -> None:
        for number in range(BURST):
            self.messages.send(self.dumps(("object", "tell", (number,), {})), ONEWAY)

    def tell_and_wait(self) -> None:
        self.tell()
        self.call("nothing")

    @staticmethod
    def _check(got: Any, expected: Any) -> None:
        if got != expected:
            raise ValueError("the server answered something else: %.80r" % (got,))


def called(method: str, *arguments: Any) -> Callable[[Client], Callable[[], Any]]:
    return lambda client: lambda: client.call(method, *arguments)


class Case(NamedTuple):
    """A row: what is repeated, the units of each repetition, and the threads that do it at once, each with a connection."""

    action: Callable[[Client], Callable[[], Any]]
    units: int = 1
    threads: int = 1
    polls: bool = True


CASES: Dict[str, Case] = {
    "nothing": Case(called("nothing")),
    "add": Case(called("add", *workload.SUMMANDS)),
    "record": Case(called("echo", workload.RECORD)),
    "records": Case(called("echo", workload.RECORDS)),
    "text": Case(called("echo", "x" * workload.TEXT_CHARACTERS)),
    "blob": Case(called("echo", workload.blob(workload.BLOB_BYTES))),
    "large": Case(called("echo", workload.blob(workload.LARGE_BLOB_BYTES))),
    "batch": Case(lambda client: client.batch, BATCHED),
    "oneway_sent": Case(lambda client: client.tell, BURST),
    "oneway": Case(lambda client: client.tell_and_wait, BURST),
    "stream": Case(called("next")),
    "stream_in_groups": Case(called("next_group"), GROUPED),
    "threads": Case(called("nothing"), threads=THREADS, polls=False),
    "shared": Case(called("nothing"), threads=THREADS, polls=False),
    "processes": Case(called("add", *workload.SUMMANDS), polls=False),
    "in_flight": Case(lambda client: client.in_flight, IN_FLIGHT),
}


def measure(case_name: str, port: int, serializer: str, seconds: float) -> Dict[str, float]:
    """Measure the least program of a row; return the units per second, and their processor time on both sides."""
    case = CASES[case_name]

    @contextlib.contextmanager
    def connected() -> Iterator[Callable[[], Any]]:
        with Client(port, serializer, case.polls) as client:
            yield case.action(client)

    with Client(port, serializer, case.polls) as client:
        action = case.action(client)
        action()

        def units_per_second() -> float:
            if case.threads > 1:
                return rate_of_threads(case.threads, connected, seconds)
            return rate(action, seconds, case.units)
        return with_processor_time(units_per_second, lambda: float(client.call("processor_seconds")))


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()}), flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
