"""How clients get in: the listening socket in the loop."""
from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from typing import Any, Callable, Optional

from .._net import busy_poll
from .eventloop import READ, EventLoop
from .listener import Listener

log = logging.getLogger("Pyro5.server.acceptor")

ACCEPT_AT_ONCE = 64  # clients accepted in one go, before the others are looked at again
LOOKS = 50  # of a worker, at 2 microseconds each: a client on another processor that connects again at once takes no longer
ACCEPT_PAUSE_SECONDS = 0.1  # while the process has no file descriptors left
_EPOLL: Any = getattr(selectors, "EpollSelector", ())


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
        self._attempts = busy_poll.PollingAttempts()
        # held by the worker that accepts in the place of the loop
        self._replacement = threading.Lock()
        # guards _watched, and the listening socket's entry in the selector, which takes several steps to change; reentrant,
        # as a signal handler may close this meanwhile
        self._registration = threading.RLock()

    def on_ready(self, events: int) -> None:
        """Called by the loop when clients wait to be accepted."""
        self.accept()

    def watch(self, wanted: bool) -> None:
        """Wait for new clients, or stop that."""
        self.again_at = None
        with self._registration:
            if wanted == self._watched:
                return
            self._watched = wanted
            if wanted:
                self._loop.register(self.listener.sock, READ, self)
            else:
                with contextlib.suppress(KeyError, ValueError):  # somebody has closed the socket behind our back
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

    # ------------------------------------------------------------ for workers

    def replace_loop(self) -> bool:
        """
        Accept clients in the place of the loop, for a moment; False if that does not pay now, or cannot be done.

        Many clients connect anew for every call.  The worker that sees one off can serve the next one sooner than a worker
        that the loop, itself woken for it, has to wake.
        """
        if not (self._watched and busy_poll.is_promising() and isinstance(self._loop.selector, _EPOLL)
                and self._replacement.acquire(blocking=False)):
            return False
        if self._attempts.try_begin():
            if self._wait_for(0):
                return True
            self._attempts.end(False)
        self._replacement.release()
        return False

    def accept_soon(self) -> Optional[socket.socket]:
        """Accept a client, if it comes in a moment, and let the loop accept the following ones.  To be called soon, and
        once, after replace_loop() has given True."""
        found = None
        try:
            for _ in range(LOOKS):
                found = self.listener.accept()
                if found is not None:
                    break
        except OSError:
            pass  # out of resources: the loop meets the same, and knows what to do
        finally:
            self._wait_for(READ)
            self._attempts.end(found is not None)
            self._replacement.release()
        return found

    def _wait_for(self, events: int) -> bool:
        """Let the loop be woken by new clients, or (0) not; False if it does not wait for them at all.  Unlike unregistering,
        this changes nothing that the loop may be going through just now."""
        with self._registration:
            if not self._watched:
                return False  # closed meanwhile, or somebody else accepts
            try:
                self._loop.selector.modify(self.listener.sock, events, self)
            except (KeyError, ValueError, OSError):
                return False  # somebody has closed the socket behind our back
        return True

    def close(self) -> None:
        """Stop listening for good."""
        self.watch(False)
        self.listener.close()
