"""Holds docs/wire-protocol.md to the truth: its bytes are replayed, in both roles, and what it says of payloads is what is
sent.

``python -m tests.docs.test_wire_protocol write`` brings those parts up to date.
"""
from __future__ import annotations

import importlib.util
import os
import re
import struct
import sys
import unittest
import uuid
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from Pyro5 import config, protocol, serializers
from Pyro5._messages import handshake, replies, requests
from Pyro5._messages.requests import WireOptions
from Pyro5._objects.exposure import expose
from Pyro5._values.uri import URI
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy
from Pyro5.protocol import SendingMessage
from Pyro5.server import Daemon
from tests.peers import Peer, ScriptedServer
from tests.rawclient import RawClient, ServerTestCase, connected_to
from tests.support import PROJECT, daemon_thread

DOCUMENT = os.path.join(PROJECT, "docs", "wire-protocol.md")
CORRELATION_ID = uuid.UUID("0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0")
STREAM_ID_ON_THE_PAGE = b"11111111-2222-4333-8444-555555555555"
STREAM_ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TYPES = {value: name[4:] for name, value in vars(protocol).items() if name.startswith("MSG_")}
FLAGS = {value: name[6:] for name, value in vars(protocol).items() if name.startswith("FLAGS_")}
CLIENT, SERVER = "client", "server"
BYTES_IN_A_LINE = 16
HEADER_FIELDS = (("tag", 4), ("version", 2), ("type", 1), ("serializer", 1), ("flags", 2), ("sequence number", 2),
                 ("payload size", 4), ("annotations size", 4), ("correlation id", 16), ("reserved", 2), ("magic number", 2))


@expose
class Thermometer:
    def celsius(self, place: str, days: Optional[int] = None) -> Any:
        return 31.0 if days is None else iter([29.5, 30.5][:days])


class Frame(NamedTuple):
    """A message, and who sends it."""

    sender: str
    data: bytes

    @property
    def flags(self) -> int:
        return int(struct.unpack_from("!H", self.data, 8)[0])

    def title(self) -> str:
        flags = [name for value, name in FLAGS.items() if self.flags & value]
        return "%s: %s, flags %s" % (self.sender, TYPES[self.data[6]], " ".join(flags) or "none")


# ---------------------------------------------------------------- the conversation

def client_messages() -> Iterator[bytes]:
    """Yield the messages that the client of the page sends."""
    json = serializers.get_serializer("json")

    def invoke(seq: int, object_id: str, method: str, *args: Any, flags: int = 0, **kwargs: Any) -> bytes:
        return requests.invoke_request(json, seq, flags, object_id, method, list(args), kwargs, WireOptions()).data

    current_context.correlation_id = CORRELATION_ID
    try:
        stream = STREAM_ID_ON_THE_PAGE.decode("ascii")
        yield handshake.connect_request(json, 0, "thermometer", "hello", WireOptions()).data
        yield invoke(1, "thermometer", "celsius", "attic")
        yield invoke(2, "thermometer", "celsius", "attic", days=2)
        yield invoke(3, "Pyro.Daemon", "get_next_stream_item", stream)
        yield invoke(4, "Pyro.Daemon", "close_stream", stream, flags=protocol.FLAGS_ONEWAY)
        yield SendingMessage(protocol.MSG_PING, 0, 0, protocol.SERIALIZER_PING, b"ping",
                             correlation_id=CORRELATION_ID.bytes).data
    finally:
        current_context.correlation_id = None


def read_frame(client: RawClient) -> bytes:
    """Read a message as the bytes that it consists of."""
    with_header = _read_exactly(client, protocol.HEADER_SIZE)
    payload_size, annotations_size = struct.unpack_from("!II", with_header, 12)
    return with_header + _read_exactly(client, payload_size + annotations_size)


def _read_exactly(client: RawClient, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += client.sock.recv(size - len(data)) or _ended()
    return data


def _ended() -> bytes:
    raise EOFError("the connection has ended")


def conversation(daemon: Any) -> Iterator[Frame]:
    """Talk with a daemon, and give all messages; a stream id is replaced by the one that the page shows, and back."""
    stream = STREAM_ID_ON_THE_PAGE
    with RawClient(connected_to(daemon)) as client:
        for request in client_messages():
            yield Frame(CLIENT, request)
            client.send(request.replace(STREAM_ID_ON_THE_PAGE, stream))
            if not Frame(CLIENT, request).flags & protocol.FLAGS_ONEWAY:
                reply = read_frame(client)
                found = STREAM_ID.search(reply)
                stream = found[0] if found else stream
                yield Frame(SERVER, STREAM_ID.sub(STREAM_ID_ON_THE_PAGE, reply))


# ---------------------------------------------------------------- the parts of the page

def dump(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), BYTES_IN_A_LINE):
        piece = data[start:start + BYTES_IN_A_LINE]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        yield "    %-*s  %s" % (3 * BYTES_IN_A_LINE, " ".join("%02x" % byte for byte in piece), text)


def anatomy(frame: Frame) -> Iterator[str]:
    position = 0
    for name, size in HEADER_FIELDS:
        piece = frame.data[position:position + size]
        position += size
        yield "    %-*s  %s" % (3 * BYTES_IN_A_LINE, " ".join("%02x" % byte for byte in piece), name)
    yield from dump(frame.data[position:])


def text_of(data: Any) -> str:
    return bytes(data).decode("utf-8")


def call_payloads() -> Iterator[str]:
    call: Any = ("attic", "celsius", ("roof",), {"decimals": 1})
    for name in ("serpent", "json"):
        yield "%s:" % name
        yield ""
        for line in text_of(serializers.get_serializer(name).dumpsCall(*call)).splitlines():
            yield "    " + line
        yield ""
    yield "msgpack, an array of four:"
    yield ""
    yield from dump(serializers.get_serializer("msgpack").dumpsCall(*call))


