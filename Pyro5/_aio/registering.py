"""Registering a name from a task, which may be cancelled meanwhile."""
from __future__ import annotations

import asyncio
import threading
from typing import Callable, Optional

from .._client.lease_keeper import Lease
from .connecting import in_thread

__all__ = ["registered_in_thread"]


class _Registration:
    """One registration, which a thread makes while a task waits for it."""

    def __init__(self, register: Callable[[], Lease]) -> None:
        self._register = register
        self._lock = threading.Lock()  # guards the rest
        self._lease: Optional[Lease] = None
        self._is_abandoned = False

    def make(self) -> Lease:
        """Register the name, and remove it again if the task does not wait any more."""
        lease = self._register()
        with self._lock:
            self._lease = lease
            is_abandoned = self._is_abandoned
        if is_abandoned:
            lease.release()
        return lease

    def abandon(self) -> None:
        """Remove the name, as soon as it is registered. Called in the event loop."""
        with self._lock:
            self._is_abandoned = True
            lease = self._lease
        if lease is not None:  # the thread has ended already, but the task has not received the result
            asyncio.get_running_loop().run_in_executor(None, lease.release)


async def registered_in_thread(register: Callable[[], Lease]) -> Lease:
    """Call a function that registers a name, and waits for the name server, in a thread. If the task is cancelled, the name is
    removed again.
    """
    registration = _Registration(register)
    try:
        return await in_thread(registration.make)
    except asyncio.CancelledError:
        registration.abandon()
        raise
