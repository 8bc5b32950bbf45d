"""Asynchronous iterators as item streams: their items are read in the event loop of the daemon."""
from __future__ import annotations

import asyncio
import logging
from typing import Any, Callable, Coroutine, List, Optional, Tuple

from .. import errors
from .streams import MAX_ITEMS, MAX_ITEMS_BYTES, MAX_ITEMS_SECONDS, AsynchronousItems

log = logging.getLogger("Pyro5.server.streams")

_END: Any = object()  # there are no more items
_NOT_YET: Any = object()  # the next item was not available in time


class AsyncItems(AsynchronousItems):
    """The items of an asynchronous iterator.

    An item that is being computed when its request is cancelled, or its client disconnects, is kept for the next request.

    Args:
        iterator: the iterator; its code runs in the event loop only. If it has a method ``next_ready``, which returns the next
            item, or None if it has to be waited for, a request for several items gets those that are there, without waiting.
        spawn: runs a coroutine function in the event loop.
    """

    def __init__(self, iterator: Any, spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], None]) -> None:
        self._iterator = iterator
        self._spawn = spawn
        # The rest belongs to the event loop.
        self._reading: Optional[asyncio.Lock] = None
        self._next: Optional[asyncio.Future[Any]] = None  # the item that is being computed
        self._kept: List[Any] = []  # items to return first, the next one last
        self._failure: Optional[Exception] = None
        self._next_ready: Optional[Callable[[], Any]] = getattr(iterator, "next_ready", None)

    def close(self) -> None:
        """Close the iterator soon, in the event loop. Can be called from any thread."""
        self._spawn(self._close)

    async def _close(self) -> None:
        item, self._next = self._next, None
        if item is not None:
            item.cancel()
            await asyncio.wait({item})
            if not item.cancelled():
                item.exception()  # retrieved, so that asyncio does not log it
        close = getattr(self._iterator, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception:  # the cleanup code of the user's generator failed; there is no call that could report it
            log.warning("closing an item stream failed", exc_info=True)

    async def read(self, most: Optional[int], size_of: Callable[[Any], int]) -> Tuple[List[Any], bool]:
        """Return the next items, none at the end, and whether there are no more.

        Args:
            most: the number of items at most, None: exactly one.
            size_of: see `StreamTable.next_items`.
        """
        if self._reading is None:  # created here, because it belongs to the running event loop in Python 3.8 and 3.9
            self._reading = asyncio.Lock()
        async with self._reading:
            first = await self._read_one(None)
            if first is _END:
                return [], True
            return ([first], False) if most is None else await self._read_more(first, min(most, MAX_ITEMS), size_of)

    async def _read_more(self, first: Any, most: int, size_of: Callable[[Any], int]) -> Tuple[List[Any], bool]:
        clock = asyncio.get_running_loop().time
        items, size, ends_at, is_last = [first], size_of(first), clock() + MAX_ITEMS_SECONDS, False
        try:
            while len(items) < most and size < MAX_ITEMS_BYTES and clock() < ends_at:
                item = await self._read_one(ends_at - clock()) if self._next_ready is None else self._read_ready()
                if item is _END or item is _NOT_YET:
                    is_last = item is _END
                    break
                size += size_of(item)
                if size > MAX_ITEMS_BYTES:
                    self._kept.append(item)
                else:
                    items.append(item)
        except Exception as x:  # raised by the user's generator, or by size_of for this item
            self._failure = x
        except asyncio.CancelledError:
            self._kept.extend(reversed(items))
            raise
        return items, is_last

    async def _read_one(self, timeout_seconds: Optional[float]) -> Any:
        if self._kept:
            return self._kept.pop()
        if self._failure is not None:
            raise self._failure
        item = self._next
        if item is None:
            item = self._next = asyncio.ensure_future(self._compute())
        # Being cancelled here does not cancel the item.
        await asyncio.wait({item}, timeout=timeout_seconds)
        if not item.done():
            return _NOT_YET
        self._next = None
        if item.cancelled():
            raise errors.PyroError("item stream terminated: it was closed, or cancelled")
        return item.result()

    def _read_ready(self) -> Any:
        item = None if self._next_ready is None or self._next is not None else self._next_ready()
        return _NOT_YET if item is None else item

    async def _compute(self) -> Any:
        try:
            return await self._iterator.__anext__()
        except StopAsyncIteration:
            return _END
