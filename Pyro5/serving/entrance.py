"""How clients get in: the listening socket in the loop."""
from __future__ import annotations

import logging
import socket
import time
from typing import Callable, Optional

from .eventloop import READ, EventLoop
from .listener import Listener

log = logging.getLogger("Pyro5.serving.entrance")

ACCEPT_AT_ONCE = 64  # clients accepted in one go, before the others are looked at again
ACCEPT_PAUSE_SECONDS = 0.1  # while the process has no file descriptors left


class Entrance:
    """Accepts clients, and leaves that for a moment when the process has run out of something.

    Args:
        loop: where the listening socket is registered.
        take_in: is given the socket of each client.

    Attributes:
        again_at: when (monotonic seconds) the next attempt is due, None unless accepting has just failed.
    """

    def __init__(self, listener: Listener, loop: EventLoop, take_in: Callable[[socket.socket], None]) -> None:
        self.listener = listener
        self.again_at: Optional[float] = None
        self._loop = loop
        self._take_in = take_in
        self._watched = False
        self._expected = 1  # how many may wait: an attempt in vain costs as much as a success

    def on_ready(self, events: int) -> None:
        """Called by the loop when clients wait to be accepted."""
        self.accept()

    def watch(self, wanted: bool) -> None:
        """Wait for new clients, or stop that."""
        self.again_at = None
        if wanted == self._watched:
            return
        self._watched = wanted
        if wanted:
            self._loop.register(self.listener.sock, READ, self)
        else:
            self._loop.selector.unregister(self.listener.sock)

    def is_due(self, now: float) -> bool:
        """Whether it is time to try again, after accepting has failed."""
        return self.again_at is not None and now >= self.again_at

    def accept(self) -> None:
        """Let in the clients that wait."""
        if self.again_at is not None:
            return
        for _ in range(self._expected):
            try:
                sock = self.listener.accept()
            except OSError as x:
                log.warning("cannot accept clients now, trying again in %g s: %s", ACCEPT_PAUSE_SECONDS, x)
                self.watch(False)
                self.again_at = time.monotonic() + ACCEPT_PAUSE_SECONDS
                return
            if sock is None:
                self._expected = 1
                return
            self._take_in(sock)
        self._expected = min(2 * self._expected, ACCEPT_AT_ONCE)

    def close(self) -> None:
        """Stop listening for good."""
        self.watch(False)
        self.listener.close()
