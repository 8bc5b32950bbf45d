"""One of the processes that a supervisor has started: waiting for its end, and ending it."""
from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from typing import Callable, Optional

LOOK_SECONDS = 0.1  # interval of looking whether a process has ended, where the system does not report it


class Child:
    """A process that serves clients. The thread that has forked it uses this object.

    Args:
        on_end: called with this object when the lifeline is readable.

    Attributes:
        place: of the process among its siblings.
        lifeline: connected to the process. If this end is shut down, the process ends in order; when the process has ended, it
            is readable.
    """

    def __init__(self, place: int, pid: int, lifeline: socket.socket, on_end: Callable[[Child], None]) -> None:
        self.place = place
        self.pid = pid
        self.lifeline = lifeline
        self._on_end = on_end
        self._end = _open_end(pid)  # a file descriptor that is readable when the process has ended, None without one

    def on_ready(self, events: int) -> None:
        """Called by the loop when the process has ended."""
        self._on_end(self)

    def exit_code(self, wait_until: float) -> Optional[int]:
        """Return the exit code, negative for a signal, when the process has ended; None if it runs at that time."""
        while True:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # the program ignores SIGCHLD, or has waited for the process itself
                return None if self.is_alive() else 1
            if pid:
                return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            left = wait_until - time.monotonic()
            if left <= 0:
                return None
            if self._end is not None:
                with selectors.DefaultSelector() as selector:
                    selector.register(self._end, selectors.EVENT_READ)
                    selector.select(left)
            else:
                self._look_later(left)

    def _look_later(self, left: float) -> None:
        """Wait until the lifeline is readable, or for a while."""
        # For Python 3.8, and systems without pidfd_open(). Blocking in waitpid() is no substitute: it has no timeout, in a
        # thread it would be a thread that a fork does not copy, and SIGCHLD belongs to the program.
        with contextlib.suppress(OSError):
            # Not longer: a program that the process has started may keep the other end open.
            self.lifeline.settimeout(min(left, LOOK_SECONDS))
            if not self.lifeline.recv(1):
                time.sleep(0.001)  # between the closing of its descriptors and its end there is no event to wait for

    def is_alive(self) -> bool:
        """Return whether there is a process with this id."""
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill the process."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the file descriptors. Can be called more than once."""
        self.lifeline.close()
        end, self._end = self._end, None
        if end is not None:
            os.close(end)


def _open_end(pid: int) -> Optional[int]:
    """Return a file descriptor that is readable when a process has ended; None if this system has no such thing."""
    opener = getattr(os, "pidfd_open", None)  # Linux, from Python 3.9 on
    if opener is not None:
        with contextlib.suppress(OSError):  # an old kernel, or a container that forbids it
            return int(opener(pid))
    return None
