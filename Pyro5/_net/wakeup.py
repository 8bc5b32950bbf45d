"""Wakes a thread that waits for sockets."""
from __future__ import annotations

import contextlib
import socket

__all__ = ["Wakeup"]


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
        # If the buffer is full, the loop has been woken already; if the socket is closed, there is no loop any more.
        with contextlib.suppress(OSError):
            self._sender.send(b"\0")

    def drain(self) -> None:
        """Discard all pending wake-ups."""
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                continue

    def close(self) -> None:
        """Close both sockets. Can be called more than once."""
        self._sender.close()
        self._receiver.close()
