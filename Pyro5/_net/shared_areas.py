"""The two areas of a segment of shared memory: where large buffers are written, and how received ones are used in place.

An area consists of blocks. A message takes as many successive blocks as its large buffers need, and its first block has a flag
in the header of the segment: the sender sets it, and the receiver clears it when it needs the blocks no longer. The sender
never writes to blocks in use, so that a received array can be used where it is, and be changed, without a copy.
"""
from __future__ import annotations

import functools
import mmap
import os
import sys
import threading
import weakref
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .. import NamedTuple
from .._wire import buffers

BLOCK_BYTES = 1024 * 1024  # a multiple of the size of a page
_ALIGNMENT = 64  # of buffers, in bytes
_MAP_FIXED = 0x10  # of mmap(2); Python does not have it

# The areas of which buffers are or were used in place. Each change is atomic.
_areas_in_use: Dict[int, Any] = {}


class Place(NamedTuple):
    """Where a buffer is: its number in the message, its offset in the area, and its size in bytes."""

    number: int
    offset: int
    size: int


class SendingArea:
    """The area that this side writes to. Thread-safe: replies may be encoded in several threads.

    Args:
        mapped: the memory of the segment.
        descriptor: that of the segment.
        flags_at, start, size: positions in the segment, and the size of the area in bytes.
    """

    def __init__(self, mapped: mmap.mmap, descriptor: int, flags_at: int, start: int, size: int) -> None:
        self._mapped = mapped
        self._descriptor = descriptor
        self._flags_at = flags_at
        self._start = start
        self._blocks = size // BLOCK_BYTES
        self._lock = threading.Lock()  # guards the fields below
        self._taken: Dict[int, int] = {}  # first block -> number of blocks, of messages that the receiver may still need
        self._allocated = 0  # bytes of the area that certainly have memory

    def write(self, large: Sequence[Tuple[int, memoryview]], max_size: int) -> List[Place]:
        """Copy the first of these numbered buffers that fit into the area together.

        Args:
            max_size: limit in bytes of all of them; 0 is no limit.

        Returns:
            the places of the copied buffers; empty if there is no room for them.

        Raises:
            OSError: the system has no memory for them.
        """
        places = _places(large, self._blocks * BLOCK_BYTES)
        size = places[-1].offset + places[-1].size if places else 0
        if not size or 0 < max_size < size:
            return []
        offset = self._reserve(size)
        if offset is None:
            return []
        # Outside the lock: the blocks are reserved, and copying takes milliseconds.
        with memoryview(self._mapped) as memory:
            for (_number, view), place in zip(large, places):
                begin = self._start + offset + place.offset
                memory[begin:begin + place.size] = view
        return [Place(place.number, offset + place.offset, place.size) for place in places]

    def _reserve(self, size: int) -> Optional[int]:
        """Reserve blocks of this size together, and return their offset; None if there are none."""
        count = -(-size // BLOCK_BYTES)
        with self._lock:
            mapped, first = self._mapped, 0
            for taken in sorted(self._taken):
                if not mapped[self._flags_at + taken]:
                    del self._taken[taken]
                elif taken - first >= count:
                    break
                else:
                    first = taken + self._taken[taken]
            # The lowest free blocks: memory is used only as far as it was ever filled.
            if first + count > self._blocks:
                return None
            self._allocate_locked((first + count) * BLOCK_BYTES)
            self._taken[first] = count
            mapped[self._flags_at + first] = 1
        return first * BLOCK_BYTES

    def _allocate_locked(self, size: int) -> None:
        """Make sure that the area has memory up to a size; without this, writing to it may end the process."""
        if size > self._allocated:
            os.posix_fallocate(self._descriptor, self._start, size)
            self._allocated = size


class ReceivingArea:
    """The area that the peer writes to. It belongs to the owner of the connection, like the rest of its reader.

    Arguments as for SendingArea.
    """

    def __init__(self, mapped: mmap.mmap, descriptor: int, flags_at: int, start: int, size: int) -> None:
        self._mapped = mapped
        self._descriptor = descriptor
        self._flags_at = flags_at
        self._start = start
        self._size = size
        # First block -> number of blocks and weak reference, of messages that are used in place. The reference is None when
        # the blocks are never given back. Each change is atomic: the callback of a reference runs in any thread.
        self._held: Dict[int, Tuple[int, Any]] = {}

    def read(self, places: List[Place], max_size: int) -> Dict[int, memoryview]:
        """Return the buffers of a message at these places, by their numbers: in place, or as copies.

        Wrong places have no buffers.

        Args:
            max_size: limit in bytes of all of them; 0 is no limit.
        """
        if not places or not self._are_valid(places) or sum([place.size for place in places]) > (max_size or self._size):
            return {}
        begin, end = places[0].offset, places[-1].offset + places[-1].size
        first = begin // BLOCK_BYTES
        count = -(-end // BLOCK_BYTES) - first
        held = list(self._held.items())
        if any([first < other + blocks and other < first + count for other, (blocks, _reference) in held]):
            return {}  # a program uses this memory
        # Without numpy only bytes are made of it, which are copies. When a program keeps what it has received, half of the
        # area is left for messages that are copied.
        numpy = sys.modules.get("numpy")
        in_place = sum([blocks for _other, (blocks, _reference) in held]) + count <= self._size // BLOCK_BYTES // 2
        if in_place and hasattr(numpy, "frombuffer"):
            whole = self._held_view(numpy, first, count, begin, end)
            return {number: whole[offset - begin:offset - begin + size] for number, offset, size in places}
        buffers.expect_large(end - begin)
        with memoryview(self._mapped) as memory:
            found = {number: memoryview(bytes(memory[self._start + offset:self._start + offset + size]))
                     for number, offset, size in places}
        self._mapped[self._flags_at + first] = 0
        return found

    def _are_valid(self, places: List[Place]) -> bool:
        """Return whether the places are in the area, and do not overlap."""
        end = 0
        for _number, offset, size in places:
            if offset < end:
                return False
            end = offset + size
        return end <= self._size

    def _held_view(self, numpy: Any, first: int, count: int, begin: int, end: int) -> memoryview:
        """Return a view of a part of the area. Its blocks are in use until the last view of it is gone."""
        # An array, because it keeps the memory mapped, its views keep it, and there can be weak references to it.
        array = numpy.frombuffer(self._mapped, "u1", end - begin, self._start + begin)
        done = functools.partial(_give_back, self._mapped, self._flags_at, self._held, first)
        self._held[first] = count, weakref.ref(array, done)
        _areas_in_use[id(self)] = self
        return memoryview(array)

    def keep(self) -> None:
        """Make the buffers that are used in place private to this process, as if they were copies: other processes do not see
        what it writes, and nothing else is written to their blocks any more.

        Called before a fork, because the child may use them as well, and before the segment is closed.
        """
        for first, (count, reference) in list(self._held.items()):
            array = None if reference is None else reference()
            if array is None:
                continue  # kept before; or its callback is about to run
            # Without its reference nothing gives the blocks back: the child may use them longer than this process.
            self._held[first] = count, None
            _make_private(self._mapped, self._descriptor, self._start + first * BLOCK_BYTES, count * BLOCK_BYTES)

    def close(self) -> None:
        """End the use of the area. Arrays that use it in place keep their memory."""
        _areas_in_use.pop(id(self), None)
        if self._held:
            self.keep()
            self._held.clear()


def _places(large: Sequence[Tuple[int, memoryview]], size: int) -> List[Place]:
    """Return places for the first buffers that fit into this size together."""
    places: List[Place] = []
    offset = 0
    for number, view in large:
        if offset + view.nbytes > size:
            break
        places.append(Place(number, offset, view.nbytes))
        offset += -(-view.nbytes // _ALIGNMENT) * _ALIGNMENT
    return places


def _give_back(mapped: mmap.mmap, flags_at: int, held: Dict[int, Any], first: int, _reference: object) -> None:
    """Allow the sender to use blocks again. Called in any thread, when the last view of them is gone."""
    # In this order: as soon as the flag is cleared, the next message may use the blocks.
    if held.pop(first, None) is not None:
        mapped[flags_at + first] = 0


def _make_private(mapped: mmap.mmap, descriptor: int, position: int, size: int) -> None:
    """Replace a part of a mapping by a private one with the same content, at the same address.

    The system copies the pages that this process writes to from then on.
    """
    try:
        import ctypes  # large, and missing in some builds of Python
        function = ctypes.CDLL(None).mmap
        function.restype = ctypes.c_void_p
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped, position))
        function(address, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED, descriptor, position)
    except (ImportError, OSError, AttributeError, TypeError, ValueError):
        return  # the memory stays shared, and does not change either


def _before_fork() -> None:
    for area in list(_areas_in_use.values()):
        area.keep()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
