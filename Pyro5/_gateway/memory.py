"""The memory limit for what all requests together take: bodies, results, and responses that clients have not received yet."""
from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, List

WAIT_SECONDS = 5.0      # that a request waits for memory of other requests
# A client that has been receiving a response for longer, or has sent no part of its body, is disconnected if others need
# the memory.
CLIENT_SECONDS = 2.0
PAUSE_SECONDS = 0.2     # for the memory of one such client to be released, before the next one is disconnected


class Exhausted(Exception):
    """There is no memory left for a request."""

    def __init__(self, is_permanent: bool) -> None:
        super().__init__("not enough memory" if is_permanent else "no memory left now")
        self.is_permanent = is_permanent


class _Waiter:
    """One request that waits for memory of others."""

    __slots__ = ("count", "condition", "is_granted")

    def __init__(self, count: int, lock: Any) -> None:
        self.count = count
        self.condition = threading.Condition(lock)
        self.is_granted = False


class MemoryBudget:
    """Counts the bytes used by requests in progress. Thread-safe.

    Args:
        limit: returns the maximum number of bytes, 0 for no limit.

    Attributes:
        taken: the number of bytes in use.
        converting: held while one large body is converted to arguments.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self.converting = threading.Lock()
        # Guards the attributes below. Reentrant: disconnecting a client may release its memory at once.
        self._lock = threading.RLock()
        self.taken = 0
        # Each has a condition of its own: when memory is released, only the threads that get it have to run.
        self._waiters: List[_Waiter] = []  # in the order in which they came
        # Leases whose clients are waited for -> since when, longest first: the next part of a body, or the end of a response.
        self._idle: Dict[Lease, float] = {}

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
        with self._lock:
            if not limit or self.taken + count <= limit:
                self.taken += count
                return
            waiter = _Waiter(count, self._lock)
            self._waiters.append(waiter)
            try:
                self._wait_locked(waiter)
            except BaseException:  # an exception of a signal handler
                if waiter.is_granted:
                    self.taken -= count
                raise
            finally:
                self._waiters.remove(waiter)
                self._wake_first_locked()  # the next one looks for slow clients
            if not waiter.is_granted:
                raise Exhausted(False)

    def _wait_locked(self, waiter: _Waiter) -> None:
        """Wait until the waiter is granted its bytes, or for WAIT_SECONDS."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not waiter.is_granted:
            now = time.monotonic()
            if now >= deadline:
                return
            until = self._disconnect_slow_locked(now) if waiter is self._waiters[0] else deadline
            if not waiter.is_granted:
                waiter.condition.wait(min(deadline, until) - now)

    def _disconnect_slow_locked(self, now: float) -> float:
        """Disconnect the client that has been waited for longest, if that is too long; return when to look again."""
        for lease, since in self._idle.items():
            if now < since + CLIENT_SECONDS:
                # The clients after it began later.
                return since + CLIENT_SECONDS
            # Removed, so that the next look disconnects another client.
            del self._idle[lease]
            lease.disconnect()  # the thread that serves it notices, and releases the memory
            return now + PAUSE_SECONDS
        return now + WAIT_SECONDS

    def _wake_first_locked(self) -> None:
        if self._waiters:
            self._waiters[0].condition.notify()

    def begin_waiting(self, lease: Lease) -> None:
        """Note that a client is waited for from now on: it sends the next part of a body, or receives a response."""
        with self._lock:
            self._idle.pop(lease, None)  # to the end of the order
            self._idle[lease] = time.monotonic()
            if len(self._idle) == 1:
                self._wake_first_locked()

    def end_waiting(self, lease: Lease) -> None:
        """Note that the client is not waited for any more."""
        with self._lock:
            self._idle.pop(lease, None)

    def release(self, count: int, lease: Lease) -> None:
        """Release bytes of a request whose client is not waited for any more."""
        with self._lock:
            self._idle.pop(lease, None)
            self.taken -= count
            limit = self._limit()
            # Those that need little get it first if there is not enough for those that came before them.
            for waiter in self._waiters:
                if not waiter.is_granted and (not limit or self.taken + waiter.count <= limit):
                    self.taken += waiter.count
                    waiter.is_granted = True
                    waiter.condition.notify()


class Lease:
    """The memory reserved by one request. It belongs to one thread.

    Args:
        disconnect: called, in any thread, if the client sends its body or receives the response too slowly while others need
            memory; must not block.
    """

    def __init__(self, budget: MemoryBudget, disconnect: Callable[[], object] = lambda: None) -> None:
        self._budget = budget
        self._taken = 0
        self.disconnect = disconnect
        self.converting = budget.converting

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
        self.begin_waiting()

    def begin_waiting(self) -> None:
        """Note that the client has to send the next part of its body, or to receive the response."""
        if self._taken:  # otherwise there is nothing to gain by disconnecting it
            self._budget.begin_waiting(self)

    def end_waiting(self) -> None:
        """Note that the client has sent it."""
        if self._taken:
            self._budget.end_waiting(self)

    def release(self) -> None:
        """Release all reserved bytes."""
        if self._taken:
            self._budget.release(self._taken, self)
            self._taken = 0
