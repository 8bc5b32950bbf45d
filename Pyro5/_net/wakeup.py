"""A way to wake a thread that waits for sockets."""
from __future__ import annotations

import contextlib
import socket

__all__ = ["Wakeup"]


class Wakeup:
    """
    A pair of sockets that wakes a selector loop: register it for reading, and call `wake` from anywhere.

    `wake` never blocks; any thread and any signal handler may call it, after `close` too. The rest is for the loop's thread.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """Give the file descriptor to wait for; it is readable from `wake` to `drain`."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """Make the waiting loop look around."""
        # A full buffer has woken the loop already; a closed one has nobody left to wake.
        with contextlib.suppress(OSError):
            self._sender.send(b"\0")

    def drain(self) -> None:
        """Take back every wake-up so far."""
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                continue

    def close(self) -> None:
        """Close both sockets. May be called again."""
        self._sender.close()
        self._receiver.close()
