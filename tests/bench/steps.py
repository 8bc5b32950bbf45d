"""Where the time of one call goes: each step of a call, measured alone, in this process, without a network.

Everything runs as it does in a client and a server, but over a socket that keeps what is sent and gives at once what is
to be received. The shortest of many measurements counts: it is the time that the instructions take when nothing disturbs.
What the system needs to move the bytes and to wake the other side comes on top, see the framed floor.
"""
from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

from Pyro5 import api, serializers
from Pyro5._client.connection import Connection
from Pyro5._client.pool import OPEN_FIRST
from Pyro5._messages import requests
from Pyro5._server.connection import ServerConnection
from Pyro5._wire.reader import MessageReader
from Pyro5.protocol import MSG_RESULT, header_begin

from .programs.workload import SUM, SUMMANDS, add

OBJECT_ID = "object"
MICRO = 1e6
WIRE = requests.WireOptions(1 << 30, False)
CORRELATION = bytes(range(16))


class Step(NamedTuple):
    """A step, and its microseconds."""

    side: str
    what: str
    micros: float


class InMemory:
    """Stands in for a socket: what is sent is kept, and what `incoming` holds is received."""

    def __init__(self) -> None:
        self.sent = self.incoming = b""

    def sendall(self, data: bytes) -> None:
        self.sent = data

    def send(self, data: bytes, flags: int = 0) -> int:
        self.sent = data
        return len(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        return self.incoming

    def recv_into(self, buffer: memoryview) -> int:
        raise NotImplementedError("small messages come in one piece")

    def settimeout(self, seconds: Any) -> None:
        """There is nothing to wait for."""

    def gettimeout(self) -> None:
        """There is nothing to wait for."""

    def getpeername(self) -> Any:
        return "127.0.0.1", 1

    def shutdown(self, how: int) -> None:
        """There is no other side."""

    def close(self) -> None:
        """There is nothing to close."""

    def fileno(self) -> int:
        return -1


class Answered(InMemory):
    """Gives the reply that belongs to each request that is sent: with its number, and its correlation id."""

    def __init__(self, reply: bytes) -> None:
        super().__init__()
        self._reply = reply

    def sendall(self, data: bytes) -> None:
        reply = self._reply
        self.incoming = reply[:10] + data[10:12] + reply[12:20] + data[20:36] + reply[36:]


@api.expose
class Adder:
    """The object that is called."""

    def add(self, first: int, second: int) -> int:
        return add(first, second)


def shortest(action: Callable[[], Any], seconds: float) -> float:
    """Return the microseconds that an action takes when nothing disturbs it."""
    count, best = 200, float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(count):
            action()
        best = min(best, time.perf_counter() - begin)
    return best / count * MICRO


def measure(serializer_name: str, seconds: float) -> List[Step]:
    """Measure the steps of add(20, 22) with a serializer, each for so many seconds."""
    with api.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Adder(), OBJECT_ID)
        serializer = serializers.get_serializer(serializer_name)
        request = requests.invoke_request(serializer, 7, 0, OBJECT_ID, "add", SUMMANDS, {}, WIRE, None, CORRELATION).data
        server_side = InMemory()
        connection = ServerConnection(server_side, None, WIRE.max_size)  # type: ignore[arg-type]
        connection.handshake_done = True
        answer = daemon._plain_calls.answer
        if not answer(connection, request):
            raise ValueError("the request is no plain call")
        steps = client_steps(uri, serializer_name, server_side.sent, seconds) + server_steps(serializer, request, seconds)
        return with_the_rest(steps, "server", shortest(lambda: answer(connection, request), seconds))


