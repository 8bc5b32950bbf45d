"""The leases of a name server: when each of them ends, and the thread that waits for that."""
from __future__ import annotations

import heapq
import math
import threading
import time
from typing import Callable, Dict, Iterable, List, Optional, Tuple

from .storage.details import NO_DETAILS, Details, Lease

DETAILS_BYTES = 500         # estimated memory of a lease or member, in addition to its uri


class LeaseTable:
    """The details of all registrations that have some, and the times when their leases end. The caller holds the lock of the
    name server.

    Args:
        clock: returns monotonic seconds.

    Attributes:
        used_bytes: the approximate memory of all details.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._details: Dict[str, Details] = {}
        self._ends: Dict[str, Tuple[float, str, float]] = {}  # lease id -> end, name, ttl
        # (end, lease id), earliest first. A renewal does not change it: an entry that comes up early is put back then.
        self._queue: List[Tuple[float, str]] = []
        self.used_bytes = 0  # estimated, for the limit of the storage

    def details(self, name: str) -> Details:
        """Return the details of a name; empty for a plain registration."""
        return self._details.get(name, NO_DETAILS)

    def all_details(self) -> Dict[str, Details]:
        """Return the details of all names that have some."""
        return dict(self._details)

    def set(self, name: str, details: Details) -> None:
        """Replace the details of a name. Its leases begin now, except those that it has had before."""
        # A name that is registered again with a lease that it has had, as a group whose other members change, must
        # not extend it.
        old_ids = {lease.lease_id: lease.ttl for lease in self.details(name).leases()}
        kept = {lease.lease_id for lease in details.leases() if old_ids.get(lease.lease_id) == lease.ttl}
        before = self._details.get(name)
        # Replaced in one step: lookups read the members without the lock, and must never find none between two states.
        if details != NO_DETAILS:
            self._details[name] = details
            self.used_bytes += _cost(details)
        else:
            self._details.pop(name, None)
        self._discard(before, kept)
        for lease in details.leases():
            if lease.lease_id not in kept:
                self._start(name, lease)

    def remove(self, name: str) -> None:
        """Remove the details of a name."""
        # Without details there is no entry: most names of a name server have no lease.
        self._discard(self._details.pop(name, None), ())

    def renew(self, name: str, lease_id: str) -> bool:
        """Start a lease anew; return False if the name has no such lease."""
        entry = self._ends.get(lease_id)
        # An id of another name is refused like an unknown one, so that ids cannot be tried out.
        if entry is None or entry[1] != name:
            return False
        self._ends[lease_id] = self._clock() + entry[2], name, entry[2]
        return True

    def seconds_left(self, lease_id: str) -> float:
        """Return how long a lease still lasts."""
        return max(self._ends[lease_id][0] - self._clock(), 0.0) if lease_id in self._ends else 0.0

    def ended(self) -> Dict[str, List[str]]:
        """Return the leases that have ended: name -> lease ids. They stay in the table until they are removed."""
        found: Dict[str, List[str]] = {}
        # Collected and put back after the loop, which would otherwise meet them again.
        now, again = self._clock(), []
        while self._queue and self._queue[0][0] <= now:
            _, lease_id = heapq.heappop(self._queue)
            if lease_id in self._ends:  # otherwise it was removed or replaced
                end, name, _ = self._ends[lease_id]
                again.append((end, lease_id))
                if end <= now:
                    found.setdefault(name, []).append(lease_id)
        for entry in again:
            heapq.heappush(self._queue, entry)
        return found

    def next_end(self) -> Optional[float]:
        """Return a time at which a lease may end, and before which none does; None without leases."""
        return self._queue[0][0] if self._ends else None

    def _start(self, name: str, lease: Lease) -> None:
        end = self._clock() + lease.ttl
        # One entry for each lease, with the ttl: a renewal needs nothing else.
        self._ends[lease.lease_id] = end, name, lease.ttl
        # Entries of removed leases stay in the queue until their time has come. Rebuilt when there are too many of them.
        if len(self._queue) > 2 * len(self._ends) + 100:
            self._queue = [(each[0], lease_id) for lease_id, each in self._ends.items()]
            heapq.heapify(self._queue)
        else:
            heapq.heappush(self._queue, (end, lease.lease_id))

    def _discard(self, details: Optional[Details], kept_ids: Iterable[str]) -> None:
        if details is None:
            return
        self.used_bytes -= _cost(details)
        for lease in details.leases():
            if lease.lease_id not in kept_ids:
                self._ends.pop(lease.lease_id, None)  # may have been removed as another name's


def _cost(details: Details) -> int:
    return DETAILS_BYTES + sum(DETAILS_BYTES + len(member.uri) for member in details.members)


class ExpiryTimer:
    """Calls a function at the time that it asked for, in a thread that exists only while there is a time to wait for.

    Args:
        expire: called without a lock; returns the time of its next call, None for none.
        clock: returns monotonic seconds.
    """

    def __init__(self, expire: Callable[[], Optional[float]], clock: Callable[[], float] = time.monotonic) -> None:
        self._expire = expire
        self._clock = clock
        self._condition = threading.Condition()  # guards the attributes below
        self._at = math.inf
        self._thread: Optional[threading.Thread] = None
        self._closed = False

    def schedule(self, at: Optional[float]) -> None:
        """Call the function at this time, or earlier if that is scheduled already."""
        with self._condition:
            if at is None or self._closed or at >= self._at:
                return
            self._at = at
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="Pyro5 name server leases")
                # A daemon thread: a program that forgets to close its name server can end.
                self._thread.start()
            else:
                self._condition.notify()  # it waits for a later time

    def close(self) -> None:
        """Stop the thread, and wait for it. Can be called more than once."""
        with self._condition:
            self._closed = True
            thread = self._thread
            self._condition.notify()
        # In the thread itself, which is where expire() runs, joining would wait forever.
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while self._wait():
            at = self._expire()
            # Another lease may have been registered while expire() was running; the earlier of both times counts.
            with self._condition:
                self._at = min(self._at, math.inf if at is None else at)

    def _wait(self) -> bool:
        """Wait for the scheduled time; return False if there is none, or the timer was closed."""
        with self._condition:
            while not self._closed and self._at < math.inf:
                left = self._at - self._clock()
                if left <= 0:
                    # Cleared first: schedule() compares with it, and the time that has come must not be in its way.
                    self._at = math.inf
                    return True
                # At most a number that the platform can wait for; then the loop looks again.
                self._condition.wait(min(left, threading.TIMEOUT_MAX))
            # Under the lock, so that schedule() either sees the thread, or starts a new one.
            self._thread = None
            return False
