"""The part of a server's loop that other threads call: they return connections, and leave output to it, or to the thread that
sends held replies.
"""
from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Iterable, List, Optional

from .eventloop import EventLoop

log = logging.getLogger("Pyro5.server.loop")

HOLD_SECONDS = 0.002  # how long a reply is held at most, while other replies to the same client are computed
LINGER_SECONDS = 5.0  # the thread ends when it has had nothing to do for this time


class ReplyFlusher:
    """Sends the held replies of connections, in a thread that runs only while there are clients that need it. Thread-safe.

    Replies to requests that came together are sent together. A method that takes long, or even waits until the client has seen
    one of these replies, must not delay them: this thread sends them after a moment.
    """

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


MAX_ENDED_PARKED = 50  # how many ended connections may be parked before the loop is woken for them


class SharedOutputLoop(EventLoop):
    """A loop that other threads can ask to look at the output of a connection.

    Everything belongs to the thread that runs the loop, unless stated otherwise.

    Attributes:
        reply_flusher: sends held replies. Thread-safe.
        all_connections: returns all connections. Implemented by subclasses.
    """

    all_connections: Callable[[], List[Any]]
    _accept_retry_at: Callable[[], Optional[float]]  # when accepting clients is tried again, after it has failed

    def __init__(self) -> None:
        super().__init__()
        self.reply_flusher = ReplyFlusher()
        self._noticed: Deque[Any] = deque()  # any thread may append

    def notice(self, connection: Any) -> None:
        """Make the loop look at the output of a connection, and at its end. Can be called from any thread."""
        self._noticed.append(connection)
        self.wakeup()

    def park(self, connection: Any) -> None:
        """Return a connection to the loop. Called by workers."""
        # From here on the loop owns the connection: this thread must not use it any more. Appending to a deque is atomic.
        self.parked.append(connection)
        # Waking the loop costs a system call. Ended connections can wait until the loop runs for another reason.
        if not connection.ended or len(self.parked) > MAX_ENDED_PARKED:
            self._wakeup.wake()

    def woken(self) -> None:
        super().woken()
        for _ in range(len(self._noticed)):
            self.look_at(self._noticed.popleft())

    def look_at(self, connection: Any) -> None:
        """Send what a connection holds, or finish its end, unless another thread owns it. Implemented by subclasses."""

    # ------------------------------------------------------------ in the event loop of a program

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Handle events of :attr:`sockets`, for a program with its own event loop."""
        with self.running():
            if self.stopping:
                return
            retry_at = self._accept_retry_at()
            # Clients are waiting that cannot be accepted: pause here, because the program would call again at once.
            if retry_at is not None:
                self._released.wait(max(0.0, retry_at - time.monotonic()))
            self.run_once(0)
            for connection in [c for c in self.all_connections() if c.watched and c.has_outgoing]:
                self._flush_in_thread(connection)

    def _flush_in_thread(self, connection: Any) -> None:
        """Send the unsent output in a thread, because a program's own event loop does not wait for writing."""
        # The thread is the owner until it parks the connection, like a worker.
        self.hand_over(connection)
        threading.Thread(target=self._flush_and_park, args=(connection,), name="Pyro-flush", daemon=True).start()

    def _flush_and_park(self, connection: Any) -> None:
        connection.flush_until(self._poll_seconds, lambda: self.stopping)
        self.park(connection)

    def hand_over(self, connection: Any) -> None:
        """Make a worker the owner of a connection. Implemented by subclasses."""
