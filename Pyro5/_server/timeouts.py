"""Which connections have run out of time: one deadline per connection, all of the same length."""
from __future__ import annotations

from collections import OrderedDict
from typing import List, Optional

from .connection import ServerConnection


class Deadlines:
    """Connections in the order in which their time runs out.

    Since all get the same number of seconds, a connection whose time starts anew simply goes to the end: nothing is
    ever sorted or scanned.  Belongs to the loop's thread; the clock's reading is an argument.

    Args:
        seconds: how long a connection has; 0: for ever.  (If it is infinite, the connections are known all the same.)
            The attribute of this name may be changed, and counts for the time that is running, too.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._started: OrderedDict[ServerConnection, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._started)

    def __contains__(self, connection: ServerConnection) -> bool:
        return connection in self._started

    def oldest(self) -> Optional[ServerConnection]:
        """Give the connection whose time runs out first, None if there is none."""
        return next(iter(self._started), None)

    def start(self, connection: ServerConnection, now: float) -> None:
        """Let the connection's time start (anew)."""
        if self.seconds > 0:
            self._started[connection] = now
            self._started.move_to_end(connection)

    def stop(self, connection: ServerConnection) -> None:
        """Forget the connection's deadline, if it has one."""
        self._started.pop(connection, None)

    def next_due(self) -> Optional[float]:
        """When the first deadline is due, None if there is none."""
        if self.seconds > 0:
            for started in self._started.values():
                return started + self.seconds
        return None

    def take_expired(self, now: float) -> List[ServerConnection]:
        """Take out and give the connections whose time has run out."""
        expired = []
        for connection, started in self._started.items():
            if self.seconds <= 0 or started + self.seconds > now:
                break
            expired.append(connection)
        for connection in expired:
            del self._started[connection]
        return expired
