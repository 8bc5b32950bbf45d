"""Cases: what is given to whom, out of a seed and a number. The same seed and number always make the same case."""
from __future__ import annotations

import random
from typing import Any, List, NamedTuple

from ..drafts import Draft, draft_of
from ..wire.recordings import TYPES
from . import corpus, mutations, proofs, values

READER, SESSION, REPLY, PAYLOAD, URI, PROOFS = "reader", "session", "reply", "payload", "uri", "proofs"
# how often each is chosen
KINDS = [READER] * 4 + [SESSION] * 10 + [REPLY] * 2 + [PAYLOAD] * 3 + [URI]


class Case(NamedTuple):
    """What is given to a target.

    Attributes:
        kind: which target.
        pieces: the bytes, in the pieces in which they arrive (one piece for a payload; the text of a URI; annotations).
        handshake_done: for a session: whether the handshake is complete.
        serializer: for a payload: the number of its serializer.
        messages: how many damaged messages (payloads, texts) there are in it.
    """

    kind: str
    pieces: List[bytes]
    handshake_done: bool = True
    serializer: int = 0
    messages: int = 1


def make_case(seed: int, number: int) -> Case:
    """Make a case."""
    rng = random.Random(seed << 40 | number)
    if number % 50 == 49:
        return Case(PROOFS, proofs.annotations(rng))
    kind = rng.choice(KINDS)
    if kind == READER:
        stream, _ = _stream(rng)
        return Case(READER, mutations.split(rng, stream))
    if kind == SESSION:
        stream, handshake_done = _stream(rng)
        return Case(SESSION, mutations.split(rng, stream), handshake_done)
    if kind == REPLY:
        return Case(REPLY, [mutations.mutate(rng, draft_of(rng.choice(corpus.replies())))])
    if kind == PAYLOAD:
        return _payload(rng)
    return Case(URI, [_uri(rng).encode("utf-8", "surrogatepass")])


def _stream(rng: random.Random) -> Any:
    """Return what a client sends, a damaged message between sound ones, and whether the handshake was complete."""
    conversation = rng.choice(corpus.conversations())
    if rng.random() < 0.1:
        return _made_up(rng), rng.random() < 0.9
    frames = conversation.frames
    at = rng.randrange(len(frames))
    first = at if conversation.handshake_done and rng.random() < 0.5 else max(0, at - 2)
    before = b"".join(frame.encoded() for frame in frames[first:at])
    behind = b"".join(frame.encoded() for frame in frames[at + 1:at + 2]) if rng.random() < 0.3 else b""
    handshake_done = frames[first].type != TYPES["CONNECT"]
    return before + mutations.mutate(rng, draft_of(frames[at])) + behind, handshake_done != (rng.random() < 0.02)


def _made_up(rng: random.Random) -> bytes:
    """A call of anything with anything."""
    serializer = rng.choice(list(corpus.payloads()))
    call = [rng.choice(values.NAMES), rng.choice(values.NAMES), [values.any_value(rng) for _ in range(rng.randrange(3))],
            rng.choice(({}, None, {"x": 1}, values.any_value(rng)))]
    value = dict(zip(("object", "method", "params", "kwargs"), call)) if serializer == corpus.JSON else tuple(call)
    try:
        payload = corpus.encoded(serializer, value)
    except Exception:  # this format has no form for some part of it
        payload = b""
    draft = Draft(TYPES["INVOKE"], serializer, rng.randrange(65536), rng.choice((0, 0, 0, 4, 8, 12, 32)), payload,
                  _buffers(rng) if rng.random() < 0.4 else ())
    return draft.encoded() if rng.random() < 0.7 else mutations.mutate(rng, draft)


def _buffers(rng: random.Random) -> Any:
    """Annotations that say that they are large buffers, or where those are."""
    names = ("B000", "B000", "B001", "B999", "SHMB", "SHMO")
    return tuple([(rng.choice(names), rng.choice((b"x" * 16, b"", bytes(18), bytes(24), b"\xff" * 36)))
                  for _ in range(rng.randrange(1, 4))])


def _payload(rng: random.Random) -> Case:
    if rng.random() < 0.1:
        return Case(PAYLOAD, [_pumped(rng)], serializer=rng.choice((corpus.SERPENT, corpus.SERPENT, corpus.JSON)))
    serializer = rng.choice(list(corpus.payloads()))
    payload = rng.choice(corpus.payloads()[serializer])
    if rng.random() < 0.5:
        payload = mutations.scrambled(rng, payload)
    else:
        draft = Draft(TYPES["INVOKE"], serializer, payload=payload)
        mutations.change_value(rng, draft)
        serializer, payload = draft.serializer, draft.payload
    return Case(PAYLOAD, [payload], serializer=serializer)


_PIECES = ("[", "]", "(", ")", "{", "}", ",", ":", "#", "# ", "\n", "\\", "\\\n", " ", "'", '"', "b'", "1", "1j", "-", "()",
           "[]", "{}", "{1}", "{1:2}", "(1,)", "'a'", "'\\''", "1,", "'a',", "[1],", "set(),", "{1:{2}},", "None,", "0x1,")


def _pumped(rng: random.Random) -> bytes:
    """Repeat pieces of literals many times, as nested quantifiers and deep recursion would have it."""
    text = ""
    for _ in range(rng.randrange(1, 5)):
        piece = "".join([rng.choice(_PIECES) for _ in range(rng.randrange(1, 3))])
        text += piece * rng.choice((1, 3, 60, 150, 1000, 3000))
    return ("[%s]" % text if rng.random() < 0.7 else text).encode()


def _uri(rng: random.Random) -> str:
    text = rng.choice(corpus.uris())
    for _ in range(rng.randrange(1, 4)):
        where = rng.randrange(len(text) + 1)
        until = where + rng.randrange(3)
        text = text[:where] + rng.choice(("", ":", "@", "[", "]", "./u:", " ", "\0", "65536", "-1", "\u0661", "\ud800", ",",
                                          "PYRO:", "pyroname:", "::1", "%", "é", "\n", "a" * 300)) + text[until:]
    return text
