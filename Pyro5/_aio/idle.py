"""Close further connections of asyncio proxies that have not been used for a while."""
from __future__ import annotations

import asyncio
from typing import Dict, List, Optional

from .._client.pool import IDLE_SECONDS
from .connection import Connection


class IdleConnections:
    """Looks at the connections of a proxy twice in IDLE_SECONDS while there are several. Belongs to the event loop.

    Args:
        connections: the first one stays open.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connections: List[Connection],
                 idle_seconds: float = IDLE_SECONDS) -> None:
        self._loop = loop
        self._connections = connections  # and not the proxy, which can be deleted meanwhile
        self._interval = idle_seconds / 2
        self._timer: Optional[asyncio.TimerHandle] = None
        self._unused: Dict[Connection, int] = {}  # connection -> at how many looks it had not been used since the one before

    def begin(self) -> None:
        """Look at the connections from now on, if there are several."""
        if self._timer is None and len(self._connections) > 1:
            self._timer = self._loop.call_later(self._interval, self._look)

    def end(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        before, self._unused = self._unused, {}
        for connection in self._connections[1:]:
            if not connection.was_used():
                self._unused[connection] = before.get(connection, 0) + 1
                if self._unused[connection] > 1:
                    del self._unused[connection]
                    connection.close()
        self.begin()
