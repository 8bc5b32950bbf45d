"""The memory limit for what all requests together take: bodies, results, and responses that clients have not received yet."""
from __future__ import annotations

import threading
import time
from typing import Callable, Dict

__all__ = ["Exhausted", "Lease", "MemoryBudget"]

WAIT_SECONDS = 5.0      # that a request waits for memory of other requests
SENDING_SECONDS = 2.0   # a client that has been receiving a response for longer is disconnected if others need the memory
PAUSE_SECONDS = 0.2     # for the memory of one such client to be released, before the next one is disconnected


class Exhausted(Exception):
    """There is no memory left for a request."""

    def __init__(self, is_permanent: bool) -> None:
        super().__init__("not enough memory" if is_permanent else "no memory left now")
        self.is_permanent = is_permanent


class MemoryBudget:
    """Counts the bytes used by requests in progress. Thread-safe.

    Args:
        limit: returns the maximum number of bytes, 0 for no limit.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        # Guards the attributes below; notified when the number decreases.
        self._changed = threading.Condition()
        self.taken = 0
        self._sending: Dict[Lease, float] = {}  # whose responses are being sent -> since when, longest first

    def take(self, count: int, own: int) -> None:
        """Reserve bytes; wait for other requests to release theirs if the limit is reached.

        Args:
            own: the number of bytes that this request has reserved already.

        Raises:
            Exhausted: the request alone exceeds the limit, or the limit is still reached after WAIT_SECONDS.
        """
        limit = self._limit()
        # It could never be satisfied, so waiting is of no use.
        if limit and own + count > limit:
            raise Exhausted(True)
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            # Asked in a loop: other threads may take the memory that was released.
            while limit and self.taken + count > limit:
                now = time.monotonic()
                if now >= deadline:
                    raise Exhausted(False)
                self._changed.wait(min(deadline, self._disconnect_slow_locked(now)) - now)
            self.taken += count

    def _disconnect_slow_locked(self, now: float) -> float:
        """Disconnect the client that has been receiving for longest, if that is too long; return when to look again."""
        for lease, since in self._sending.items():
            if now < since + SENDING_SECONDS:
                # Those after it have been sending for a shorter time.
                return since + SENDING_SECONDS
            # Removed, so that the next look disconnects another client.
            del self._sending[lease]
            lease.disconnect()  # the thread that sends to it notices, and releases the memory
            return now + PAUSE_SECONDS
        return now + WAIT_SECONDS

    def begin_sending(self, lease: Lease) -> None:
        """Note that a response is complete, and being sent from now on."""
        with self._changed:
            self._sending[lease] = time.monotonic()
            self._changed.notify_all()

    def release(self, count: int, lease: Lease) -> None:
        """Release bytes, all that this request has."""
        with self._changed:
            self._sending.pop(lease, None)
            self.taken -= count
            self._changed.notify_all()


class Lease:
    """The memory reserved by one request. It belongs to one thread.

    Args:
        disconnect: called, in any thread, if the client receives the response too slowly while others need memory; must not
            block.
    """

    def __init__(self, budget: MemoryBudget, disconnect: Callable[[], object] = lambda: None) -> None:
        self._budget = budget
        self._taken = 0
        self.disconnect = disconnect

    def take(self, count: int) -> None:
        """Reserve more bytes. Raises Exhausted."""
        # In this order: if the memory is not available, nothing is counted.
        self._budget.take(count, self._taken)
        self._taken += count

    def reduce_to(self, count: int) -> None:
        """Release all but this number of bytes, which the response takes until it has been sent."""
        if self._taken > count:
            self._budget.release(self._taken - count, self)
            self._taken = count
        self._budget.begin_sending(self)

    def release(self) -> None:
        """Release all reserved bytes."""
        if self._taken:
            self._budget.release(self._taken, self)
            self._taken = 0
