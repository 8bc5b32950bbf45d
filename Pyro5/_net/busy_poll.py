"""
Adaptive busy polling: poll the socket a few hundred times before blocking on it.

When data arrives, the system must first wake a blocked thread, and on another processor that takes longer than all of
this library's work for a small call (some 40 microseconds, twice per call). So a thread that expects a reply polls for it
first. That pays off while replies arrive quickly, and wastes processor time while they do not. Polling is therefore suspended
after a few failures in a row, and while other threads or processes need the processor or the interpreter's lock; it is tried
again from time to time. On a single processor it can never succeed. In a process, only one thread polls at a time.
"""
from __future__ import annotations

import os
import socket
import threading
from typing import Any, List, Optional, Set

from .. import config

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

LOOKS = 250  # polls, of about a microsecond each: also enough if the other side has to be woken first, or has some work to do
FAILURES = 3  # failures in a row, after which polling is suspended ...
PAUSES = 8, 128  # ... for this number of receives; doubled after each failure, until the cost is negligible
# Minimum and maximum length of a measuring period, in polls. At the end of a period, the context switches of the thread show
# whether others need the processor or the interpreter's lock; while they do not, the next period is twice as long. If context
# switches happened in a fourth of the polls, polling is suspended, too.
TERMS = 4, 32
CROWDED_PART = 4
FIRST_PAUSE = 32  # maximum suspension that a new object in another thread inherits from the last one that polled
CROWD = 2  # while this number of other threads receive, and have started since, blocking is cheaper

_processors = os.cpu_count() or 1  # read once, because the system reads a file for it
_DONT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)
_THIS_THREAD = getattr(resource, "RUSAGE_THREAD", None)
# held by the polling thread: several would compete for the processors
_one_at_a_time = threading.Lock()
# The last object that polled or was created. Not guarded by a lock: a race only means that another one is used instead.
_last: Optional[_Considerate] = None

# The objects that are receiving now, and the one that started last. Where several threads exchange messages in turn, one of
# them can always continue: none has to be woken, but each needs the interpreter's lock.
_receiving: Set[SpinningReceiver] = set()
_latest: Optional[SpinningReceiver] = None


