"""Reads the recordings.

A file holds one group: ``servers`` (what a scenario was recorded with), ``abbreviations`` of long texts, ``shared steps``
that many scenarios begin with, and ``scenarios``: ``[name, serializer, server (an index), steps]``. Steps are:

* ``["C0 INVOKE json 1 ONEWAY+CORR_ID corr=<hex>", payload, annotations]``: a message on connection 0, sent by the client
  (``C``) or the server (``S``): type, serializer, sequence number, flags, correlation id. Payloads and the values of
  annotations are bytes, written as characters 0 to 255. A server's correlation id is left out if it made it up.
* ``["C0 raw", "<hex>"]``: bytes that are no sound message
* ``["S0 closes"]``: the server is the first one to close the connection (the client closes the others when it is done)
* what the calling code got: ``["returned", type, repr]``, ``["raised", class, args, "remote" or "local", attributes]``
  (args are null where the text is the client library's own), and notes about that
* a text stands for shared steps

In payloads ``‹name›`` stands for an abbreviation, ``‹ab*3›`` for a repetition: ababab.
"""
from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import struct
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS = ("connect", "calls", "types", "serpent_bytes_repr", "exceptions", "access", "oneway", "batch", "stream", "proxies",
          "annotations", "compression", "ping_and_limits", "daemon_object", "nameserver", "client_faults",
          "unixsocket_and_existing")

HEADER = struct.Struct("!4sHBBHHII16sHH")
TYPES = {"CONNECT": 1, "CONNECTOK": 2, "CONNECTFAIL": 3, "INVOKE": 4, "RESULT": 5, "PING": 6}
SERIALIZERS = {"serpent": 1, "marshal": 2, "json": 3, "msgpack": 4}
FLAGS = {"EXCEPTION": 1, "COMPRESSED": 2, "ONEWAY": 4, "BATCH": 8, "ITEMSTREAMRESULT": 16, "KEEPSERIALIZED": 32, "CORR_ID": 64}

# Scenarios that need a newer Python.
_NEED_PYTHON = {"exception_group": (3, 11), "exception_syntaxerror": (3, 10)}

NO_CORRELATION = bytes(16)
MADE_UP_CORRELATION = b"made up anew   !"

Annotations = Tuple[Tuple[str, bytes], ...]


class Frame(NamedTuple):
    """A message, taken apart."""

    type: int
    serializer: int
    seq: int
    flags: int
    payload: bytes
    annotations: Annotations = ()
    correlation: bytes = NO_CORRELATION

    @property
    def annotation_dict(self) -> Dict[str, bytes]:
        return dict(self.annotations)

    def encoded(self) -> bytes:
        """Return the message's bytes."""
        chunks = b"".join(key.encode("latin-1") + struct.pack("!I", len(value)) + value for key, value in self.annotations)
        return HEADER.pack(b"PYRO", 502, self.type, self.serializer, self.flags, self.seq, len(self.payload), len(chunks),
                           self.correlation, 0, 0x4dc5) + chunks + self.payload


class Message(NamedTuple):
    """A step: bytes on a connection; frame is None if they are no sound message."""

    side: str  # C or S: who sends it
    connection: int
    data: bytes
    frame: Optional[Frame]


class Close(NamedTuple):
    """A step: the end of a connection."""

    side: str
    connection: int


class Outcome(NamedTuple):
    """A step: what the code that uses the client got."""

    kind: str
    values: Tuple[Any, ...]


Step = Union[Message, Close, Outcome]


class Scenario(NamedTuple):
    """One recorded conversation."""

    group: str
    name: str
    serializer: Optional[str]
    server: Optional[Dict[str, Any]]
    steps: List[Step]

    @property
    def title(self) -> str:
        return "%s %s %s" % (self.group, self.name, self.serializer)


class Malformed(ValueError):
    """These bytes are no message."""


