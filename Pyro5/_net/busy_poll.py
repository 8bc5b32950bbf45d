"""
Adaptive spinning: what is due in a moment is looked for again and again, before anybody waits for it.

A thread that waits is woken by the system when something arrives, and on another processor that takes longer than all of
this library's work for a small call (some 40 microseconds, twice per call). So whoever expects an answer looks for it some
times first. That pays while answers come at once, and costs processor time while they do not: it is given up after a few
failures in a row, and where others would have needed the processor, or the interpreter's lock, for the time being; and tried
again now and then. Where there is one processor only it could never succeed. In a process, one thread at a time does it.
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

LOOKS = 250  # at about a microsecond each: enough also if the other side has to be woken first, or has some work to do
FAILURES = 3  # in a row, after which it is given up ...
PAUSES = 8, 128  # ... for so many times; twice as many after each time in vain, up to where it costs next to nothing
# So many times it is done before it shows whether others need the processor, or the interpreter's lock; at first, and as long
# as they do not. If they have had it in a fourth of them, it is given up, too.
TERMS = 4, 32
CROWDED_PART = 4
FIRST_PAUSE = 32  # at most so many times a new one in another thread does without, if the last one who did it gave it up
CROWD = 2  # while so many others receive, and have begun since the last time, waiting costs less

_processors = os.cpu_count() or 1  # asked once: the system reads a file to tell
_DONT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)
_THIS_THREAD = getattr(resource, "RUSAGE_THREAD", None)
# held by the thread that spins: several would take the processors from each other
_one_at_a_time = threading.Lock()
# The last one who did it, or was made. Without a lock: it does little harm to take another one for it.
_last: Optional[_Considerate] = None

# Who receives now, and who was the last to begin.  Where several threads talk with somebody by turns, there is always one to
# go on: none has to be woken, but each needs the interpreter's lock.
_receiving: Set[SpinningReceiver] = set()
_latest: Optional[SpinningReceiver] = None


def _forget_other_threads() -> None:
    """In a forked child: none of the parent's threads receives here."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()
    _receiving.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


def is_promising() -> bool:
    """Whether it can succeed at all: it is not switched off, and another processor may be at work on the answer."""
    return bool(config.SPINNING) and _processors > 1


class Spinning:
    """Knows whether spinning has been worth its while: whether it has succeeded.  For one thread at a time."""

    __slots__ = ("_failures", "_pause", "_next_pause")

    def __init__(self) -> None:
        self._failures = 0
        self._pause = 0
        self._next_pause = PAUSES[0]

    def shall_begin(self) -> bool:
        """Whether to spin now.  If so, ended() is to be called afterwards."""
        if self._pause:
            self._pause -= 1
            return False
        return _one_at_a_time.acquire(False)

    def ended(self, has_succeeded: bool) -> None:
        """Note how it went."""
        self._note(has_succeeded)
        if has_succeeded:
            self._next_pause = PAUSES[0]

    def _note(self, has_succeeded: bool) -> None:
        try:
            _one_at_a_time.release()
        except RuntimeError:
            pass  # a signal handler has forked meanwhile, and this is the child: its lock is a new one
        self._failures = 0 if has_succeeded else self._failures + 1
        if self._failures >= FAILURES:
            self._failures = FAILURES - 1  # one more is enough the next time
            self._give_up()

    def _give_up(self) -> None:
        self._pause = self._next_pause
        self._next_pause = min(2 * self._pause, PAUSES[1])


class _Considerate(Spinning):
    """
    Gives it up, too, where others would have needed what spinning takes up.  For one thread at a time.

    A new one goes on where the last one is: many connections are used for two or three messages, too few to learn from.
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
        _last = self  # not sooner: others may look at it at once

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
        self._switches_before += not has_succeeded  # there will be one more, as the waiting begins now

    def _end_term(self) -> None:
        """Others that have been waiting for what spinning takes up may be the very ones that make the answer."""
        before, count, thread = self._switches_before, self._term, self._thread
        self._begin_term(min(2 * count, TERMS[1]))
        if thread != self._thread:
            return  # what the system has counted for another thread says nothing
        if (self._switches_before - before) * CROWDED_PART >= count:
            self._give_up()
        else:
            self._next_pause = PAUSES[0]


def _switches() -> int:
    """How often the calling thread has had to stop, since others had its processor or something else that it needed; 0
    where the system does not tell."""
    if _THIS_THREAD is None:
        return 0
    usage = resource.getrusage(_THIS_THREAD)
    return usage.ru_nivcsw + usage.ru_nvcsw


class SpinningReceiver(_Considerate):
    """Receives from a socket that has no TLS; what there is to know about it is in the module's text."""

    __slots__ = ("_receive", "_timeout", "_set_timeout", "recv_into")

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._receive = sock.recv
        self._timeout, self._set_timeout = sock.gettimeout, sock.settimeout
        self.recv_into = sock.recv_into

    def recv(self, size: int) -> bytes:
        """As the socket does."""
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
        """As _look, where each look would wait: Python waits first, if there is a timeout."""
        timeout = self._timeout()
        self._set_timeout(0.0)
        try:
            return self._look(size)
        finally:
            self._set_timeout(timeout)


class SpinningSelector(_Considerate):
    """Waits for the sockets of a selector."""

    __slots__ = ()

    def select(self, selector: Any, timeout_seconds: float) -> List[Any]:
        """As the selector does."""
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


def receiver_for(sock: Any) -> Any:
    """Give what to receive from in place of a socket on which requests and replies take turns: maybe the socket itself."""
    if not _DONT_WAIT or hasattr(sock, "pending") or not is_promising():
        return sock
    return SpinningReceiver(sock)
