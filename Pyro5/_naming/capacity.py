"""Limits on the memory that clients can make a name server use: a total for registrations, and slots for searches with large
results.
"""
from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
import weakref
from typing import Any, Callable, Dict, Optional

from .. import errors, protocol
from ..callcontext import current_context
from .storage import Registration, Storage, cost

log = logging.getLogger("Pyro5.nameserver")

# Interval between full counts: other processes may change the storage too, so the running total is only an estimate.
RECOUNT_SECONDS = 10.0
# From this total size on, searches need one of a limited number of slots.
LARGE_BYTES = 8 << 20
TURNS = 2                       # concurrent searches, each until its reply is encoded
TURN_SECONDS = 10.0             # how long a search waits for a slot
RESULTS_PER_REQUEST = 8         # searches in one batch
UNREAD_BYTES = 256 << 20        # limit for large results that clients have not read yet


class Capacity:
    """Tracks the size of all registrations and rejects those that exceed the limit. The caller holds the lock of the name
    server.

    Args:
        limit_bytes: the setting NS_MAX_SIZE; 0 means no limit.
        clock: returns monotonic seconds.
    """

    def __init__(self, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._clock = clock
        self._recount_at = -sys.float_info.max

    def recount(self, storage: Storage) -> None:
        """Count all registrations again, unless that was done less than `RECOUNT_SECONDS` ago."""
        # At most once per interval: a count reads all registrations.
        if self._clock() >= self._recount_at:
            self.used_bytes = storage.total_cost()
            self._recount_at = self._clock() + RECOUNT_SECONDS

    def store(self, storage: Storage, name: str, registration: Registration, is_own: bool = False,
              details: Optional[str] = None, details_bytes: int = 0) -> None:
        """Store a registration if the limit allows it.

        Args:
            is_own: store it regardless of the limit: the name server's own registration, or one from which something was
                removed.
            details: as for `Storage.store`.
            details_bytes: the memory of the details of all registrations.

        Raises:
            NamingError: the name server is full.
        """
        if self._recount_at < 0:
            self.recount(storage)
        added = cost(name, registration) - (cost(name, storage[name]) if name in storage else 0)
        # The running total does not know the changes of other processes, so count again before refusing a registration.
        more = details_bytes + (added if details is None else max(added, 0) + len(details))
        if more > 0 and self._is_too_much(more) and not is_own and (added > 0 or details is not None):
            self.recount(storage)
            if self._is_too_much(more):
                raise errors.NamingError("the name server is full: its registrations take %d bytes of %d (its setting "
                                         "NS_MAX_SIZE); remove some" % (self.used_bytes, self.limit_bytes))
        storage.store(name, registration, details)
        # A storage that is shared reports all changes later, its own too.
        if not storage.is_shared:
            self.used_bytes += added

    def _is_too_much(self, added: int) -> bool:
        return 0 < self.limit_bytes < self.used_bytes + added

    def removed(self, found: Dict[str, Registration]) -> None:
        """Subtract the size of registrations that were removed."""
        # An estimate must not become negative: it is compared with the limit.
        self.used_bytes = max(self.used_bytes - sum(cost(name, registration) for name, registration in found.items()), 0)


class SearchTurns:
    """Bounds the memory used by large results: only a few are built at the same time, and if clients leave too many bytes
    unread, they are disconnected, beginning with those whose search is oldest. Thread-safe.

    Args:
        waiting: how many searches may wait for a slot.
    """

    def __init__(self, waiting: int = TURNS) -> None:
        self._turns = threading.BoundedSemaphore(TURNS)
        self._waiting = threading.BoundedSemaphore(waiting)
        self._lock = threading.Lock()  # guards the attributes below
        self._results: Dict[int, int] = {}  # thread that holds a slot -> results in its request so far
        self._receivers: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()  # oldest search first

    def begin(self) -> None:
        """Acquire a slot for the search of the client that this thread serves, until `end`. Searches by the process itself
        need none.

        Raises:
            NamingError: too many searches are waiting, the wait timed out, or the request contains too many searches.
        """
        client = current_context.client
        if client is None:
            return
        if current_context.msg_flags & protocol.FLAGS_ONEWAY:
            raise errors.NamingError("a search in a oneway call has no reply to go into")
        # Per thread, because a thread handles one request from its beginning to the reply.
        thread = threading.get_ident()
        with self._lock:
            count = self._results.get(thread, 0) + 1
            if count > RESULTS_PER_REQUEST:
                raise errors.NamingError("a batch can have %d searches of a large name server" % RESULTS_PER_REQUEST)
            if count > 1:
                self._results[thread] = count
                return
        self._take_turn()
        with self._lock:
            self._results[thread] = 1
            self._receivers.pop(client, None)
            self._receivers[client] = None  # moved to the end: it has the newest search
        self._disconnect_excess()

    def end(self) -> None:
        """Release the slot of this thread, if it holds one: the reply is encoded, and sent as far as the client reads."""
        if self._results:  # always empty for small name servers
            with self._lock:
                had_turn = self._results.pop(threading.get_ident(), 0)
            if had_turn:
                self._disconnect_excess()
                self._turns.release()

    def _take_turn(self) -> None:
        # A bounded number of threads waits: the others have to serve clients that search nothing.
        if not self._waiting.acquire(blocking=False):
            raise _busy()
        try:
            if not self._turns.acquire(timeout=TURN_SECONDS):
                raise _busy()
        finally:
            self._waiting.release()

    def _disconnect_excess(self) -> None:
        with self._lock:
            receivers = list(self._receivers)
        unread = {receiver: _unread_bytes(receiver) for receiver in receivers}
        excess = sum(unread.values()) - UNREAD_BYTES
        # In the order of their searches, the oldest first: those have had the most time to read.
        for receiver, count in unread.items():
            if excess > 0 and count:
                log.warning("closing the connection with %s: it has not read %d bytes of its search's result, and all clients "
                            "together too many", receiver.peer_address, count)
                with self._lock:
                    self._receivers.pop(receiver, None)
                receiver.close()  # outside of the lock: it may wake the loop
                excess -= count


def _unread_bytes(connection: Any) -> int:
    """Return how many reply bytes a client has not read yet; another thread may be sending at the same time."""
    if connection.dropped:
        return 0
    for _ in range(3):
        with contextlib.suppress(RuntimeError):  # the buffers changed during iteration
            return int(connection.buffered_bytes)
    return 0


def _busy() -> errors.NamingError:
    return errors.NamingError("too many searches are going on here, try again in a moment")
