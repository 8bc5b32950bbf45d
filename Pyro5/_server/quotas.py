"""What keeps a server's memory and file descriptors within bounds, whatever its clients do."""
from __future__ import annotations

import logging
import math
from collections import OrderedDict
from typing import Dict, Iterable, List, NamedTuple

from .. import config, errors
from ..configure import global_version
from .connection import ServerConnection
from .timeouts import Deadlines

try:
    import resource
except ImportError:  # Windows: there is no such limit to look at
    resource = None  # type: ignore[assignment]

log = logging.getLogger("Pyro5.server.quotas")

SMALL_BYTES = 64 * 1024  # what is not worth being counted
MOST_LEFT = 16  # clients whose leaving a worker has not noticed yet; more count as present, lest the limit is exceeded
SPARE_FILES = 64  # open files that the rest of the program is left with, and a tenth of all that it may have


class Limits(NamedTuple):
    """Settings, see `Limited`.

    Attributes:
        connections: clients that may be connected at once.
        handshake_seconds: how long a client may take to introduce itself; may be infinite.
        handshake_bytes: the size of a message that introduces a client, 0: any.
        message_bytes: the size of every other message, 0: any.
        inflated_bytes: what a compressed message may always become, see MessageReader; 0: anything.
        buffered_bytes: what all clients together may have under way, 0: any number.
    """

    connections: float
    handshake_seconds: float
    handshake_bytes: int
    message_bytes: int
    inflated_bytes: int
    buffered_bytes: int


def configured() -> Limits:
    """Give the limits that the settings make."""
    seconds = [s for s in (config.HANDSHAKE_TIMEOUT, config.COMMTIMEOUT) if s and s > 0]
    sizes = [size for size in (config.MAX_HANDSHAKE_SIZE, config.MAX_MESSAGE_SIZE) if size and size > 0]
    most = config.MAX_CONNECTIONS or 0
    return Limits(most if most > 0 else _files_for_clients(),
                  min(seconds, default=math.inf), min(sizes, default=0), config.MAX_MESSAGE_SIZE or 0,
                  config.MAX_INFLATED_SIZE or 0, config.MAX_BUFFERED_SIZE or 0)


def _files_for_clients() -> float:
    """How many of the files that this process may have open can be connections."""
    if resource is None:
        return math.inf
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if most == resource.RLIM_INFINITY else max(1, most - max(SPARE_FILES, most // 10))


class LoopAccount:
    """How many seconds of the loop's time several connections have had together."""

    def __init__(self) -> None:
        self.loop_seconds = 0.0


def count_gone(connections: Iterable[ServerConnection]) -> int:
    """How many clients are gone, of those whose connections workers have: known to be, or found to be in a moment."""
    ended = left = 0
    for connection in connections:
        if connection.ended:
            ended += 1
        elif left < MOST_LEFT and connection.is_left:
            left += 1
    return ended + left


class Buffered:
    """How many bytes of half-sent and half-received messages there are, and of large requests (inflated, if they were
    compressed) that workers have.  Belongs to the loop's thread.

    Those connections that sent or received a part are known in the order in which they last made progress, so it is the
    stalled ones that have to go when it becomes too much.

    Args:
        max_bytes: so many are allowed for all together, 0: any number.  The attribute of this name may be changed.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._total = 0
        self._counts: OrderedDict[ServerConnection, int] = OrderedDict()
        self._held: Dict[ServerConnection, int] = {}
        self._held_bytes = 0  # part of the total

    @property
    def total_bytes(self) -> int:
        """What all together have."""
        return self._total

    def note(self, connection: ServerConnection) -> None:
        """A connection made progress: take note of what it has now."""
        self.forget(connection)
        count = connection.buffered_bytes
        if count >= SMALL_BYTES:
            self._counts[connection] = count
            self._total += count

    def forget(self, connection: ServerConnection) -> None:
        """A connection has nothing under way any more."""
        if self._counts:
            self._total -= self._counts.pop(connection, 0)
        if self._held:
            count = self._held.pop(connection, 0)
            self._held_bytes -= count
            self._total -= count

    def hold(self, connection: ServerConnection, count: int) -> None:
        """Count a request that a worker gets now.  Nothing can be done about it until the worker gives it back.

        Raises:
            MessageTooLargeError: there is no room for so many bytes.
        """
        self.forget(connection)
        if 0 < self.max_bytes < self._held_bytes + count:
            raise errors.MessageTooLargeError("the server is busy: a request of %d bytes is too large now (MAX_BUFFERED_SIZE)"
                                              % count)
        self._held[connection] = count
        self._held_bytes += count
        self._total += count

    def take_excess(self) -> List[ServerConnection]:
        """Take out, and give, those that have to go."""
        excess: List[ServerConnection] = []
        while 0 < self.max_bytes < self._total and self._counts:
            connection, count = self._counts.popitem(last=False)
            self._total -= count
            excess.append(connection)
            log.warning("closing the connection with %s: it is stalled with %d bytes under way, and all clients together "
                        "have more than MAX_BUFFERED_SIZE", connection.peer_address, count)
        return excess


class Limited:
    """Part of a server: its limits, and what is counted because of them.

    Attributes:
        limits: the settings that bound what clients may use.
    """

    interrupts_batches = False  # whether other clients are served between the calls of a batch

    def __init__(self) -> None:
        super().__init__()
        self._limits_version = global_version.number
        self.limits = configured()
        self._handshakes = Deadlines(self.limits.handshake_seconds)
        self._silence = Deadlines(config.COMMTIMEOUT or 0.0)  # read once, as proxies do
        self._buffered = Buffered(self.limits.buffered_bytes)

    def current_limits(self) -> Limits:
        """Return the limits that the settings make now.  May be called in any thread."""
        version = global_version.number
        if version != self._limits_version:
            self.limits = configured()
            self._limits_version = version  # last: until then, other threads read the settings themselves
        return self.limits

    def apply_limits(self) -> None:
        """Use the limits that the settings make now.  Belongs to the loop's thread."""
        limits = self.current_limits()
        self._handshakes.seconds = limits.handshake_seconds
        self._buffered.max_bytes = limits.buffered_bytes
