"""Accept clients on a listening socket that several processes share, so that each process gets as many."""
from __future__ import annotations

import mmap
import socket
from typing import Callable, List

from .._server.acceptor import MAX_ACCEPTED_AT_ONCE, Acceptor
from .._server.eventloop import EventLoop
from .._server.listener import Listener

# How long a process leaves a client to those that have fewer. They are woken at the same time as this one, so it only
# passes if they are busy; then this process accepts the client. Long enough for a machine with more processes than
# processors: clients keep their connections for much longer.
YIELD_SECONDS = 0.02
_ABSENT = 0xFFFFFFFF  # in the place of a count: the process does not run


class ConnectionCounts:
    """The number of connections of each process, in memory that the processes share. Create it before they are forked.

    Each process changes only its own number, by one assignment of four aligned bytes, which needs no lock.
    """

    def __init__(self, processes: int) -> None:
        self._memory = mmap.mmap(-1, 4 * processes)  # anonymous: it is shared with the children of a fork
        self._counts = memoryview(self._memory).cast("I")
        for place in range(processes):
            self._counts[place] = _ABSENT

    def set(self, place: int, count: int) -> None:
        """Store the number of connections of a process."""
        self._counts[place] = count

    def set_absent(self, place: int) -> None:
        """Note that a process does not run."""
        self._counts[place] = _ABSENT

    def running(self) -> List[int]:
        """Return the places of the processes that run."""
        return [place for place, count in enumerate(self._counts.tolist()) if count != _ABSENT]

    def is_least(self, place: int) -> bool:
        """Return whether no process that runs has fewer connections than this one."""
        return self._counts[place] <= min(self._counts)

    def close(self) -> None:
        """Free the memory in this process."""
        self._counts.release()
        self._memory.close()


class SharedAcceptor(Acceptor):
    """Accepts a client if no other process has fewer; otherwise it leaves the client to the others for a moment.

    A client keeps its connection for long, so it is the number of connections that has to be the same for all processes.
    The system would wake all of them for each client, and the first one would get it: often the same one.
    """

    def __init__(self, listener: Listener, loop: EventLoop, add_connection: Callable[[socket.socket], None],
                 counts: ConnectionCounts, place: int) -> None:
        super().__init__(listener, loop, add_connection)
        self._counts = counts
        self._place = place
        self._is_yielding = False  # the pause is one in which others can accept
        counts.set(place, 0)

    def count_changed(self, connections: int) -> None:
        self._counts.set(self._place, connections)

    def accept(self) -> None:
        if self.retry_at is not None:
            return
        for _ in range(MAX_ACCEPTED_AT_ONCE):
            if not self._counts.is_least(self._place):
                self.pause(YIELD_SECONDS)  # the event stays until a process accepts the client
                self._is_yielding = True
                return
            if not self._accept_at_most(1):
                return

    def resume(self) -> None:
        super().resume()
        if self._is_yielding:
            self._is_yielding = False
            self._accept_at_most(1)

    def begin_accepting(self) -> bool:
        # A worker does not compare the numbers of connections.
        return False

    def is_out_of_resources(self) -> bool:
        return not self._is_yielding
