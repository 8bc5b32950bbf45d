"""Large buffers beside the payload, and in shared memory: numbers, sizes and places that are lies."""
from __future__ import annotations

import marshal
import struct
from typing import Any, Dict, List, Sequence, Tuple

from ..drafts import message
from .attack import ANSWERED, ERROR, PARTED, Attack

INVOKE, MARSHAL, BLOB = 4, 2, 32
LARGE = bytes(20000)
PLACE = struct.Struct("!HQQ")


def _call(value: Any, chunks: Sequence[Tuple[bytes, bytes]], flags: int = 0) -> bytes:
    payload = marshal.dumps(("obj", "echo", [value], {}), 2)
    annotations = [(name, data, None) for name, data in chunks]
    return message(INVOKE, payload, MARSHAL, flags=flags, annotations=annotations)


def _buffer(number: Any, **more: Any) -> Dict[str, Any]:
    return {"__class__": "Pyro5.buffer", "data": number, **more}


def _array(**more: Any) -> Dict[str, Any]:
    return {"__class__": "numpy.ndarray", "dtype": "<f8", "shape": [2500], "data": 0, **more}


ONE = [(b"B000", LARGE)]
NUMBERS: List[Tuple[str, bytes, str]] = [
    ("a buffer that is missing", _call(_buffer(0), []), ERROR),
    ("a number that is too high", _call(_buffer(1), ONE), ERROR),
    ("a negative number", _call(_buffer(-1), ONE), ERROR),
    ("a huge number", _call(_buffer(1 << 70), ONE), ERROR),
    ("a text as a number", _call(_buffer("0"), ONE), ERROR),
    ("a list as a number", _call(_buffer([0]), ONE), ERROR),
    ("a buffer that is used twice", _call([_buffer(0), _buffer(0)], ONE), ERROR),
    ("a buffer that is not used", _call(1, ONE), ERROR),
    ("a thousand buffers that are not used", _call(1, [(b"B%03d" % number, b"") for number in range(1000)]), ERROR),
    ("a thousand buffers", _call([_buffer(number) for number in range(1000)],
                                 [(b"B%03d" % number, b"x") for number in range(1000)]), ANSWERED),
    ("a buffer beside a blob", _call(_buffer(0), [*ONE, (b"BLBI", marshal.dumps(("x", "obj", "echo"), 2))], BLOB), ERROR),
    ("an array of unknown type", _call(_buffer(0, typecode="O", itemsize=8, byteorder="little"), ONE), ERROR),
    ("an array of other items", _call(_buffer(0, typecode="d", itemsize=1 << 60, byteorder="little"), ONE), ERROR),
    ("an array with a part of an item", _call(_buffer(0, typecode="d", itemsize=8, byteorder="big"), [(b"B000", b"x")]),
     ERROR)]
# the server has not registered arrays, and refuses all of them; with registration see tests.test_large_buffers
ARRAYS = [("an array of 2^40 elements", _array(shape=[1 << 40])), ("an array of objects", _array(dtype="|O8")),
          ("an array of objects in a field", _array(dtype={"fields": [["x", "|O8", 0]], "itemsize": 8})),
          ("an array with 1000 dimensions", _array(shape=[1] * 1000)),
          ("an array of negative size", _array(shape=[-1, -2500])),
          ("an array of items without size", _array(dtype="|V0", shape=[1 << 60])),
          ("an array of code", _array(dtype="<f8,(1<<40)<f8"))]
PLACES = [("a place outside of memory", PLACE.pack(0, 1 << 63, 100)), ("a place without memory", PLACE.pack(0, 0, 100)),
          ("a part of a place", b"x"), ("a thousand places", PLACE.pack(0, 0, 1 << 26) * 1000)]

ATTACKS = tuple(
    [Attack("buffers: " + name, data, end) for name, data, end in NUMBERS]
    + [Attack("buffers: " + name, _call(form, ONE), PARTED) for name, form in ARRAYS]
    + [Attack("shared memory: " + name, _call(_buffer(0), [(b"SHMB", places)]), ERROR) for name, places in PLACES]
    + [Attack("shared memory: an offer of the memory of another process", _call(
        1, [(b"SHMO", struct.pack("!II16s", 1, 3, bytes(16)))]), ANSWERED)])
