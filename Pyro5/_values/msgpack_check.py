"""Check msgpack data for lists and dicts that announce more elements than it has, before the library decodes it.

For each list the library allocates memory for the announced number of elements (at most the number of bytes of the data)
before it has read the first one. Nested lists multiply this: 3 KB with 500 levels take 12 MB, and 89 bytes of compressed data
that inflate to 16 KB take 64 MB. Complete data has at least one byte for each element that it announces.
"""
from __future__ import annotations

from typing import Any, Union

from .. import errors

__all__ = ["HARMLESS_SIZE", "check_announced"]

_MAX_UNCHECKED = 1 << 17    # elements of 8 bytes each that may be allocated without a check
HARMLESS_SIZE = 600         # bytes; shorter data cannot contain enough heads of lists to exceed that
_LONG_HEADS = b"\xdc", b"\xdd", b"\xde", b"\xdf"    # type codes: array 16, array 32, map 16, map 32
_FREE_HEADS = 2             # heads that are not checked in data of any size: 16 bytes of memory for each byte of data
_LONG_DATA = 16384
_FEW_VALUES = 30

# Type code -> number of bytes that follow. In the second table these bytes are the size of the data that follows them.
_FIXED_SIZES = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4,
                0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_SIZE_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}


def check_announced(data: Union[bytes, bytearray, memoryview], library: Any) -> None:
    """Check that the data contains all elements that its lists and dicts announce.

    The library can skip over the data without allocating memory, in a fraction of the time that decoding takes. This is done
    only if there are bytes that can be heads of long lists, and if the data is more than a few values (such as long bytes).

    Args:
        library: the msgpack package.

    Raises:
        SerializeError: the data is incomplete.
        ValueError: the data is malformed.
    """
    if len(data) > _LONG_DATA and _is_few_values(data):
        return    # before the copy of a memoryview below
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


def _is_few_values(data: Union[bytes, bytearray, memoryview]) -> bool:
    """Return whether the data consists of a few values and has no long lists or dicts."""
    position, left = 0, 1
    try:
        # A few values that take most of the bytes, such as a blob, are the usual large message.
        for _ in range(_FEW_VALUES):
            code = data[position]
            position, left = position + 1, left - 1
            if 0x80 <= code < 0xA0:
                left += code & 0x0F if code >= 0x90 else 2 * (code & 0x0F)
            elif code in _SIZE_BYTES:
                begin, position = position, position + _SIZE_BYTES[code]
                position += int.from_bytes(data[begin:position], "big")
            elif 0xA0 <= code < 0xE0:
                position += code & 0x1F if code < 0xC0 else _FIXED_SIZES[code]
            if not left:
                return True
    except (IndexError, KeyError):
        pass
    return False
