"""Limits on the memory and file descriptors that the clients of a server can use; deadlines of their connections."""
from __future__ import annotations

import logging
import math
import time
from collections import Counter, OrderedDict
from itertools import islice
from typing import Any, Callable, Dict, Iterable, List, Optional

from .. import NamedTuple, config, errors
from .._calls import error_log
from ..configure import global_version
from .address_queue import address_key
from .connection import ServerConnection

try:
    import resource
except ImportError:  # Windows: it has no such limit
    resource = None  # type: ignore[assignment]

log = logging.getLogger("Pyro5.server.quotas")

UNCOUNTED_BYTES = 64 * 1024  # smaller amounts are not counted
# connections that are checked for a disconnect that their worker has not noticed yet; beyond this number they count as
# connected
MAX_PEEKS = 16
MAX_COMPARED = 64  # connections without a handshake whose addresses are compared when one of them has to be closed
RETRY_SECONDS, REFUSALS_PER_RETRY = 1.0, 25  # when refused clients should try again; each 25 of them add as many seconds
MAX_REFUSALS = 100  # clients that are told at the same time that the server is full; others are closed without a reply
REFUSAL_SECONDS = 1.0  # how long a refused client has to read the reason
SPARE_FILES = 64  # open files that are left to the rest of the program, besides a tenth of all


class Limits(NamedTuple):
    """Settings, see `Limited`. A size or number of 0 means that there is no limit.

    Attributes:
        connections: the number of clients that may be connected at the same time.
        handshake_seconds: how long a handshake may take; may be infinite.
        handshake_bytes: the size of the message of a handshake.
        message_bytes: the size of all other messages.
        inflated_bytes: the size that a compressed message may have when decompressed in any case, see MessageReader.
        buffered_bytes: the bytes that all clients together may have in transit.
    """

    connections: float
    handshake_seconds: float
    handshake_bytes: int
    message_bytes: int
    inflated_bytes: int
    buffered_bytes: int


def configured_limits() -> Limits:
    """Return the limits according to the settings."""
    seconds = [s for s in (config.HANDSHAKE_TIMEOUT, config.COMMTIMEOUT) if s and s > 0]
    sizes = [size for size in (config.MAX_HANDSHAKE_SIZE, config.MAX_MESSAGE_SIZE) if size and size > 0]
    # A tenth, but at least SPARE_FILES, remain for files, databases and proxies of the program.
    max_files = config.MAX_CONNECTIONS or 0
    return Limits(max_files if max_files > 0 else _files_for_clients(),
                  min(seconds, default=math.inf), min(sizes, default=0), config.MAX_MESSAGE_SIZE or 0,
                  config.MAX_INFLATED_SIZE or 0, config.MAX_BUFFERED_SIZE or 0)


