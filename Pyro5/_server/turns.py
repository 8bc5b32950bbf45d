"""Turns at something that only one thread should do at a time, though nothing breaks if two do."""
from __future__ import annotations

import contextlib
import threading
from typing import Iterator


class Turns:
    """Lets one thread at a time do something, the others wait.  Thread-safe.

    Args:
        most_seconds: how long a thread waits before it goes on without a turn: what others do in theirs may take long, or
            even wait for this thread.
    """

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn, which ends with the block."""
        is_mine = self._lock.acquire(timeout=self._most_seconds)
        try:
            yield
        finally:
            if is_mine:
                self._lock.release()
