"""Locks whose holder may never release them.

An exception that a signal handler raises, or that is raised in another thread, interrupts a thread between two instructions:
also between those that acquire a lock and those that will release it. Threads that wait for a lock look from time to time
whether its holder still uses it.
"""
from __future__ import annotations

import sys
import threading
import time
from collections import deque
from types import FrameType
from typing import Any, Deque, List, Optional, Tuple

# Interval at which a waiting thread looks for itself: finalizers cannot hand a connection over, and neither can a thread that
# was interrupted.
LOOK_SECONDS = 1.0
_CALLING_MODULES = (__name__.rsplit(".", 1)[0], "Pyro5.client")  # their functions hold locks


class Waiter:
    """A thread that waits for a connection.

    Attributes:
        ident: the identifier of the thread.
        preferred: the only connection that it can use, None if it can use any.
        connection: the locked connection that it was handed; None if it has to look for one again.
        is_woken: whether it waits no longer.
        suspects: connections that were locked and not in use when it last looked, their users, and the ids of their calls.
    """

    __slots__ = ("ident", "preferred", "connection", "is_woken", "suspects", "_signal")

    def __init__(self, ident: int, preferred: Any = None) -> None:
        self.ident = ident
        self.preferred = preferred
        self.connection: Any = None
        self.is_woken = False
        self.suspects: List[Tuple[Any, int, Optional[bytes]]] = []
        # A lock that is released once is the cheapest signal between two threads; an Event is a lock and a condition.
        self._signal = threading.Lock()
        self._signal.acquire()

    def wake(self, connection: Any = None) -> None:
        """End the wait. Only called while the mutex of the pool is held, once."""
        self.connection = connection
        self.is_woken = True
        self._signal.release()

    def wait(self, timeout: float) -> bool:
        """Wait at most this many seconds (-1: any time), and return whether the wait was ended."""
        return self._signal.acquire(timeout=timeout)


def is_using(ident: int, thing: Any, without: str = "") -> bool:
    """Return whether a function of the client that a thread is running has this object in a local variable, or in a waiter.

    For another thread this can be wrong: while a value is returned, it is in no variable. So ask twice.

    Args:
        ident: of the thread. If it has ended, it uses nothing.
        without: name of a module whose innermost frames do not count.

    Returns:
        True also if it cannot be found out.
    """
    frames = sys._current_frames()
    if threading.get_ident() not in frames:
        return True  # green threads have other identifiers
    frame = frames.get(ident)
    while frame is not None and frame.f_globals.get("__name__") in (__name__, without):
        frame = frame.f_back
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_CALLING_MODULES) and _has_variable(frame, thing):
            return True
        frame = frame.f_back
    return False


def _has_variable(frame: FrameType, thing: Any) -> bool:
    # the exact class: values of the program can have any attributes, and those of proxies are remote
    values = list(frame.f_locals.values())
    return any([value is thing or type(value) is Waiter and value.connection is thing for value in values])


class ReclaimableLock:
    """A re-entrant lock that is taken from a thread which does not use it any more. Threads get it in the order of arrival.

    A function that holds it must have it in a local variable.
    """

    __slots__ = ("_mutex", "_holder", "_depth", "_signals")

    def __init__(self) -> None:
        self._mutex = threading.Lock()  # guards the rest; only held in `with` statements, which exceptions cannot interrupt
        self._holder = 0
        self._depth = 0
        self._signals: Deque[threading.Lock] = deque()  # one for each waiting thread

    def acquire(self, deadline: Optional[float] = None) -> bool:
        """Acquire the lock, and return True; return False if that is not possible until this monotonic time."""
        suspect: Tuple[int, int] = (0, 0)
        signal = threading.Lock()
        signal.acquire()
        try:
            while not self._is_acquired(signal):
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                left = LOOK_SECONDS if deadline is None else min(max(deadline - time.monotonic(), 0), LOOK_SECONDS)
                if not signal.acquire(timeout=left):
                    suspect = self._reclaim(self._holder, suspect)
            return True
        finally:
            with self._mutex:
                if signal in self._signals:
                    self._signals.remove(signal)

    def _is_acquired(self, signal: threading.Lock) -> bool:
        """Acquire the lock if that is possible now; else have the signal released when it may be."""
        ident = threading.get_ident()
        with self._mutex:
            if self._holder in (0, ident):
                self._holder, self._depth = ident, self._depth + 1
                return True
            if signal not in self._signals:
                self._signals.append(signal)
            return False

    def _reclaim(self, holder: int, suspect: Tuple[int, int]) -> Tuple[int, int]:
        """Free the lock if its holder was found not to use it twice. Return the holder, and how often that was found."""
        if is_using(holder, self):
            return (0, 0)
        times = suspect[1] + 1 if suspect[0] == holder else 1
        with self._mutex:
            if times > 1 and self._holder == holder:
                self._holder, self._depth = 0, 0
        return (holder, times)

    def release(self) -> None:
        """Release the lock once; ignored if it was taken from this thread."""
        with self._mutex:
            if self._holder != threading.get_ident():
                return
            self._depth -= 1
            if self._depth <= 0:
                self._holder, self._depth = 0, 0
                if self._signals:
                    self._signals.popleft().release()

    def __enter__(self) -> ReclaimableLock:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()
