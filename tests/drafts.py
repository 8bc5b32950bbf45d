"""Messages whose every field can be set, also to a lie."""
from __future__ import annotations

from typing import List, Optional, Tuple

from .wire.recordings import HEADER, Frame


class Draft:
    """A message that is not written yet.

    Attributes:
        payload_length, annotations_length: what the header is to say instead of the truth, if not None.
        annotations: (id, value, announced length or None) each.
    """

    def __init__(self, msgtype: int, serializer: int, seq: int = 0, flags: int = 0, payload: bytes = b"",
                 annotations: Tuple[Tuple[str, bytes], ...] = (), correlation: bytes = bytes(16)) -> None:
        self.tag = b"PYRO"
        self.version = 502
        self.type = msgtype
        self.serializer = serializer
        self.flags = flags
        self.seq = seq
        self.payload_length: Optional[int] = None
        self.annotations_length: Optional[int] = None
        self.correlation = correlation
        self.reserved = 0
        self.magic = 0x4dc5
        self.annotations: List[Tuple[bytes, bytes, Optional[int]]] = [
            (key.encode("latin-1"), value, None) for key, value in annotations]
        self.payload = payload

    def encoded(self) -> bytes:
        """Return the bytes."""
        chunks = b"".join(key.ljust(4)[:4] + (len(value) if length is None else length).to_bytes(4, "big") + value
                          for key, value, length in self.annotations)
        header = HEADER.pack(
            self.tag, self.version, self.type, self.serializer, self.flags, self.seq,
            len(self.payload) if self.payload_length is None else self.payload_length,
            len(chunks) if self.annotations_length is None else self.annotations_length,
            self.correlation, self.reserved, self.magic)
        return header + chunks + self.payload


def draft_of(frame: Frame) -> Draft:
    """Make a draft that says what a recorded message says."""
    return Draft(frame.type, frame.serializer, frame.seq, frame.flags, frame.payload, frame.annotations, frame.correlation)


def message(msgtype: int, payload: bytes = b"", serializer: int = 1, **fields: object) -> bytes:
    """Return the bytes of a message with these values in its fields, whatever is right."""
    draft = Draft(msgtype, serializer, payload=payload)
    for name, value in fields.items():
        if not hasattr(draft, name):
            raise AttributeError(name)
        setattr(draft, name, value)
    return draft.encoded()
