"""The interval of periodic work."""
from __future__ import annotations


class Housekeeper:
    """The interval of Daemon.housekeeping(). Programs know it as ``daemon.transportServer.housekeeper``.

    Belongs to the thread of the loop, except ``waittime``, which any thread may set.

    Args:
        waittime: seconds between two calls of Daemon.housekeeping().
    """

    def __init__(self, waittime: float) -> None:
        self.waittime = waittime
        self._last = float("-inf")

    def is_due(self, now: float) -> bool:
        """Return whether the interval has passed; if so, start the next one.

        Args:
            now: monotonic seconds.
        """
        if now - self._last < self.waittime:
            return False
        self._last = now
        return True
