"""Keep the memory of large messages in the process for later ones, and release it when it is not used any more."""
from __future__ import annotations

import os
import sys

LARGE_BYTES = 64 * 1024  # messages above this size are worth the effort
# (size of a message, size of the largest block that the allocator keeps once there was a message of up to that size)
_KEPT_BLOCKS = ((1024 * 1024, 4 * 1024 * 1024), (sys.maxsize, 32 * 1024 * 1024 - 64 * 1024))
RETURNED_BYTES = 128 * 1024  # the smallest block that return_all() concerns; this is what the allocator begins with
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt()
_kept_for = 0  # the largest message for which the allocator was prepared
_seen = _seen_at_last_call = _released_at = 0  # counts of large messages


def expect_large(size: int) -> None:
    """Make the allocator keep the memory of messages of about this size, so that later messages can use it.

    The allocator of the GNU C library returns freed blocks of 128 KB and more to the system at once, and requests new ones
    as pages that the system has to clear. For the echo of 10 MB this takes 30 of the 40 ms of processor time in the client.
    The allocator does not do this for blocks up to the size of the largest block freed so far; of these, it keeps twice that
    size in each of its arenas. So this allocates one block of the desired size and frees it again. The block is never written
    to, and has no effect with other allocators. The environment variables MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_
    take precedence.

    Any thread may call this. There is no lock: if two threads call it at the same time, the block may be allocated twice or a
    message not be counted, which does no harm.
    """
    global _kept_for, _seen
    _seen += 1
    if LARGE_BYTES < size > _kept_for:
        most, block_bytes = next(row for row in _KEPT_BLOCKS if size <= row[0])
        _kept_for = most
        bytes(block_bytes)  # allocate and free; unlike bytearray(), this does not write zeros: the system did


def return_all() -> None:
    """Make the allocator of the GNU C library return all freed blocks of 128 KB and more to the system at once, from now on.

    For processes with a limit on memory: what the allocator keeps for later is not part of any count. It is up to twice the
    size of the largest block, in each of up to eight arenas per processor. The environment variables take precedence.
    """
    global _kept_for
    if "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    _kept_for = sys.maxsize  # expect_large() has nothing to do any more
    for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        _call_allocator("mallopt", parameter, RETURNED_BYTES)


def release_unused() -> None:
    """Return the kept memory to the system if there was no large message since the last call of this function.

    The server's housekeeping calls this from time to time. Any thread may call it.
    """
    global _seen_at_last_call, _released_at
    seen = _seen
    if seen == _seen_at_last_call and seen != _released_at:
        _released_at = seen
        _call_allocator("malloc_trim", 0)
    _seen_at_last_call = seen


def _call_allocator(function: str, *arguments: int) -> None:
    try:
        import ctypes  # large, and missing in some builds of Python
        getattr(ctypes.CDLL(None), function)(*arguments)
    except (ImportError, OSError, AttributeError, TypeError):
        return  # another system or C library, which manages its memory in its own way