def _forget_other_threads() -> None:
    """Reset the state in a forked child, where the parent's threads do not exist."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()
    _receiving.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


def is_promising() -> bool:
    """Return whether polling can succeed at all: it is enabled, and another processor may be working on the reply."""
    return bool(config.SPINNING) and _processors > 1


class Spinning:
    """The policy for one user of busy polling: decides by previous results. Not thread-safe."""

    __slots__ = ("_failures", "_pause", "_next_pause")

    def __init__(self) -> None:
        self._failures = 0
        self._pause = 0
        self._next_pause = PAUSES[0]

    def shall_begin(self) -> bool:
        """Return whether to poll now. If so, ended() must be called afterwards."""
        if self._pause:
            self._pause -= 1
            return False
        return _one_at_a_time.acquire(False)

    def ended(self, has_succeeded: bool) -> None:
        """Record the result of polling."""
        self._note(has_succeeded)
        if has_succeeded:
            self._next_pause = PAUSES[0]

    def _note(self, has_succeeded: bool) -> None:
        try:
            _one_at_a_time.release()
        except RuntimeError:
            pass  # a signal handler has forked in between, and this is the child, with a new lock
        self._failures = 0 if has_succeeded else self._failures + 1
        if self._failures >= FAILURES:
            self._failures = FAILURES - 1  # one more failure is enough the next time
            self._give_up()

    def _give_up(self) -> None:
        self._pause = self._next_pause
        self._next_pause = min(2 * self._pause, PAUSES[1])


class _Considerate(Spinning):
    """
    A policy that also suspends polling while others need the processor or the interpreter's lock. Not thread-safe.

    A new object starts with the state of the last one: many connections carry only two or three messages, too few to learn
    from.
    """

    __slots__ = ("_term", "_left", "_switches_before", "_thread")
    _term: int
    _left: int
    _switches_before: int
    _thread: int

    def __init__(self) -> None:
        global _last
        super().__init__()
        last = _last
        if last is not None:
            self._failures, self._next_pause = last._failures, last._next_pause
            self._pause = min(last._pause, FIRST_PAUSE)
        if last is None or last._thread != threading.get_ident():
            self._begin_term(TERMS[0])
        else:
            self._pause, self._thread = last._pause, last._thread
            self._term, self._left, self._switches_before = last._term, last._left, last._switches_before
        _last = self  # at the end: other threads may read it immediately

    def _begin_term(self, count: int) -> None:
        self._term = self._left = count
        self._switches_before = _switches()
        self._thread = threading.get_ident()

    def shall_begin(self) -> bool:
        if self._pause:
            self._pause -= 1
            self._left = 0
            return False
        if not self._left:
            self._begin_term(TERMS[0])
        return _one_at_a_time.acquire(False)

    def ended(self, has_succeeded: bool) -> None:
        global _last
        _last = self
        self._left -= 1
        self._note(has_succeeded)
        if not (self._left or self._pause):
            self._end_term()
        self._switches_before += not has_succeeded  # blocking now causes one more switch

    def _end_term(self) -> None:
        """Evaluate the period: threads that wait for the processor may be the ones that compute the reply."""
        before, count, thread = self._switches_before, self._term, self._thread
        self._begin_term(min(2 * count, TERMS[1]))
        if thread != self._thread:
            return  # the counts of different threads cannot be compared
        if (self._switches_before - before) * CROWDED_PART >= count:
            self._give_up()
        else:
            self._next_pause = PAUSES[0]


def _switches() -> int:
    """Return the number of context switches of the calling thread, voluntary or not; 0 where the system does not
    report it."""
    if _THIS_THREAD is None:
        return 0
    usage = resource.getrusage(_THIS_THREAD)
    return usage.ru_nivcsw + usage.ru_nvcsw


class SpinningReceiver(_Considerate):
    """Receives from a socket without TLS, with busy polling; see the module's documentation."""

    __slots__ = ("_receive", "_timeout", "_set_timeout", "recv_into")

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._receive = sock.recv
        self._timeout, self._set_timeout = sock.gettimeout, sock.settimeout
        self.recv_into = sock.recv_into

    def recv(self, size: int) -> bytes:
        """Receive like ``socket.recv``, but poll first if that is promising."""
        global _latest
        may_pay = _latest is self or len(_receiving) < CROWD
        _latest = self
        _receiving.add(self)
        try:
            if may_pay and self.shall_begin():
                data = None
                try:
                    data = self._look(size) if self._timeout() is None else self._look_without_timeout(size)
                finally:
                    self.ended(data is not None)
                if data is not None:
                    return data
            return self._receive(size)
        finally:
            _receiving.discard(self)

    def _look(self, size: int) -> Optional[bytes]:
        for _ in range(LOOKS):
            try:
                return self._receive(size, _DONT_WAIT)
            except BlockingIOError:
                continue
        return None

    def _look_without_timeout(self, size: int) -> Optional[bytes]:
        """Poll with the timeout set to 0: with a timeout, Python waits in each receive, even with MSG_DONTWAIT."""
        timeout = self._timeout()
        self._set_timeout(0.0)
        try:
            return self._look(size)
        finally:
            self._set_timeout(timeout)


class SpinningSelector(_Considerate):
    """Waits for the sockets of a selector, with busy polling."""

    __slots__ = ()

    def select(self, selector: Any, timeout_seconds: float) -> List[Any]:
        """Select like the selector itself, but poll first if that is promising."""
        ready: List[Any] = []
        if self.shall_begin():
            try:
                ready = self._look(selector)
            finally:
                self.ended(bool(ready))
        return ready or selector.select(timeout_seconds)

    def _look(self, selector: Any) -> List[Any]:
        for _ in range(LOOKS):
            ready: List[Any] = selector.select(0)
            if ready:
                return ready
        return []


def receiver_for(sock: Any, current: Any = None) -> Any:
    """
    Return an object to receive from for a socket with alternating requests and replies; it may be the socket itself.

    Args:
        current: what was returned before, when the settings may have changed since.
    """
    if not _DONT_WAIT or hasattr(sock, "pending") or not is_promising():
        return sock
    return current if isinstance(current, SpinningReceiver) else SpinningReceiver(sock)
