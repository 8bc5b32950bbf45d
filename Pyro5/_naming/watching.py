"""The items that a watcher of a name server reads."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from .watches import Watches

# Items are dicts of plain values: clients of all releases can read them.
Item = Dict[str, Any]


class WatchItems(AsyncIterator):  # type: ignore[type-arg]
    """The current registrations, an item that says that these are all, and then each change as it happens.

    Args:
        current: returns the current registrations as items, and the position in the changes that belongs to them.
    """

    def __init__(self, watches: Watches, prefix: str, current: Callable[[], Tuple[Iterator[Item], int]]) -> None:
        self._watches = watches
        self._prefix = prefix
        self._read_current = current
        self._current: Optional[Iterator[Item]]
        self._current, self._position = current()

    def next_ready(self) -> Optional[Item]:
        """Return the next item, None if there is none yet.

        Raises:
            ConnectionClosedError: the name server is being closed.
        """
        if self._current is not None:
            item = next(self._current, None)
            if item is None:
                self._current = None
                return _note("ready", self._position - 1)
            return item
        try:
            change, self._position = self._watches.read(self._position, self._prefix)
        except LookupError:
            # Reading a large storage delays the other watchers a little; this is for those that have stopped reading.
            self._current, self._position = self._read_current()
            return _note("missed", self._position - 1)
        if change is None:
            return None
        return {**change._asdict(), "metadata": sorted(change.metadata)}

    async def __anext__(self) -> Item:
        while True:
            item = self.next_ready()
            if item is not None:
                return item
            self._position = await self._watches.wait(asyncio.get_running_loop(), self._position, self._prefix)


def _note(kind: str, revision: int) -> Item:
    return {"kind": kind, "name": None, "uri": None, "metadata": None, "revision": revision}