def client_steps(uri: Any, serializer_name: str, reply: bytes, seconds: float) -> List[Step]:
    serializer = serializers.get_serializer(serializer_name)
    network = Answered(reply)
    proxy = api.Proxy(uri)
    proxy._pyroSerializer = serializer_name
    proxy._pyro.connection = Connection(network, str(uri), WIRE.max_size)  # type: ignore[arg-type]
    proxy._pyro.connection.features = frozenset()  # a server of this release
    proxy._pyro.pool.add(proxy._pyro.connection, threading.get_ident(), OPEN_FIRST)
    proxy._pyro.object_id = OBJECT_ID
    proxy._pyro.methods = {"add"}
    if proxy.add(*SUMMANDS) != SUM:
        raise ValueError("the call does not work")
    network_itself = shortest(lambda: network.sendall(reply), seconds)
    call = shortest(lambda: proxy.add(*SUMMANDS), seconds) - network_itself
    writing = shortest(lambda: serializer.dumpsCall(OBJECT_ID, "add", SUMMANDS, {}), seconds)
    connection, payload = proxy._pyro.connection, read(reply).data
    begin, request = header_begin(MSG_RESULT, serializer.serializer_id), reply[:10] + bytes((0, 7)) + reply[12:]
    exchange = shortest(lambda: connection.plain_round_trip(request, 7, begin, CORRELATION, "add"), seconds)
    steps = [Step("client", "arguments to bytes", writing),
             Step("client", "recognizing the reply", exchange - network_itself),
             Step("client", "bytes to the result", shortest(lambda: serializer.loads(payload), seconds))]
    return with_the_rest(steps, "client", call)


def server_steps(serializer: Any, request: bytes, seconds: float) -> List[Step]:
    payload = read(request).data
    adder = Adder()
    return [Step("server", "bytes to the call", shortest(lambda: serializer.loadsCall(payload), seconds)),
            Step("server", "the method itself", shortest(lambda: adder.add(*SUMMANDS), seconds)),
            Step("server", "result to bytes", shortest(lambda: serializer.dumps(SUM), seconds))]


def read(data: bytes) -> Any:
    reader = MessageReader(WIRE.max_size)
    reader.feed(data)
    return reader.next_message()


def with_the_rest(steps: List[Step], side: str, total: float) -> List[Step]:
    """Add a step for what the others leave of the whole."""
    known = sum(step.micros for step in steps if step.side == side)
    what = {"client": "finding the connection, checks, headers",
            "server": "headers, context, finding the object, checks"}[side]
    return [*steps, Step(side, what, max(0.0, total - known))]


def table(found: Dict[str, List[Step]]) -> str:
    """Return the steps as a table in Markdown, a column for each serializer."""
    names = list(found)
    lines = ["| side | step | %s |" % " | ".join(names), "| --- | --- |" + " ---: |" * len(names)]
    for rows in zip(*found.values()):
        lines.append("| %s | %s | %s |" % (rows[0].side, rows[0].what, " | ".join("%.1f" % row.micros for row in rows)))
    totals = [sum(step.micros for step in steps) for steps in found.values()]
    lines.append("| | all together | %s |" % " | ".join("%.1f" % total for total in totals))
    return "\n".join(lines) + "\n"


def run(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench steps", description="Show where the time of one call goes: "
                                                                                     "microseconds of Python code.")
    parser.add_argument("--seconds", type=float, default=0.2, help="how long to measure each step (0.2)")
    parser.add_argument("--serializers", default="serpent,json,marshal,msgpack", metavar="A,B")
    parser.add_argument("--document", metavar="FILE", help="replace the table in this document too (docs/performance.md)")
    options = parser.parse_args(arguments)
    text = table({name: measure(name, options.seconds) for name in options.serializers.split(",")})
    if options.document:
        document = Path(options.document)
        before, begin, rest = document.read_text(encoding="utf-8").partition("<!-- steps: begin -->\n")
        _, end, after = rest.partition("<!-- steps: end -->")
        if not begin or not end:
            raise ValueError("there is no place for the steps in %s" % document)
        document.write_text(before + begin + text + end + after, encoding="utf-8")
    print(text, end="")
