"""Closes connections of shared proxies that have not been used for a while."""
from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, Callable, Dict, List, Optional

__all__ = ["IDLE_SECONDS", "idle_connections"]

IDLE_SECONDS = 60.0


class IdleConnections:
    """Watches the links that have more than one connection, in a thread that exists only while there are some. Thread-safe.

    Args:
        idle_seconds: how long a connection may be unused.
        clock: returns monotonic seconds.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle_seconds = idle_seconds
        self._clock = clock
        self.forget_all()

    def forget_all(self) -> None:
        """Start anew, as a forked process must: the thread is the parent's."""
        # Guards the rest. Entered itself and not by the condition: its methods are written in Python, and an exception of a
        # signal handler could interrupt them after they have acquired the lock.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._links: Dict[int, weakref.ref[Any]] = {}  # by identity
        self._thread: Optional[threading.Thread] = None

    def add(self, link: Any) -> None:
        """Watch a link. It must have the method ``close_idle(idle_before)``, which returns whether to watch it further."""
        with self._lock:
            # Weak, because a proxy that is dropped has to be destroyed at once, and its connections closed.
            self._links[id(link)] = weakref.ref(link)
            if self._thread is None or not self._thread.is_alive():  # its start may have been interrupted
                self._thread = threading.Thread(target=self._run, name="Pyro5 idle connections", daemon=True)
                self._thread.start()

    def discard(self, link: Any) -> None:
        """Watch a link no longer."""
        with self._lock:
            self._links.pop(id(link), None)
            if not self._links:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._links:
                    # A quarter of the time: connections are closed after at most a quarter more than it.
                    self._changed.wait(self._idle_seconds / 4)
                links: List[Any] = list(filter(None, [find() for find in list(self._links.values())]))
                if not links:
                    self._links.clear()
                    self._thread = None
                    return
            # Without the lock: closing a connection is I/O, and discard() takes it.
            idle_before = self._clock() - self._idle_seconds
            while links:
                link = links.pop()
                if not link.close_idle(idle_before):
                    self.discard(link)
                del link  # it is not kept alive while this waits


idle_connections = IdleConnections()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=idle_connections.forget_all)