def exception_payload() -> Iterator[str]:
    exception = KeyError("roof")
    replies.set_remote_traceback(exception, ["Traceback (most recent call last):\n", "KeyError: 'roof'\n"])
    for name in ("serpent", "json"):
        yield from ("    " + line for line in text_of(serializers.get_serializer(name).dumps(exception)).splitlines())
        yield ""


def class_payloads() -> Iterator[str]:
    json = serializers.get_serializer("json")
    for value in (URI("PYRO:attic@house.example:9999"), Proxy("PYRO:attic@house.example:9999")):
        yield "    " + text_of(json.dumps(value))


def parts(frames: List[Frame]) -> Dict[str, str]:
    """Return the generated parts of the page, by name."""
    shown: List[str] = []
    for frame in frames:
        shown += ["    " + frame.title(), *dump(frame.data), ""]
    texts = {"calls": call_payloads(), "exception": exception_payload(), "classes": class_payloads(),
             "anatomy": anatomy(frames[0]), "conversation": iter(shown)}
    return {name: "\n%s\n\n" % "\n".join(line.rstrip() for line in lines).strip("\n") for name, lines in texts.items()}


def read_document() -> str:
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


def split_at(text: str, name: str) -> List[str]:
    """Return the text before, in, and after a part of the page."""
    before, begin, rest = text.partition("<!-- %s: begin -->\n" % name)
    inside, end, after = rest.partition("<!-- %s: end -->\n" % name)
    return [before + begin, inside, end + after]


def make_daemon() -> Any:
    daemon = Daemon("127.0.0.1")
    daemon.register(Thermometer(), "thermometer")
    return daemon


def write_parts() -> None:
    with daemon_thread(make_daemon()) as daemon:
        frames = list(conversation(daemon))
    text = read_document()
    for name, inside in parts(frames).items():
        before, _, after = split_at(text, name)
        text = before + inside + after
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(text)


def frames_on_the_page() -> List[Frame]:
    frames: List[Frame] = []
    for line in split_at(read_document(), "conversation")[1].splitlines():
        title = re.match(r" {4}(client|server): ", line)
        octets = re.match(r" {4}((?:[0-9a-f]{2} ){1,16})", line + " ")
        if title:
            frames.append(Frame(title[1], b""))
        elif octets:
            frames[-1] = Frame(frames[-1].sender, frames[-1].data + bytes.fromhex(octets[1]))
    return frames


# ---------------------------------------------------------------- tests

class Page(ServerTestCase):
    maxDiff = None

    def test_a_server_answers_as_the_page_says(self) -> None:
        daemon = self.daemon()
        daemon.register(Thermometer(), "thermometer")
        self.run_loop(daemon)
        stream = STREAM_ID_ON_THE_PAGE
        frames = frames_on_the_page()
        self.assertEqual(11, len(frames))
        client = self.connect(daemon)
        for frame in frames:
            if frame.sender == CLIENT:
                client.send(frame.data.replace(STREAM_ID_ON_THE_PAGE, stream))
                continue
            reply = read_frame(client)
            found = STREAM_ID.search(reply)
            stream = found[0] if found else stream
            self.assertEqual(frame.data, STREAM_ID.sub(STREAM_ID_ON_THE_PAGE, reply), frame.title())

    def test_a_client_asks_as_the_page_says(self) -> None:
        frames = [frame for frame in frames_on_the_page() if frame.data[6] != protocol.MSG_PING]

        def play(peer: Peer) -> List[bytes]:
            received = []
            client = RawClient(peer.sock)
            for frame in frames:
                if frame.sender == CLIENT:
                    received.append(read_frame(client))
                else:
                    peer.sock.sendall(frame.data)
            return received

        with ScriptedServer(play) as server:
            config.SERIALIZER = "json"
            config.SHARED_MEMORY = False  # the id of the host is not the same everywhere
            proxy = Proxy("PYRO:thermometer@" + server.location)
            current_context.correlation_id = CORRELATION_ID
            self.at_end.callback(setattr, current_context, "correlation_id", None)
            with proxy:
                self.assertEqual(31.0, proxy.celsius("attic"))
                items = proxy.celsius("attic", days=2)
                self.assertEqual(29.5, next(items))
                items.close()
        self.assertEqual([frame.data for frame in frames if frame.sender == CLIENT], server.results[0])

    @unittest.skipUnless(importlib.util.find_spec("msgpack"), "msgpack is not installed, and the page shows what it writes")
    def test_parts_made_from_the_sources(self) -> None:
        text = read_document()
        for name, expected in parts(frames_on_the_page()).items():
            self.assertEqual(expected, split_at(text, name)[1], "python -m tests.docs.test_wire_protocol write")

    def test_numbers_in_the_tables(self) -> None:
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in read_document().splitlines()
                if line.startswith("|")]
        fields, offset = [], 0
        for name, size in HEADER_FIELDS:
            fields.append([str(offset), str(size), name])
            offset += size
        self.assertEqual(fields, [row[:3] for row in rows if len(row) == 4 and row[0].isdigit()])
        named = [(int(row[0]), row[1].partition(":")[0]) for row in rows if len(row) == 3 and row[0].isdigit()]
        self.assertEqual([*TYPES.items(), *FLAGS.items()], named)
        for serializer_id, serializer in serializers.serializers_by_id.items():
            self.assertIn("%d %s" % (serializer_id, serializer.name), read_document())


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write_parts()
    else:
        unittest.main()
