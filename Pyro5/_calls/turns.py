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
        # With a limit: a thread that was stopped in the block would otherwise stop all others. After that time they
        # run in parallel.
        acquired = self._lock.acquire(timeout=self._max_seconds)
        try:
            yield
        finally:
            if acquired:  # a thread that did not get the lock must not release that of another one
                self._lock.release()
