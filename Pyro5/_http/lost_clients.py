"""Notice that clients of the HTTP server disconnect while they wait for a response."""
from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Callable, Dict, Iterator, List, Optional

WATCH = "pyro5.watch_client"    # in the WSGI environment: the method that watches the client, see LostClients.watching
CHECK_SECONDS = 0.25
# The end of what the client sends; 0 where the system does not report this.
_END_OF_INPUT = getattr(select, "POLLRDHUP", 0)
_PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Watched:
    """A client that waits for a response.

    Attributes:
        may_probe: whether it understands interim responses.
        is_probed: whether one was sent.
    """

    def __init__(self, sock: socket.socket, may_probe: bool, on_lost: Callable[[], None], now: float) -> None:
        self.sock = sock
        self.on_lost = on_lost
        self.may_probe = may_probe
        self.is_probed = False
        self.since = now


class LostClients:
    """The clients that wait for a response. Thread-safe, except that one thread calls `pause` and `check`.

    Args:
        wake: makes the thread that waits for `pause` seconds call `pause` and `check` again.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()   # guards the rest
        self._watched: Dict[int, _Watched] = {}     # by file descriptor
        self._next_check = 0.0
        self._is_idle = True

    @contextlib.contextmanager
    def watching(self, sock: socket.socket, may_probe: bool, on_lost: Callable[[], None]) -> Iterator[None]:
        """Call a function, in a thread of its own, if the client disconnects in the block. The block must not use the socket.

        Args:
            may_probe: whether the client understands interim responses (HTTP/1.1).
        """
        number = sock.fileno()
        with self._lock:
            self._watched[number] = _Watched(sock, may_probe, on_lost, time.monotonic())
            has_to_wake, self._is_idle = self._is_idle, False
        if has_to_wake:
            self._wake()
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(number, None)

    def pause(self) -> Optional[float]:
        """Return the seconds until `check` should be called, None if there is nothing to check."""
        with self._lock:
            self._is_idle = not self._watched
            return None if self._is_idle else max(0.0, self._next_check - time.monotonic())

    def check(self) -> None:
        """Look for clients that have disconnected, unless that was done a moment ago."""
        now = time.monotonic()
        if not _END_OF_INPUT or now < self._next_check:
            return
        with self._lock:
            self._next_check = now + CHECK_SECONDS
            # Under the lock: afterwards the thread of a connection may write to the socket, or close it.
            lost = self._find_lost_locked(now)
        for each in lost:
            # Cancelling a call waits for its server.
            with contextlib.suppress(RuntimeError):     # no more threads: the call goes on
                threading.Thread(target=each.on_lost, name="Pyro5 http lost client", daemon=True).start()

    def _find_lost_locked(self, now: float) -> List[_Watched]:
        poll = select.poll()
        for number, each in self._watched.items():
            if now - each.since >= CHECK_SECONDS:
                poll.register(number, _END_OF_INPUT)
        lost = []
        for number, events in poll.poll(0):
            each = self._watched[number]
            if events & ~_END_OF_INPUT or not self._is_there(each):
                lost.append(self._watched.pop(number))
        return lost

    @staticmethod
    def _is_there(each: _Watched) -> bool:
        """Return whether a client that sends no more may still receive; if so, the next check knows it."""
        # Some clients end only their sending direction, and receive the response. Others have closed the connection: their
        # system answers the interim response with a reset, which the next check sees.
        if each.may_probe and not each.is_probed:
            each.is_probed = True
            try:
                each.sock.send(_PROBE)
            except OSError:
                return False
        return True
