"""Watches: clients that are told of each change of the registrations.

The last changes are kept once for all watchers; each watcher has a position in them. So a change costs the registering client
the same with any number of watchers, and a watcher that is slow uses no memory: when the changes at its position are not
kept any more, it is told so, and starts again with the current registrations.

Watchers that wait for a change do so in an event loop, without a thread. There a change wakes those whose prefix it has.
"""
from __future__ import annotations

import random
import threading
from typing import AbstractSet, Any, Callable, Dict, List, Optional, Tuple

from .. import NamedTuple, errors

COLLECT_SECONDS = 0.002     # for which changes are collected before watchers are woken
FIRST_REVISIONS = 1 << 50   # the numbers are small enough for JSON and for floats


class Change(NamedTuple):
    """A change of a registration."""

    kind: str                   # added, changed or removed
    name: str
    uri: str
    metadata: AbstractSet[str]
    revision: int


class _Waiting:
    """The watchers that wait in one event loop.

    Attributes:
        position: up to where the changes have been looked at.
        woken: whether the event loop has been told to look at further changes.
        by_prefix: prefix -> the futures of watchers, and their positions.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        self.woken = False
        self.by_prefix: Dict[str, Dict[Any, int]] = {}


class Watches:
    """The last changes, and the watchers that wait for the next one. Thread-safe.

    The position of a change is its revision. The first one is a random number, so that revisions are not valid any more when a
    name server is started again.

    Args:
        most: the number of changes to keep.

    Attributes:
        end: the position after the last change.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()  # guards the attributes below
        self._changes: Dict[int, Change] = {}  # by revision
        # Random, so that a position or revision of an earlier run is not taken for one of this run.
        self.end = random.randrange(FIRST_REVISIONS)
        self._waiting: Dict[Any, _Waiting] = {}  # by event loop
        self._closed = False

    def add(self, kind: str, name: str, uri: str, metadata: AbstractSet[str], given: Optional[int] = None) -> int:
        """Append a change, and return its position. `wake` has to be called afterwards, without the locks of the caller.

        Args:
            given: the revision of the change, if that is not its position.
        """
        with self._lock:
            revision = self.end
            self._changes[revision] = Change(kind, name, uri, metadata, revision if given is None else given)
            # A bounded number: a watcher that falls behind further than this begins anew with the current registrations.
            self._changes.pop(revision - self._most, None)
            self.end += 1
        return revision

    def wake(self) -> None:
        """Make the event loops look at the changes."""
        if not self._waiting:  # most name servers have no watchers; one that begins to wait meanwhile has seen the change
            return
        with self._lock:
            # Each loop is woken once for any number of changes, until it has looked at them.
            loops = [loop for loop, waiting in self._waiting.items() if not waiting.woken]
            for loop in loops:
                self._waiting[loop].woken = True
        for loop in loops:
            self._call(loop, self._deliver_soon)

    def close(self) -> None:
        """End all watches."""
        with self._lock:
            self._closed = True
            loops = list(self._waiting)
        for loop in loops:
            self._call(loop, self._deliver)

    def read(self, position: int, prefix: str) -> Tuple[Optional[Change], int]:
        """Return the first change from this position on whose name has the prefix, None if there is none; and the position
        after it.

        Raises:
            LookupError: the changes at this position are not kept any more.
            ConnectionClosedError: the name server is being closed.
        """
        with self._lock:
            self._require_open()
            # The changes in between are lost. Reading on would hide that from the watcher.
            if position < self.end - len(self._changes):
                raise LookupError(position)
            while position < self.end:
                change = self._changes[position]
                position += 1
                if change.name.startswith(prefix):
                    return change, position
        return None, position

    async def wait(self, loop: Any, position: int, prefix: str) -> int:
        """Wait until there may be changes with this prefix; return the position to read from.

        Args:
            loop: the running event loop.
            position: where `read` has found no more changes.
        """
        with self._lock:
            self._require_open()
            # Decided under the lock: a change comes either before this, and is seen here, or finds the future below.
            if position != self.end:
                return position
            waiting = self._waiting.setdefault(loop, _Waiting(self.end))
            if not waiting.by_prefix:
                waiting.position = self.end
            future = loop.create_future()
            waiting.by_prefix.setdefault(prefix, {})[future] = position
        try:
            return int(await future)
        finally:
            self._forget(loop, prefix, future)

    def _require_open(self) -> None:
        if self._closed:
            raise errors.ConnectionClosedError("the name server is shutting down")

    def _call(self, loop: Any, deliver: Callable[[Any], None]) -> None:
        try:
            loop.call_soon_threadsafe(deliver, loop)
        except RuntimeError:  # the loop has been closed, and its watchers are gone
            with self._lock:  # its watchers are gone with it
                self._waiting.pop(loop, None)

    def _deliver_soon(self, loop: Any) -> None:
        # Further changes that follow at once do not wake the event loop again, which would slow down their clients.
        loop.call_later(COLLECT_SECONDS, self._deliver, loop)

    def _deliver(self, loop: Any) -> None:
        """Wake the watchers of new changes. Runs in the event loop."""
        futures: List[Tuple[Any, int]] = []
        with self._lock:
            waiting = self._waiting.get(loop)
            if waiting is None:
                return
            # Between the call and now more changes may have come, or old ones been dropped.
            start = max(waiting.position, self.end - len(self._changes))
            is_complete = start == waiting.position
            names = [self._changes[position].name for position in range(start, self.end)]
            for prefix in list(waiting.by_prefix):
                if self._closed or not is_complete or any(name.startswith(prefix) for name in names):
                    futures += [(future, max(position, waiting.position))
                                for future, position in waiting.by_prefix.pop(prefix).items()]
            waiting.position, waiting.woken = self.end, False
        # Outside of the lock: setting a result may run callbacks.
        for future, position in futures:
            if not future.done():
                future.set_result(position)

    def _forget(self, loop: Any, prefix: str, future: Any) -> None:
        with self._lock:
            waiting = self._waiting.get(loop)
            if waiting is None:
                return
            futures = waiting.by_prefix.get(prefix, {})
            futures.pop(future, None)
            if not futures:
                waiting.by_prefix.pop(prefix, None)
            if not waiting.by_prefix:
                del self._waiting[loop]