def split_frame(data: bytes) -> Frame:
    """Split the bytes of one message into its parts."""
    tag, version, kind, serializer, flags, seq, size, annotations_size, correlation, reserved, magic = HEADER.unpack(
        data[:HEADER.size])
    start = HEADER.size + annotations_size
    if (tag, version, reserved, magic) != (b"PYRO", 502, 0, 0x4dc5) or len(data) != start + size:
        raise Malformed(data[:60])
    annotations = []
    at = HEADER.size
    while at < start:
        end = at + 8 + int.from_bytes(data[at + 4:at + 8], "big")
        annotations.append((data[at:at + 4].decode("latin-1"), data[at + 8:end]))
        at = end
    return Frame(kind, serializer, seq, flags, data[start:], tuple(annotations), correlation)


def frame_size(data: bytes) -> int:
    """Return how many bytes the message has that begins so; as many as its header if that is not complete."""
    if len(data) < HEADER.size:
        return HEADER.size
    size, annotations_size = struct.unpack("!II", data[12:20])
    return HEADER.size + int(size) + int(annotations_size)


class _Reader:
    """Turns one file into scenarios."""

    def __init__(self, content: Dict[str, Any]) -> None:
        self._content = content
        self._abbreviations = content["abbreviations"]

    def scenarios(self) -> List[Scenario]:
        servers = self._content["servers"]
        return [Scenario(self._content["group"], name, serializer, None if server is None else servers[server],
                         self._steps(steps))
                for name, serializer, server, steps in self._content["scenarios"]]

    def _steps(self, steps: List[Any]) -> List[Step]:
        result: List[Step] = []
        for step in steps:
            shared = self._content["shared steps"][step] if isinstance(step, str) else [step]
            result.extend(map(self._step, shared))
        return result

    def _step(self, step: List[Any]) -> Step:
        on_connection = re.match(r"([CS])(\d+) (\S+)", step[0])
        if not on_connection:
            return Outcome(step[0], tuple(step[1:]))
        side, number, kind = on_connection.group(1), int(on_connection.group(2)), on_connection.group(3)
        if kind == "closes":
            return Close(side, number)
        if kind == "raw":
            return Message(side, number, bytes.fromhex(step[1]), None)
        frame = self._frame(side, step[0].split()[1:], *step[1:])
        return Message(side, number, frame.encoded(), frame)

    def _frame(self, side: str, head: List[str], payload: str, annotations: Any = ()) -> Frame:
        correlation = head.pop()[5:] if head[-1].startswith("corr=") else None
        flags = sum(FLAGS[flag] if flag in FLAGS else int(flag, 16) for flag in "".join(head[3:]).split("+") if flag)
        if correlation:
            correlation_id = bytes.fromhex(correlation.rjust(32, "0"))
        else:
            correlation_id = MADE_UP_CORRELATION if side == "S" and flags & FLAGS["CORR_ID"] else NO_CORRELATION
        return Frame(_number(head[0], TYPES), _number(head[1], SERIALIZERS), int(head[2]), flags, self._bytes(payload),
                     tuple((key, self._bytes(value)) for key, value in annotations), correlation_id)

    def _bytes(self, text: str) -> bytes:
        return self._expanded(text).encode("latin-1")

    def _expanded(self, text: str) -> str:
        return re.sub("‹(.+?)›", self._expansion, text, flags=re.DOTALL)

    def _expansion(self, found: Any) -> str:
        unit, star, count = found.group(1).rpartition("*")
        return unit * int(count) if star else self._expanded(self._abbreviations[found.group(1)])


def _number(text: str, names: Dict[str, int]) -> int:
    return names[text] if text in names else int(text)


def load(group: str) -> List[Scenario]:
    """Return the scenarios of a group, in the order of the recording."""
    with open(os.path.join(HERE, group + ".json"), encoding="utf-8") as file:
        return _Reader(json.load(file)).scenarios()


def runs_here(scenario: Scenario) -> bool:
    """Return whether a scenario makes sense with this Python and what is installed."""
    if scenario.serializer == "msgpack" and importlib.util.find_spec("msgpack") is None:
        return False
    if scenario.name.endswith("_path") and pathlib.PurePath.__module__ != "pathlib":
        return False  # Python has moved the class, so it has another name on the wire
    if scenario.serializer == "serpent" and scenario.name.endswith("_complex_inf") and sys.version_info >= (3, 14):
        return False  # the text inf-0.0j means inf-0j there, and inf+0j in earlier versions of Python
    return sys.version_info >= _NEED_PYTHON.get(scenario.name, (3,))
