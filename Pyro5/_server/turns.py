"""A lock with a bounded wait, for work that should be done by one thread at a time, but does not have to be."""
from __future__ import annotations

import contextlib
import threading
from typing import Iterator


class Turns:
    """Lets one thread at a time run a block, while the others wait. Thread-safe.

    Args:
        max_seconds: how long a thread waits before it runs the block anyway: the block of another thread may take
            long, or even wait for this thread.
    """

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn, which lasts until the end of the block."""
        acquired = self._lock.acquire(timeout=self._max_seconds)
        try:
            yield
        finally:
            if acquired:
                self._lock.release()
