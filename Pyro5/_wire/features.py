"""Features of the protocol beyond those of release 5.17, which two peers negotiate in the handshake.

A client announces the features that it understands in the annotation ``FEAT`` of its CONNECT message, as ASCII tokens
separated by blanks. The server answers with those of them that it supports, in the same annotation of its CONNECTOK
message. Peers of other releases ignore the annotation and never send one: toward them nothing changes.
"""
from __future__ import annotations

from typing import Container, Dict, FrozenSet, Mapping, Optional

from ..protocol import Buffer

__all__ = ["FEATURES_ANNOTATION", "DEADLINE_ANNOTATION", "DEADLINES", "CANCELLATION", "SUPPORTED", "announcement", "parse",
           "with_announcement"]

FEATURES_ANNOTATION = "FEAT"
DEADLINE_ANNOTATION = "DLMS"  # milliseconds that are left of a request's deadline, in ASCII digits
DEADLINES = "dl"  # requests may carry DEADLINE_ANNOTATION
CANCELLATION = "cx"  # Pyro.Daemon understands cancel(correlation_id)
SUPPORTED = (DEADLINES, CANCELLATION)

MAX_ANNOUNCEMENT_BYTES = 1024
MAX_DEADLINE_DIGITS = 10  # of milliseconds: 115 days


def announcement(features: Container[str]) -> bytes:
    """Return the value of the annotation that names these features."""
    return " ".join([feature for feature in SUPPORTED if feature in features]).encode("ascii")


_ALL = announcement(SUPPORTED)


def with_announcement(annotations: Mapping[str, Buffer]) -> Dict[str, Buffer]:
    """Return the annotations of a CONNECT message, with the announcement of all features that this release has."""
    return {**annotations, FEATURES_ANNOTATION: _ALL}


def parse(annotation: Optional[Buffer]) -> Optional[FrozenSet[str]]:
    """Return the features of this release that a peer announced, None if it announced nothing.

    Tokens that are not known here are ignored, as is an announcement of more than ``MAX_ANNOUNCEMENT_BYTES``.
    """
    if annotation is None:
        return None
    if len(annotation) > MAX_ANNOUNCEMENT_BYTES:
        return frozenset()
    tokens = bytes(annotation).decode("ascii", "replace").split(" ")
    return frozenset(SUPPORTED).intersection(tokens)


def encode_deadline(seconds_left: float) -> bytes:
    """Return the value of ``DEADLINE_ANNOTATION`` for a request that has this many seconds left; 0 if there are none."""
    milliseconds = int(max(seconds_left, 0.0) * 1000)
    return b"%d" % min(milliseconds, 10 ** MAX_DEADLINE_DIGITS - 1)


def parse_deadline(annotation: Buffer) -> Optional[float]:
    """Return the seconds that a request has left, None if the annotation is not a number."""
    text = bytes(annotation[:MAX_DEADLINE_DIGITS + 1])
    return int(text) / 1000 if len(text) <= MAX_DEADLINE_DIGITS and text.isdigit() else None
