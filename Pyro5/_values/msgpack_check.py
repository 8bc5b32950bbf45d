"""Check msgpack data for lists and dicts that announce more elements than it has, before the library decodes it.

For each list the library allocates memory for the announced number of elements (at most the number of bytes of the data)
before it has read the first one. Nested lists multiply this: 3 KB with 500 levels take 12 MB, and 89 bytes of compressed data
that inflate to 16 KB take 64 MB. Complete data has at least one byte for each element that it announces.
"""
from __future__ import annotations

import re
from typing import Any, Union

from .. import errors

_MAX_UNCHECKED = 1 << 17    # elements of 8 bytes each that may be allocated without a check
HARMLESS_SIZE = 600         # bytes; shorter data cannot contain enough heads of lists to exceed that
_LONG_HEADS = b"\xdc", b"\xdd", b"\xde", b"\xdf"    # type codes: array 16, array 32, map 16, map 32
_FREE_HEADS = 2             # heads that are not checked in data of any size: 16 bytes of memory for each byte of data
FREES_REFUSED = (1, 2)      # the release of the library, see unpack_complete
FEW_ELEMENTS = 64           # of a list: nested as deeply as the library allows, such lists are half of _MAX_UNCHECKED

# Beginning of data with a long text or bytes object: ends behind its type code. Then the number of bytes of its size.
_BEFORE_BLOB = re.compile(rb"[^\xc5\xc6\xda\xdb]{0,99}[\xc5\xc6\xda\xdb]")
_SIZE_BYTES = {0xC5: 2, 0xC6: 4, 0xDA: 2, 0xDB: 4}


def is_mostly_blob(data: Union[bytes, bytearray, memoryview]) -> bool:
    """Return whether a long text or bytes object near the beginning of the data seems to be a large part of it."""
    found = _BEFORE_BLOB.match(data)
    if found is None:
        return False
    begin = found.end()
    return 8 * int.from_bytes(data[begin:begin + _SIZE_BYTES[data[begin - 1]]], "big") > len(data)


def unpack_complete(library: Any, data: Union[bytes, bytearray, memoryview], **options: Any) -> Any:
    """Decode data as ``msgpack.unpackb`` does, after walking over it to the end: 0.7 us for a call with two numbers.

    What has been decoded of incomplete data is never freed by releases of the library before 1.2. Lists are created with the
    number of elements that the data announces, so 600 bytes could take a megabyte for ever.
    """
    unpacker = library.Unpacker(max_buffer_size=0)
    unpacker.feed(data)
    try:
        unpacker.skip()
    except library.OutOfData:
        raise ValueError("Unpack failed: incomplete input") from None  # the error of unpackb()
    return library.unpackb(data, **options)


def check_announced(data: Union[bytes, bytearray, memoryview], library: Any) -> None:
    """Check that the data contains all elements that its lists and dicts announce.

    The library can skip over the data without allocating memory, in a fraction of the time that decoding takes. This is done
    only if there are bytes that can be heads of long lists.

    Args:
        library: the msgpack package.

    Raises:
        SerializeError: the data is incomplete.
        ValueError: the data is malformed.
    """
    if not _has_heads(bytes(data) if type(data) is memoryview else data):
        return
    unpacker = library.Unpacker(max_buffer_size=0)    # no limit: the data is already in memory
    unpacker.feed(data)
    # Walks over the data without building anything.
    try:
        unpacker.skip()
    except library.OutOfData:
        raise errors.SerializeError("the data ends before the elements that its lists and dicts announce") from None


def _has_heads(data: Union[bytes, bytearray]) -> bool:
    """Return whether the data has enough bytes that can be heads of long lists or dicts to exceed the limit."""
    heads = [head for head in _LONG_HEADS if head in data]    # much faster than counting, and ASCII text contains none
    if not heads:
        return False
    count = sum(map(data.count, heads))
    return count > _FREE_HEADS and count * len(data) > _MAX_UNCHECKED
