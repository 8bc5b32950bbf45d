"""Features of the protocol beyond those of release 5.17, which two peers negotiate in the handshake.

A client announces the features that it understands in the annotation ``FEAT`` of its CONNECT message, as ASCII tokens
separated by blanks. The server answers with those of them that it supports, in the same annotation of its CONNECTOK
message. Peers of other releases ignore the annotation and never send one: toward them nothing changes.
"""
from __future__ import annotations

import functools
import struct
from typing import Container, Dict, FrozenSet, Mapping, Optional, Sequence

from .. import config
from ..protocol import Buffer

FEATURES_ANNOTATION = "FEAT"
DEADLINE_ANNOTATION = "DLMS"  # milliseconds that are left of a request's deadline, in ASCII digits
# In a CONNECTFAIL: milliseconds after which the client should try again, in ASCII digits. It is not negotiated, because a full
# server refuses clients without reading anything from them. Other releases ignore it.
WAIT_ANNOTATION = "WAIT"
TRACE_ANNOTATION = "TRAC"  # of a request: the trace context of its caller, see _observe.trace_context
DEADLINES = "dl"  # requests may carry DEADLINE_ANNOTATION
CANCELLATION = "cx"  # Pyro.Daemon understands cancel(correlation_id)
TAGGED_TYPES = "ty"  # instances of registered types travel with the names of their types
LITERAL_BYTES = "by"  # bytes travel as literals in serpent text
BUFFERS = "buf"  # large buffers may travel beside the payload, see _wire.chunks
SHARED_MEMORY = "shm"  # the peers are on the same host; the token also has its id, "shm=..."
OUT_OF_ORDER = "ooo"  # replies may come in another order than their requests
AUTHENTICATION = "auth"  # the handshake may have a second CONNECT message, see _auth.exchange
CALLBACKS = "cb"  # Pyro.Daemon understands offer_connection(secret)
TRACING = "tr"  # requests may carry TRACE_ANNOTATION
TEXT_BYTES = "jb"  # results over json may contain bytes, as dicts with base64
SUPPORTED = (DEADLINES, CANCELLATION, TAGGED_TYPES, LITERAL_BYTES, BUFFERS, OUT_OF_ORDER, AUTHENTICATION, CALLBACKS,
             TEXT_BYTES, TRACING)
# Announced only by clients that have several calls in flight on a connection.
OF_PIPELINES = frozenset((OUT_OF_ORDER,))

# Features of the payloads, as bits: the number of the variant of a serializer, see SerializerBase.for_dialect.
_DIALECT_BITS = {TAGGED_TYPES: 1, LITERAL_BYTES: 2}
_OF_PAYLOADS = frozenset((*_DIALECT_BITS, BUFFERS))
_NONE: FrozenSet[str] = frozenset()
_BUFFERS = frozenset((BUFFERS,))

# Equal sets as one object, because each call looks up the features of its connection. Each is a set of SUPPORTED features.
_known_sets: Dict[FrozenSet[str], FrozenSet[str]] = {}

MAX_ANNOUNCEMENT_BYTES = 1024
MAX_DEADLINE_DIGITS = 10  # of milliseconds: 115 days
ONLY_DEADLINE = frozenset((DEADLINE_ANNOTATION,))  # the annotations of most requests that have some
_DEADLINE_HEAD, _DEADLINE_ID = struct.Struct("!4sI"), DEADLINE_ANNOTATION.encode("ascii")


def announcement(features: Container[str], host: str = "") -> bytes:
    """Return the value of the annotation that names these features.

    Args:
        host: the id of the host that both peers are on.
    """
    tokens = [feature for feature in SUPPORTED if feature in features]
    if host and SHARED_MEMORY in features:
        tokens.append("%s=%s" % (SHARED_MEMORY, host))
    return " ".join(tokens).encode("ascii")


def _disabled() -> FrozenSet[str]:
    """Return the features that the settings switch off."""
    return _NONE if config.OUT_OF_BAND_BUFFERS else _BUFFERS


