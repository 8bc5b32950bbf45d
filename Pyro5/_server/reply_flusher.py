"""A thread that sends held replies while the method of the next request runs.

Replies to requests that came together are sent together. A method that takes long, or even waits until the client has seen one
of these replies, must not delay them: this thread sends them after a moment.
"""
from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any, Deque, Optional

__all__ = ["ReplyFlusher"]

log = logging.getLogger("Pyro5.server.loop")

HOLD_SECONDS = 0.002  # how long a reply is held at most, while other replies to the same client are computed
LINGER_SECONDS = 5.0  # the thread ends when it has had nothing to do for this time


class ReplyFlusher:
    """Sends the held replies of connections. Thread-safe. The thread runs only while there are clients that need it."""

    def __init__(self) -> None:
        # Appending to a deque, and removing from it, are atomic.
        self._connections: Deque[Any] = deque()
        self._lock = threading.Lock()  # guards the start and the end of the thread
        self._thread: Optional[threading.Thread] = None
        self._is_idle = True  # no thread, or it waits for _work
        self._work = threading.Event()
        self._stopped = threading.Event()

    def watch(self, connection: Any) -> None:
        """Send what a connection holds, unless its owner has sent it after HOLD_SECONDS."""
        # First the connection, then the flag; the thread does it in the other order, so that one of the two notices.
        self._connections.append(connection)
        if self._is_idle:
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._run, name="Pyro-replies", daemon=True)
                self._thread.start()
            self._work.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._is_idle = True
            if not self._connections and not self._work.wait(LINGER_SECONDS) and self._ends():
                return
            self._is_idle = False
            self._work.clear()
            while self._connections and not self._stopped.wait(HOLD_SECONDS):
                self._send_all()

    def _ends(self) -> bool:
        """Return whether the thread ends, because there is nothing to do."""
        with self._lock:
            if self._connections:
                return False
            self._thread = None
            return True

    def _send_all(self) -> None:
        for _ in range(len(self._connections)):
            self._send(self._connections.popleft())

    def _send(self, connection: Any) -> None:
        try:
            connection.send_held()
        except OSError as x:  # its owner notices that the connection is lost
            log.debug("connection with %s lost: %s", connection.peer_address, x)

    def stop(self) -> None:
        """End the thread. What is still held is sent by the owners of the connections."""
        with self._lock:
            self._stopped.set()
            self._work.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