def _files_for_clients() -> float:
    """Return how many of the files that this process may open can be connections."""
    if resource is None:
        return math.inf
    # The soft limit: open() fails at this number, even if the hard limit is higher.
    max_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if max_files == resource.RLIM_INFINITY else max(1, max_files - max(SPARE_FILES, max_files // 10))


class LoopAccount:
    """The seconds of the loop's time that several connections have used together.

    Attributes:
        loop_seconds, shared_seconds, waits_at: see FairOrder.
    """

    def __init__(self) -> None:
        self.loop_seconds = self.shared_seconds = 0.0
        self.waits_at: Optional[float] = None


def count_disconnected(connections: Iterable[ServerConnection]) -> int:
    """Return how many of these connections, which workers own, have disconnected: known ones, and those that a quick
    check finds.
    """
    ended = left = 0
    # Known ends cost nothing. A look at a socket is a system call, so there are only a few of these per new client.
    for connection in connections:
        if connection.ended:
            ended += 1
        elif left < MAX_PEEKS and connection.is_at_end:
            left += 1
    return ended + left


def server_full(connections: float, refusals: int) -> errors.ProtocolError:
    """Build the error for a client that connects to a full server; it says when to try again.

    Args:
        connections: the number of clients that are connected.
        refusals: the number of clients that were refused in the last second: the more there are, the later they should return.
    """
    error = errors.ProtocolError("the server is busy: %d clients are connected, and no more are accepted" % connections)
    error.retry_after = RETRY_SECONDS * (1 + refusals / REFUSALS_PER_RETRY)
    return error


def first_to_close(handshakes: Deadlines, is_owned: Callable[[ServerConnection], bool]) -> Optional[ServerConnection]:
    """Return the connection without a handshake that is closed first to make room for others, None if there is none.

    Among those that have been waiting longest, it is one from the address that has most of them: a client that connects
    slowly does not make room for a flood from elsewhere.

    Args:
        handshakes: all that wait for their handshake.
        is_owned: returns whether another thread owns the connection, so that the loop cannot close it.
    """
    # Not all of them are compared, because this happens for each new client while the server is full.
    oldest = [connection for connection in handshakes.oldest(MAX_COMPARED) if not is_owned(connection)]
    counts = Counter(address_key(connection.peer_address) for connection in oldest)
    return max(oldest, key=lambda connection: counts[address_key(connection.peer_address)], default=None)


class BufferQuota:
    """Counts the bytes of partly sent and partly received messages, and of large requests (decompressed) that workers
    are handling.

    Connections with partial messages are kept in the order in which they last made progress, so the connection that
    has been stalled longest is closed first when there are too many bytes. Belongs to the thread of the loop.

    Args:
        max_bytes: the limit for all connections together, 0: none. This attribute can be changed.

    Attributes:
        total_bytes: the bytes of all connections together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.total_bytes = 0
        self._counts: OrderedDict[ServerConnection, int] = OrderedDict()
        self._held: Dict[ServerConnection, int] = {}
        self._held_bytes = 0  # part of the total

    def note(self, connection: ServerConnection) -> None:
        """Update the count of a connection that has made progress."""
        # Removed and added again, so that the order is that of the last progress: what has been stalled longest is in front.
        self.forget(connection)
        count = connection.buffered_bytes
        if count >= UNCOUNTED_BYTES:
            self._counts[connection] = count
            self.total_bytes += count

    def forget(self, connection: ServerConnection) -> None:
        """Remove a connection, which has nothing in transit any more."""
        # Most messages are small and never counted: two comparisons are all that they cost.
        if self._counts:
            self.total_bytes -= self._counts.pop(connection, 0)
        if self._held:
            count = self._held.pop(connection, 0)
            self._held_bytes -= count
            self.total_bytes -= count

    def hold(self, connection: ServerConnection, count: int) -> None:
        """Count a request that is handed to a worker. These bytes cannot be freed until the worker returns the connection.

        Raises:
            MessageTooLargeError: there is no room for this number of bytes.
        """
        self.forget(connection)
        # Refused before it is counted. Without this check, requests that wait for workers could take any amount of memory.
        if 0 < self.max_bytes < self._held_bytes + count:
            raise errors.MessageTooLargeError("the server is busy: a request of %d bytes is too large now (MAX_BUFFERED_SIZE)"
                                              % count)
        self._held[connection] = count
        self._held_bytes += count
        self.total_bytes += count

    def remove_excess(self) -> List[ServerConnection]:
        """Remove and return the connections that have to be closed."""
        excess: List[ServerConnection] = []
        # Held bytes cannot be freed, so only stalled connections are closed, the one without progress for the longest
        # time first.
        while 0 < self.max_bytes < self.total_bytes and self._counts:
            connection, count = self._counts.popitem(last=False)
            self.total_bytes -= count
            excess.append(connection)
            log.warning("closing the connection with %s: it is stalled with %d bytes in transit, and all clients together "
                        "have more than MAX_BUFFERED_SIZE", connection.peer_address, count)
        return excess


class Limited:
    """Base class of a server: its connections, its limits, and what is counted because of them.

    Attributes:
        limits: the limits according to the settings.
        on_refusal: called with the reason when a client is refused, see error_log.
        earliest_deadline: see EventLoop.
        drop: closes a connection, and removes it. Implemented by subclasses.
        refuse: sends a client the reason why it is refused, and closes the connection. Implemented by subclasses.
    """

    drop: Callable[[Any], None]
    refuse: Callable[[Any, errors.ProtocolError], None]
    earliest_deadline = 0.0
    interrupts_batches = False  # whether other clients are served between the calls of a batch

    def __init__(self) -> None:
        super().__init__()
        self._limits_version = global_version.number
        self.limits = configured_limits()
        self.on_refusal: Callable[[str], None] = lambda reason: None
        self._handshakes = Deadlines(self.limits.handshake_seconds, self)
        self._idle_deadlines = Deadlines(config.COMMTIMEOUT or 0.0, self)  # read once, as proxies do
        self._buffered = BufferQuota(self.limits.buffered_bytes)
        # Without a lock: workers only add entries, and the loop removes them; iterating takes a copy.
        self._connections: Dict[Any, ServerConnection] = {}  # by socket
        self._refusals = Deadlines(REFUSAL_SECONDS, self)  # connections that are closed when their client has read the reason

    def current_limits(self) -> Limits:
        """Return the limits according to the current settings. Can be called from any thread."""
        version = global_version.number
        if version != self._limits_version:
            self.limits = configured_limits()
            self._limits_version = version  # last: until then, other threads do not rely on the old limits
        return self.limits

    def apply_limits(self) -> None:
        """Apply the limits of the current settings. Belongs to the thread of the loop."""
        limits = self.current_limits()
        if limits.handshake_seconds != self._handshakes.seconds:
            self._handshakes.seconds = limits.handshake_seconds
            self.earliest_deadline = 0.0  # it is computed again
        self._buffered.max_bytes = limits.buffered_bytes

    def all_connections(self) -> List[Any]:
        """Return all connections that have not ended. Can be called from any thread."""
        return list(self._connections.values())  # a copy, because workers may add one at the same time

    def _is_full(self) -> bool:
        """Return whether no further client may connect."""
        excess = len(self._connections) - len(self._refusals) - self.limits.connections
        # The loop would have noticed that those it watches have disconnected, so only the others are checked.
        return excess >= 0 and excess >= count_disconnected([c for c in self.all_connections() if not c.watched])

    def _refuse_full(self, connection: Any) -> None:
        self.on_refusal(error_log.FULL)
        if connection.tls_handshake or len(self._refusals) >= MAX_REFUSALS:
            self.drop(connection)
        else:
            self.refuse(connection, server_full(self.limits.connections, len(self._refusals)))

    def _is_in_thread(self, connection: Any) -> bool:
        """Return whether another thread owns a connection without a handshake, so that the loop cannot close it."""
        return False

    def _make_room(self) -> bool:
        """Close a connection that has been waiting long without a handshake. Return whether there was one."""
        candidate = first_to_close(self._handshakes, self._is_in_thread)
        while candidate is not None and not candidate.claim_handshake():  # it is being answered, or has been
            self._handshakes.stop(candidate)
            candidate = first_to_close(self._handshakes, self._is_in_thread)
        if candidate is None:
            return False
        log.info("closing the connection with %s, which has sent no handshake, to make room for others",
                 error_log.client_name(candidate))
        self.drop(candidate)
        return True

    def _count_large_request(self, connection: Any, size: int) -> None:
        """Add a large request to the total that all clients have in transit, until it is answered.

        Raises:
            MessageTooLargeError: there is no room for it.
        """
        try:
            self._buffered.hold(connection, size)
        except errors.MessageTooLargeError:
            connection.refuse_message()
            raise
        # The memory that this request has added may be what exceeds the total.
        self._drop_excess()

    def _count_partial_messages(self, connection: Any) -> None:
        """Update the count of what is partly sent or received, after a connection has made progress."""
        if connection.has_outgoing or connection.mid_message:
            self._buffered.note(connection)
            self._drop_excess()
        else:
            self._buffered.forget(connection)

    def _drop_excess(self) -> None:
        for stalled in self._buffered.remove_excess():
            self.drop(stalled)

    def _start_timeout(self, connection: ServerConnection) -> None:
        """Start the time that the client has for its next step."""
        if connection.handshake_done:
            self._handshakes.started.pop(connection, None)
            if self._idle_deadlines.seconds > 0:  # else it would do nothing, and reading the clock takes as long as the rest
                self._idle_deadlines.start(connection, time.monotonic())
        elif connection not in self._handshakes:  # its time is not extended by each byte that is received
            self._handshakes.start(connection, time.monotonic())

    def _forget_times(self, connection: ServerConnection) -> None:
        """Stop all timeouts of a connection, and remove it from the counts."""
        self._handshakes.started.pop(connection, None)
        self._idle_deadlines.started.pop(connection, None)
        if self._buffered.total_bytes:
            self._buffered.forget(connection)


class Deadlines:
    """Connections in the order of their deadlines.

    All have the same timeout, so a connection whose time is restarted moves to the end: nothing is sorted or searched.
    Belongs to the thread of the loop; the current time is an argument.

    Args:
        seconds: the timeout; 0: none. (If it is infinite, the connections are stored, but never expire.) This
            attribute can be changed, and then also applies to deadlines that have been started.
        loop: its ``earliest_deadline`` is kept, see EventLoop.

    Attributes:
        started: connection -> when its time was started. The loop only looks whether there are any.
    """

    def __init__(self, seconds: float, loop: Any) -> None:
        self.seconds = seconds
        self._loop = loop
        self.started: OrderedDict[ServerConnection, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self.started)

    def __contains__(self, connection: ServerConnection) -> bool:
        return connection in self.started

    def oldest(self, count: int) -> List[ServerConnection]:
        """Return the connections with the earliest deadlines, at most this many."""
        return list(islice(self.started, count))

    def start(self, connection: ServerConnection, now: float) -> None:
        """Start, or restart, the time of a connection."""
        if self.seconds > 0:
            # Assigning to a present key keeps its place, and the order has to be that of the deadlines.
            self.started[connection] = now
            self.started.move_to_end(connection)
            if now + self.seconds < self._loop.earliest_deadline:
                self._loop.earliest_deadline = now + self.seconds

    def stop(self, connection: ServerConnection) -> None:
        """Remove a connection, if it is here."""
        self.started.pop(connection, None)

    def next_deadline(self) -> Optional[float]:
        """Return the earliest deadline, None if there is none."""
        # The first entry is the earliest, because all have the same timeout: no heap is needed.
        if self.seconds > 0:
            for started in self.started.values():
                return started + self.seconds
        return None

    def pop_expired(self, now: float) -> List[ServerConnection]:
        """Remove and return the connections whose deadline has passed."""
        expired = []
        # The first one that has not expired ends the search: all after it were started later.
        for connection, started in self.started.items():
            if self.seconds <= 0 or started + self.seconds > now:
                break
            expired.append(connection)
        for connection in expired:  # not within the loop above, which iterates over it
            del self.started[connection]
        return expired
