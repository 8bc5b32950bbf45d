"""Wakes a thread that waits for sockets."""
from __future__ import annotations

import socket

DRAIN_BYTES = 4096


class Wakeup:
    """A socket pair that wakes a selector loop: register it for reading, and call `wake` from anywhere.

    `wake` never blocks, and may be called from any thread or signal handler, even after `close`. Only the thread of the loop
    may call the other methods.
    """

    def __init__(self) -> None:
        # A socket pair and not a pipe: on Windows, select() accepts sockets only.
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """Return the file descriptor to wait for; it is readable from `wake` to `drain`."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """Wake the waiting loop."""
        try:  # contextlib.suppress() would take 35 byte codes more
            self._sender.send(b"\0")
        except OSError:
            return  # the buffer is full, so the loop has been woken already; or the socket is closed, and there is no loop

    def drain(self) -> None:
        """Discard all pending wake-ups."""
        try:
            # Usually one receive: what a second one would have found is reported again.
            while len(self._receiver.recv(DRAIN_BYTES)) == DRAIN_BYTES:
                continue
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close both sockets. Can be called more than once."""
        self._sender.close()
        self._receiver.close()
