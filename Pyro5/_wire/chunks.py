"""Large buffers that travel beside the payload of a message, as annotation chunks ``B000``, ``B001``, and so on.

Only messages between peers that have announced the feature ``buf`` have them. The payload refers to each by its number.
"""
from __future__ import annotations

from typing import Dict, Mapping, Optional

from ..protocol import Buffer

MIN_CHUNK_BYTES = 16 * 1024  # smaller buffers stay in the payload: a chunk of its own would not save anything
MIN_SHARED_BYTES = 256 * 1024  # of buffers in shared memory; smaller ones take no longer over a socket
MAX_CHUNKS = 1000  # of a message; further buffers stay in the payload


def as_chunks(buffers: Mapping[int, memoryview]) -> Dict[str, Buffer]:
    """Return the annotations for buffers of bytes with these numbers.

    They are in an order in which numbers in received buffers are aligned: one whose size is a multiple of 8 comes before one
    whose size is a multiple of 4, and so on. The first begins 8 bytes after the start of the body.
    """
    order = sorted(buffers, key=lambda number: -min(8, buffers[number].nbytes & -buffers[number].nbytes))
    return {"B%03d" % number: buffers[number] for number in order}


def split_chunks(annotations: Dict[str, memoryview]) -> Optional[Mapping[int, memoryview]]:
    """Remove the chunks from the annotations of a message, and return them by their numbers; None if there are none."""
    names = [name for name in annotations if name[0] == "B" and name[1:].isdigit()]
    return {int(name[1:]): annotations.pop(name) for name in names} if names else None
