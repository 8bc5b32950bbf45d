"""Deadlines of connections: one per connection, all with the same timeout."""
from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Any, List, Optional

from .connection import ServerConnection


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
