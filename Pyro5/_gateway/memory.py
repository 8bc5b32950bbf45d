"""The memory limit for the bodies of all requests together."""
from __future__ import annotations

import threading
import time
from typing import Callable

__all__ = ["Exhausted", "Lease", "MemoryBudget"]

WAIT_SECONDS = 5.0      # that a request waits for memory of other requests


class Exhausted(Exception):
    """There is no memory left for a request."""

    def __init__(self, is_permanent: bool) -> None:
        super().__init__("not enough memory" if is_permanent else "no memory left now")
        self.is_permanent = is_permanent


class MemoryBudget:
    """
    Counts the bytes used by requests in progress. Thread-safe.

    Args:
        limit: returns the maximum number of bytes, 0 for no limit.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        # Guards the number below; notified when it decreases.
        self._changed = threading.Condition()
        self.taken = 0

    def take(self, count: int, own: int) -> None:
        """
        Reserve bytes; wait for other requests to release theirs if the limit is reached.

        Args:
            own: the number of bytes that this request has reserved already.

        Raises:
            Exhausted: the request alone exceeds the limit, or the limit is still reached after WAIT_SECONDS.
        """
        limit = self._limit()
        if limit and own + count > limit:
            raise Exhausted(True)
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while limit and self.taken + count > limit:
                seconds_left = deadline - time.monotonic()
                if seconds_left <= 0:
                    raise Exhausted(False)
                self._changed.wait(seconds_left)
            self.taken += count

    def give_back(self, count: int) -> None:
        """Release bytes."""
        with self._changed:
            self.taken -= count
            self._changed.notify_all()


class Lease:
    """The memory reserved by one request. It belongs to one thread."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._taken = 0

    def take(self, count: int) -> None:
        """Reserve more bytes. Raises Exhausted."""
        self._budget.take(count, self._taken)
        self._taken += count

    def release(self) -> None:
        """Release all reserved bytes."""
        if self._taken:
            self._budget.give_back(self._taken)
            self._taken = 0
