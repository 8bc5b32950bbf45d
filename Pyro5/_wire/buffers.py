"""How the process treats the memory of large messages."""
from __future__ import annotations

LARGE_BYTES = 64 * 1024  # from here on it matters
# What messages of more than so many bytes are worth to be kept for the next ones: blocks of up to so many bytes.
_KEPT_BLOCKS = ((1024 * 1024, 32 * 1024 * 1024 - 64 * 1024), (LARGE_BYTES, 4 * 1024 * 1024))
_kept_up_to = 0
_seen = _seen_by_last_call = _given_back = 0  # counts of large messages


def expect_large(size: int) -> None:
    """Let the memory of large messages be used again by the next ones.  Call it when one of this size is at hand.

    The allocator of the GNU C library gives freed blocks of 128 KB and more back to the system, and gets each new one from
    there in pages that the system has to clear: that is most of what a client spends on the echo of 10 MB (30 of 40 ms of the
    processor).  It stops doing so for blocks up to the size of the largest one that was freed so far, and then keeps twice as
    much for later, in each of its arenas.  So one block is had and freed once.  It is never touched, and costs nothing where
    the allocator is another one.  (The variables MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ overrule this.)

    Any thread may call it; that two do it at the same time does no harm.
    """
    global _kept_up_to, _seen
    _seen += 1
    for message_bytes, block_bytes in _KEPT_BLOCKS:
        if size > message_bytes:
            if _kept_up_to < block_bytes:
                _kept_up_to = block_bytes
                bytearray(block_bytes)
            return


def give_back() -> None:
    """Give the memory that was kept back to the system, if no large message was seen since the last call.  Call it now and
    then, in any thread."""
    global _seen_by_last_call, _given_back
    seen = _seen
    if seen == _seen_by_last_call and seen != _given_back:
        _given_back = seen
        _trim()
    _seen_by_last_call = seen


def _trim() -> None:
    try:
        import ctypes
        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError, TypeError):
        return  # another system, or another C library: it does as it likes
