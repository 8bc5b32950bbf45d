"""What the fuzzer starts from: the golden captures, as conversations, payloads and texts."""
from __future__ import annotations

import ast
import contextlib
import functools
import json
import marshal
import re
from Pyro5._values.serpent import chunks
from typing import Any, Dict, List, NamedTuple, Tuple

from Pyro5._values.marshal import check

from ..wire import recordings
from ..wire.recordings import Frame, Message

try:
    import msgpack
except ImportError:
    msgpack = None

SERPENT, MARSHAL, JSON, MSGPACK = 1, 2, 3, 4
LONGEST = 8192  # bytes; longer messages have nothing in them that the others have not, and cost time
MESSAGES_EACH = 6  # of a conversation
_TAG = re.compile(rb"__class__['\"]?: ?['\"]([^'\"]+)")
_URI = re.compile(rb"PYRO(?:NAME|META)?:[^'\" ,)\]]+")


class Conversation(NamedTuple):
    """What one client sent over one connection; handshake_done: whether it begins after the handshake."""

    title: str
    frames: Tuple[Frame, ...]
    handshake_done: bool


@functools.lru_cache(maxsize=None)
def conversations() -> List[Conversation]:
    """Return what clients sent, connection by connection."""
    found: List[Conversation] = []
    for group in recordings.GROUPS:
        for scenario in recordings.load(group):
            if not recordings.runs_here(scenario):
                continue
            lines: Dict[int, List[Frame]] = {}
            for step in scenario.steps:
                if isinstance(step, Message) and step.side == "C" and step.frame and len(step.data) <= LONGEST:
                    lines.setdefault(step.connection, []).append(step.frame)
            found += [Conversation(scenario.title, tuple(frames[:MESSAGES_EACH]),
                                   frames[0].type != recordings.TYPES["CONNECT"])
                      for frames in lines.values()]
    return found


@functools.lru_cache(maxsize=None)
def replies() -> List[Frame]:
    """Return what servers sent."""
    return [step.frame for group in recordings.GROUPS for scenario in recordings.load(group)
            if recordings.runs_here(scenario) for step in scenario.steps
            if isinstance(step, Message) and step.side == "S" and step.frame and len(step.data) <= LONGEST]


@functools.lru_cache(maxsize=None)
def payloads() -> Dict[int, List[bytes]]:
    """Return all payloads, by serializer; those of requests and those of replies."""
    found: Dict[int, Dict[bytes, None]] = {SERPENT: {}, MARSHAL: {}, JSON: {}}
    if msgpack is not None:
        found[MSGPACK] = {}
    for frame in [frame for conversation in conversations() for frame in conversation.frames] + replies():
        if frame.serializer in found and not frame.flags & recordings.FLAGS["COMPRESSED"]:
            found[frame.serializer][frame.payload] = None
    return {serializer: list(each) for serializer, each in found.items()}


@functools.lru_cache(maxsize=None)
def values() -> List[Any]:
    """Return the plain values of all payloads."""
    found = []
    for serializer, each in payloads().items():
        for payload in each:
            with contextlib.suppress(Exception):  # recorded faults: no value
                found.append(plain(serializer, payload))
    return found


def plain(serializer: int, payload: bytes) -> Any:
    """Decode a payload without looking at what the classes in it mean.

    Raises:
        Exception: it is malformed.
    """
    if serializer == SERPENT:
        text = payload.decode("utf-8")
        chunks.check_complexity(text)
        return ast.literal_eval(text)
    if serializer == MARSHAL:
        return check.loads(payload)
    if serializer == JSON:
        return json.loads(payload)
    return msgpack.unpackb(payload, raw=False, strict_map_key=False)


def encoded(serializer: int, value: Any) -> bytes:
    """Encode plain data; what a format does not know goes as text."""
    if serializer == SERPENT:
        return b"# serpent utf-8 python3.2\n" + repr(value).encode("utf-8", "surrogatepass")
    if serializer == MARSHAL:
        return marshal.dumps(value)
    if serializer == JSON:
        return json.dumps(_with_text_keys(value), default=repr, ensure_ascii=False).encode("utf-8", "surrogatepass")
    packed: bytes = msgpack.packb(value, default=repr, unicode_errors="surrogatepass")
    return packed


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key): _with_text_keys(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_text_keys(each) for each in value]
    return value


@functools.lru_cache(maxsize=None)
def tags() -> List[str]:
    """Return the names of classes that occur."""
    everything = b"\n".join(payload for each in payloads().values() for payload in each)
    return sorted({tag.decode("latin-1") for tag in _TAG.findall(everything)})


@functools.lru_cache(maxsize=None)
def uris() -> List[str]:
    """Return the URIs that occur."""
    everything = b"\n".join(payload for each in payloads().values() for payload in each)
    return sorted({uri.decode("latin-1") for uri in _URI.findall(everything)})
