"""Accept clients: the listening socket in the loop, and, for a moment, in a worker."""
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

MAX_ACCEPTED_AT_ONCE = 64  # clients that are accepted before other events are handled
# calls of accept() by a worker, about 2 microseconds each: a client on another processor that reconnects at once needs
# no longer
ACCEPT_ATTEMPTS = 50
ACCEPT_PAUSE_SECONDS = 0.1  # pause after accept() failed for lack of resources
_EPOLL: Any = getattr(selectors, "EpollSelector", ())


class Acceptor:
    """Accepts clients, and pauses when the process is out of file descriptors or memory.

    Args:
        loop: where the listening socket is registered.
        add_connection: called with the socket of each accepted client.

    Attributes:
        retry_at: when (monotonic seconds) accepting is tried again, None unless it has just failed.
    """

    def __init__(self, listener: Listener, loop: EventLoop, add_connection: Callable[[socket.socket], None]) -> None:
        self.listener = listener
        self.retry_at: Optional[float] = None
        self._loop = loop
        self._add_connection = add_connection
        self._watched = False
        # how many are accepted in a row; it grows with the load, because an accept() that finds no client costs as
        # much as one that does
        self._max_at_once = 1
        self._attempts = busy_poll.PollingAttempts()
        # Held by the worker that accepts instead of the loop: one at most.
        self._worker_accepts = threading.Lock()
        # Guards _watched and the entry of the listening socket in the selector, which takes several steps to change.
        # Reentrant, because a signal handler may close this in between.
        self._registration = threading.RLock()

    def on_ready(self, events: int) -> None:
        """Accept the waiting clients. Called by the loop when the listening socket is readable."""
        self.accept()

    def watch(self, wanted: bool) -> None:
        """Start or stop waiting for new clients in the loop."""
        self.retry_at = None
        with self._registration:
            if wanted == self._watched:
                return
            self._watched = wanted
            if wanted:
                self._loop.register(self.listener.sock, READ, self)
            else:
                with contextlib.suppress(KeyError, ValueError):  # the program has closed the socket itself
                    self._loop.selector.unregister(self.listener.sock)

    def is_retry_due(self, now: float) -> bool:
        """Return whether accepting has failed and it is time to try again."""
        return self.retry_at is not None and now >= self.retry_at

    def accept(self) -> None:
        """Accept the waiting clients, up to a limit."""
        if self.retry_at is not None:
            return
        if self._accept_at_most(self._max_at_once):
            self._max_at_once = min(2 * self._max_at_once, MAX_ACCEPTED_AT_ONCE)
        elif self.retry_at is None:
            self._max_at_once = 1

    def _accept_at_most(self, count: int) -> bool:
        """Accept this number of clients; return False if there were fewer, or accepting failed."""
        for _ in range(count):
            try:
                sock = self.listener.accept()
            except OSError as x:
                log.warning("cannot accept clients now, trying again in %g s: %s", ACCEPT_PAUSE_SECONDS, x)
                self.pause(ACCEPT_PAUSE_SECONDS)
                return False
            if sock is None:
                return False
            self._add_connection(sock)
        return True

    def pause(self, seconds: float) -> None:
        """Accept no clients for some time."""
        self.watch(False)
        self.retry_at = time.monotonic() + seconds
        self._loop.earliest_deadline = 0.0  # computed again: at the next tick at the latest, if this is another thread

    def resume(self) -> None:
        """Accept clients again, after a pause."""
        self.watch(True)

    def is_out_of_resources(self) -> bool:
        """Return whether accepting pauses because the system could not accept a client."""
        return True

    def count_changed(self, connections: int) -> None:
        """Note how many connections there are. Called by the loop after each change."""

    # ------------------------------------------------------------ for workers

    def begin_accepting(self) -> bool:
        """Accept clients in this worker instead of the loop, for a moment.

        Many clients reconnect for every call. The worker that has served the previous connection can serve the next
        one sooner than a worker that the loop, itself woken first, has to wake.

        Returns:
            whether finish_accepting() has to be called. False if polling does not pay now, or the loop is not waiting
                for clients.
        """
        if not (self._watched and busy_poll.is_promising() and isinstance(self._loop.selector, _EPOLL)
                and self._worker_accepts.acquire(blocking=False)):
            return False
        if self._attempts.try_begin():
            if self._set_events(0):
                return True
            self._attempts.end(False)
        self._worker_accepts.release()
        return False

    def finish_accepting(self) -> Optional[socket.socket]:
        """Accept a client if one connects within a moment, and make the loop accept the following ones.

        Returns:
            the socket of the client, None if there is none. The caller owns it.
        """
        found = None
        try:
            for _ in range(ACCEPT_ATTEMPTS):
                found = self.listener.accept()
                if found is not None:
                    break
        except OSError:
            pass  # out of resources: the loop gets the same error, and pauses accepting
        finally:
            self._set_events(READ)
            self._attempts.end(found is not None)
            self._worker_accepts.release()
        return found

    def _set_events(self, events: int) -> bool:
        """Make the loop wait for new clients (READ), or not (0).

        Unlike unregistering, this does not change the set of sockets, which the loop may be iterating over in its own thread.

        Returns:
            whether the loop is waiting for clients at all.
        """
        with self._registration:
            if not self._watched:
                return False  # closed meanwhile, or accepting is paused
            try:
                self._loop.selector.modify(self.listener.sock, events, self)
            except (KeyError, ValueError, OSError):
                return False  # the program has closed the socket itself
        return True

    def close(self) -> None:
        """Stop listening."""
        self.watch(False)
        self.listener.close()
