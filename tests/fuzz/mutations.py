"""What is done to a message: its header, its annotations, its payload, and the bytes of the whole."""
from __future__ import annotations

import random
import zlib
from typing import Callable, List, Tuple

from ..drafts import Draft
from . import collisions, corpus, values

FLAG_BITS = (1, 2, 4, 8, 16, 32, 64, 128, 0x8000)
COMPRESSED = 2
LENGTHS = (0, 1, 7, 8, 39, 40, 41, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff)
TOKENS = (b"__class__", b"'", b'"', b"\\", b"(", b")", b"[", b"{", b"}", b",", b":", b"\0", b"\xff", b"nan", b"1e999",
          b"None", b"null", b"#", b"\n", b"\xdb\xff\xff\xff\x7f", b"\xdd\xff\xff\xff\xff", b"\xa9\x01r\0\0\0\0", b"\xe3",
          b"\\x5f\\u005f", b"((((((((((", b"[[[[[[[[[[", b"-" * 50, b"9" * 5000, b"b''", b"1j", b"...", b"\xc3\x28")
BOMB = zlib.compress(bytes(2000000))

Mutation = Callable[[random.Random, Draft], None]


# ------------------------------------------------------------ header

def _a_field(rng: random.Random, draft: Draft) -> None:
    name, choices = rng.choice(_FIELDS)
    setattr(draft, name, rng.choice(choices) if choices else rng.randrange(256))


_FIELDS: Tuple[Tuple[str, Tuple[object, ...]], ...] = (
    ("tag", (b"PYRP", b"pyro", b"\x16\x03\x01\x02", b"GET ", bytes(4))), ("version", (0, 501, 503, 0xffff, 46)),
    ("type", (0, 1, 2, 3, 4, 5, 6, 7, 255)), ("type", (1, 4, 4, 4, 6)), ("type", ()),
    ("serializer", (0, 1, 2, 3, 4, 5, 42, 255)),
    ("serializer", (1, 2, 3, 4)), ("seq", (0, 1, 0xffff)), ("reserved", (1, 0xffff)), ("magic", (0, 0x4dc4, 0xffff)),
    ("correlation", (bytes(16), b"\xff" * 16)))


def _the_flags(rng: random.Random, draft: Draft) -> None:
    for _ in range(rng.randrange(1, 4)):
        draft.flags ^= rng.choice(FLAG_BITS)


def _a_length(rng: random.Random, draft: Draft) -> None:
    if rng.random() < 0.5:
        draft.payload_length = _a_lie(rng, len(draft.payload))
    else:
        draft.annotations_length = _a_lie(rng, sum(8 + len(value) for _, value, _ in draft.annotations))


def _a_lie(rng: random.Random, truth: int) -> int:
    return rng.choice(LENGTHS) if rng.random() < 0.4 else max(0, truth + rng.choice((-40, -8, -2, -1, 1, 2, 8, 40, 1000)))


# ------------------------------------------------------------ annotations

def _the_annotations(rng: random.Random, draft: Draft) -> None:
    key = rng.choice((b"BLBI", b"STRM", b"CORR", b"TEST", b"\xff\xff\xff\xff", b"\0\0\0\0"))
    value = rng.choice((b"", b"value", b"x" * 300, corpus.encoded(corpus.MARSHAL, ("info", "calls", "echo")),
                        rng.choice(corpus.payloads()[corpus.MARSHAL])))
    length = None if rng.random() < 0.6 else _a_lie(rng, len(value))
    draft.annotations.insert(rng.randrange(len(draft.annotations) + 1), (key, value, length))
    if key == b"BLBI" and rng.random() < 0.7:
        draft.flags |= 32


def _drop_an_annotation(rng: random.Random, draft: Draft) -> None:
    if draft.annotations:
        draft.annotations.pop(rng.randrange(len(draft.annotations)))
    else:
        draft.flags ^= 32


# ------------------------------------------------------------ payload

def change_value(rng: random.Random, draft: Draft) -> None:
    """Change a value in the payload, in its own format or (sometimes) in another one."""
    formats = corpus.payloads()
    if draft.serializer not in formats:
        return
    try:
        value = values.damaged(rng, corpus.plain(draft.serializer, draft.payload))
        written_in = draft.serializer if rng.random() < 0.8 else rng.choice(list(formats))
        draft.payload = corpus.encoded(written_in, value)
    except Exception:  # damaged before, or this format has no form for it
        return
    if rng.random() < 0.7:
        draft.serializer = written_in


def _bytes_of_the_payload(rng: random.Random, draft: Draft) -> None:
    draft.payload = scrambled(rng, draft.payload)


def _another_payload(rng: random.Random, draft: Draft) -> None:
    choices = corpus.payloads()
    draft.payload = rng.choice(choices[rng.choice(list(choices))])


def _keys_with_equal_hashes(rng: random.Random, draft: Draft) -> None:
    draft.serializer, draft.payload = corpus.MARSHAL, collisions.call(rng)


def _compress(rng: random.Random, draft: Draft) -> None:
    data = BOMB if rng.random() < 0.1 else zlib.compress(draft.payload)
    if rng.random() < 0.3:
        data = scrambled(rng, data)
    draft.payload = data
    draft.flags |= COMPRESSED


def scrambled(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, insert."""
    result = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        where = rng.randrange(len(result) + 1)
        until = min(len(result), where + rng.choice((1, 2, 4, 8, 40)))
        roll = rng.randrange(5)
        if roll == 0 and until > where:
            result[where] = result[where] ^ 1 << rng.randrange(8)
        elif roll == 1:
            del result[where:until]
        elif roll == 2:
            result[where:where] = result[where:until] * rng.choice((1, 2, 30))
        elif roll == 3:
            result[where:until if rng.random() < 0.5 else where] = rng.choice(TOKENS)
        else:
            result[where:until] = bytes(rng.randrange(256) for _ in range(until - where))
    return bytes(result)


_MUTATIONS: List[Tuple[int, Mutation]] = [
    (3, _a_field), (3, _the_flags), (2, _a_length), (2, _the_annotations), (1, _drop_an_annotation), (8, change_value),
    (4, _bytes_of_the_payload), (1, _another_payload), (1, _compress),
    (1, _keys_with_equal_hashes)]
_ALL = [mutation for weight, mutation in _MUTATIONS for _ in range(weight)]


def mutate(rng: random.Random, draft: Draft) -> bytes:
    """Damage a message in one to four ways, and give its bytes."""
    for _ in range(rng.choice((1, 1, 2, 3, 4))):
        rng.choice(_ALL)(rng, draft)
    data = draft.encoded()
    roll = rng.random()
    if roll < 0.05:
        return scrambled(rng, data)
    if roll < 0.08:
        return data[:rng.randrange(len(data) + 1)]
    return data


def split(rng: random.Random, data: bytes) -> List[bytes]:
    """Cut data into the pieces in which the network delivers it."""
    roll = rng.random()
    if roll < 0.6 or len(data) < 2:
        return [data]
    if roll < 0.7 and len(data) < 500:
        return [data[at:at + 1] for at in range(len(data))]
    cuts = sorted(rng.randrange(len(data)) for _ in range(rng.choice((1, 2, 5))))
    return [data[start:end] for start, end in zip([0] + cuts, cuts + [len(data)]) if end > start]