@functools.lru_cache(maxsize=None)
def _announcement(dialect: bool, pipelines: bool, disabled: FrozenSet[str]) -> bytes:
    return announcement(set(SUPPORTED).difference(() if dialect else _OF_PAYLOADS, () if pipelines else OF_PIPELINES,
                                                  (AUTHENTICATION, CALLBACKS, TEXT_BYTES), disabled))


def with_announcement(annotations: Mapping[str, Buffer], dialect: bool = True, pipelines: bool = False,
                      authenticates: bool = False, host: str = "", extra: Sequence[str] = ()) -> Dict[str, Buffer]:
    """Return the annotations of a CONNECT message, with the announcement of the features that the client understands.

    Args:
        dialect: false leaves out those that change the payloads.
        pipelines: the client has several calls in flight on a connection.
        authenticates: the client can prove who it is.
        host: the id of the host that both peers seem to be on, if they may share memory; otherwise empty.
        extra: features that only some clients have: CALLBACKS if the connection is offered to the server, TEXT_BYTES.
    """
    value = _announcement(dialect, pipelines, _disabled())
    if authenticates:
        value = b"%s %s" % (value, AUTHENTICATION.encode())
    for feature in extra:
        value = b"%s %s" % (value, feature.encode())
    if host and dialect:
        value = b"%s %s=%s" % (value, SHARED_MEMORY.encode(), host.encode())
    return {**annotations, FEATURES_ANNOTATION: value}


def parse(annotation: Optional[Buffer], host: str = "") -> Optional[FrozenSet[str]]:
    """Return the features of this release that a peer announced, None if it announced nothing.

    Tokens that are not known here are ignored, as is an announcement of more than ``MAX_ANNOUNCEMENT_BYTES``.

    Args:
        host: the id of this host, if memory may be shared with the peer; otherwise empty.
    """
    if annotation is None:
        return None
    if len(annotation) > MAX_ANNOUNCEMENT_BYTES:
        return frozenset()
    tokens = bytes(annotation).decode("ascii", "replace").split(" ")
    found = frozenset(SUPPORTED).intersection(tokens) - _disabled()
    if host and "%s=%s" % (SHARED_MEMORY, host) in tokens:
        found |= {SHARED_MEMORY}
    return _known_sets.setdefault(found, found)


def without_dialect(features: Optional[FrozenSet[str]]) -> Optional[FrozenSet[str]]:
    """Return these features without those that only the serializers of this package have."""
    found = None if features is None else features.difference(_DIALECT_BITS)
    return None if found is None else _known_sets.setdefault(found, found)


def dialect_of(features: Optional[Container[str]]) -> int:
    """Return the number of the dialect of payloads that peers with these features use; 0 toward other releases."""
    if features is None:
        return 0
    return sum([bit for feature, bit in _DIALECT_BITS.items() if feature in features])


def encode_deadline(seconds_left: float) -> bytes:
    """Return the value of ``DEADLINE_ANNOTATION`` for a request that has this many seconds left; 0 if there are none. Also of
    ``WAIT_ANNOTATION``.
    """
    milliseconds = int(max(seconds_left, 0.0) * 1000)
    return b"%d" % min(milliseconds, 10 ** MAX_DEADLINE_DIGITS - 1)


def deadline_chunk(seconds_left: float) -> bytes:
    """Return ``DEADLINE_ANNOTATION`` as it is in a message."""
    value = encode_deadline(seconds_left)
    return _DEADLINE_HEAD.pack(_DEADLINE_ID, len(value)) + value


def parse_deadline_chunk(chunk: bytes) -> Optional[float]:
    """Return the seconds that a request has left whose annotations are this one; None if they are others."""
    size = len(chunk) - _DEADLINE_HEAD.size
    if size < 1 or not chunk.startswith(_DEADLINE_HEAD.pack(_DEADLINE_ID, size)):
        return None
    return parse_deadline(chunk[_DEADLINE_HEAD.size:])


def parse_deadline(annotation: Buffer) -> Optional[float]:
    """Return the seconds that a request has left, None if the annotation is not a number."""
    text = bytes(annotation[:MAX_DEADLINE_DIGITS + 1])
    return int(text) / 1000 if len(text) <= MAX_DEADLINE_DIGITS and text.isdigit() else None
