"""The memory that the bodies of all requests may take together."""
from __future__ import annotations

import threading
import time
from typing import Callable

__all__ = ["Exhausted", "Lease", "MemoryBudget"]

WAIT_SECONDS = 5.0      # that a request waits for others to end


class Exhausted(Exception):
    """There is no memory left for a request."""

    def __init__(self, is_permanent: bool) -> None:
        super().__init__("not enough memory" if is_permanent else "no memory left now")
        self.is_permanent = is_permanent


class MemoryBudget:
    """
    Counts the bytes that requests under way take, in any number of threads.

    Args:
        limit: returns the most bytes that may be taken, 0 for any number.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        # Guards the number below; notified when it becomes smaller.
        self._changed = threading.Condition()
        self.taken = 0

    def take(self, count: int, own: int) -> None:
        """
        Count some bytes more, and wait for others to give theirs back if there is no room.

        Args:
            own: what the request has taken already.

        Raises:
            Exhausted: there is no room even if the request is alone, or still none after WAIT_SECONDS.
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
        """Count bytes as free again."""
        with self._changed:
            self.taken -= count
            self._changed.notify_all()


class Lease:
    """What one request takes of a budget. It belongs to one thread."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._taken = 0

    def take(self, count: int) -> None:
        """Take some bytes more. Raises Exhausted."""
        self._budget.take(count, self._taken)
        self._taken += count

    def release(self) -> None:
        """Give everything back."""
        if self._taken:
            self._budget.give_back(self._taken)
            self._taken = 0
