"""Adaptive busy polling: poll the socket a few hundred times before blocking on it. Also the selector of a server's loop.

When data arrives, the system must first wake a blocked thread. On another processor this takes longer than all the work of
this library for a small call (some 40 microseconds, twice per call). So a thread that expects a reply polls for it first. This
pays while replies arrive quickly, and wastes processor time while they do not: see ``polling_policy``, which decides. On a
single processor polling can never succeed. In a process, only one thread polls at a time.
"""
from __future__ import annotations

import os
import select
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from .. import LazyModule, config
from .polling_policy import MAX_PAUSE_SECONDS, PollingPolicy, Usage, YieldingPolicy

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from . import tls_guard
else:
    tls_guard = LazyModule(globals(), ".tls_guard")

_EPOLL: Any = getattr(selectors, "EpollSelector", None)


def loop_selector() -> selectors.BaseSelector:
    """Return a new selector, of the default class of the standard library or derived from it."""
    # Looked up when it is needed: libraries that replace blocking functions also replace the default class.
    default = selectors.DefaultSelector
    return _QuickEpollSelector() if default is _EPOLL else default()


def poll_of(selector: Any) -> Callable[[int], List[Any]]:
    """Return a function that polls the sockets of a selector; its argument is 0, and its result true if one is ready."""
    # epoll itself takes 0.3 us if nothing is ready.
    poll: Callable[[int], List[Any]] = selector._selector.poll if _EPOLL and isinstance(selector, _EPOLL) else selector.select
    return poll


if _EPOLL is not None:
    _READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
    _ONLY_READ = select.EPOLLIN

    class _QuickEpollSelector(_EPOLL):  # type: ignore[misc]
        """Waits for sockets with epoll.

        Its own method saves 45 of 90 byte codes when one socket is ready, and 15 of 40 for each further one.
        """

        _selector: Any  # the epoll object
        _fd_to_key: Dict[int, selectors.SelectorKey]

        def select(self, timeout: Optional[float] = None) -> List[Tuple[selectors.SelectorKey, int]]:
            keys = self._fd_to_key
            # epoll itself rounds the time up to milliseconds. A negative number would be no limit.
            limit = timeout if timeout is None or timeout > 0 else 0
            try:
                found = self._selector.poll(limit, len(keys) or 1)
            except InterruptedError:
                return []
            ready: List[Tuple[selectors.SelectorKey, int]] = []
            try:
                for fd, mask in found:
                    ready.append((keys[fd], _READ if mask == _ONLY_READ else _events(mask) & keys[fd].events))
            except KeyError:  # another thread has just unregistered one of them: ask again
                ready = super().select(0)
            return ready

    def _events(mask: int) -> int:
        """Return the events that epoll has reported: both for a connection that has ended."""
        return (mask & ~select.EPOLLIN and _WRITE) | (mask & ~select.EPOLLOUT and _READ)


# Polls of one attempt, 0.7 us each: enough for a reply of which the other side first has to be woken, or needs some work.
MAX_POLLS = 500
# A receive is calm if other threads of the process have begun at most one since the last one of its thread. Calm receives are
# counted; others halve the count. Polling is for calm times: of several threads that exchange messages in turn, one can always
# continue, so blocking is cheaper. And each poll releases the lock of the interpreter, for which the others then compete: with
# eight threads, this costs 6 % of the calls.
MAX_OTHER_RECEIVES = 1
MIN_CALM, MAX_CALM = 8, 16

_processors = os.cpu_count() or 1  # read once, because the system reads a file for it
_NO_WAITING = (0,) * MAX_POLLS
_THIS_THREAD = getattr(resource, "RUSAGE_THREAD", None)
# Held by the thread that polls: several would compete for the processors. Never waited for, a thread that does not get it
# blocks on its socket.
_polling = threading.Lock()
# The policy that was used or created last, from which new ones inherit. No lock guards it: a race only means that another
# policy is inherited from.
_last: Optional[YieldingPolicy] = None

# The number of all receives, and of those that were calm. No lock: if two threads count at the same time, one is missing.
_receives, _calm = 0, MAX_CALM


def _forget_other_threads() -> None:
    """Reset the state in a forked child, where the threads of the parent do not exist: one of them may hold the lock."""
    global _polling
    _polling = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


def is_promising() -> bool:
    """Return whether polling can succeed: it is enabled, and another processor may be working on the reply."""
    return bool(config.SPINNING) and _processors > 1


def _switches() -> Tuple[int, int]:
    """Return how often the calling thread has blocked, and was interrupted; 0 if the system does not report it."""
    if _THIS_THREAD is None:
        return 0, 0
    usage = resource.getrusage(_THIS_THREAD)
    return usage.ru_nvcsw, usage.ru_nivcsw


def _measure() -> Usage:
    blocked, interrupted = _switches()
    return Usage(threading.get_ident(), blocked + interrupted, interrupted, time.monotonic())


def _waited() -> float:
    """Return for how many seconds the calling thread was ready to run and waited for a processor; 0.0 if the system does not
    report it.
    """
    try:
        descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY)  # a file object takes three times as long
        try:
            return int(os.read(descriptor, 100).split()[1]) * 1e-9
        finally:
            os.close(descriptor)
    except (OSError, IndexError, ValueError):
        return 0.0


def _new_policy(is_client: bool = False) -> YieldingPolicy:
    """Return a policy with the state of the last one."""
    global _last
    policy = YieldingPolicy(_measure, _waited, threading.get_ident(), _last, MAX_PAUSE_SECONDS if is_client else None)
    _last = policy  # when it is complete: other threads may read it immediately
    return policy


def _poller_for(sock: socket.socket) -> Callable[[int], List[Any]]:
    """Return the function that polls a socket. Called with a timeout of 0, it returns an empty list if nothing is ready."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return poller.poll


def _release() -> None:
    try:
        _polling.release()
    except RuntimeError:
        pass  # a signal handler has forked while this thread polled, and this is the child, with a new lock


class PollingAttempts:
    """The right to poll, for code that polls by itself. Not thread-safe.

    At most one thread of the process has it at a time.
    """

    __slots__ = ("_policy",)

    def __init__(self) -> None:
        self._policy = PollingPolicy()

    def try_begin(self) -> bool:
        """Return whether to poll now. If so, `end` must be called afterwards."""
        return self._policy.should_poll() and _polling.acquire(False)

    def end(self, succeeded: bool) -> None:
        """Record the result of polling, and let other threads poll."""
        _release()
        self._policy.record(succeeded)


class PollingReceiver:
    """Receives from a socket without TLS, with busy polling. One thread uses it at a time."""

    __slots__ = ("_policy", "_receive", "_poll", "recv_into", "_number")

    def __init__(self, sock: socket.socket, is_client: bool = False) -> None:
        self._policy = _new_policy(is_client)
        self._receive, self.recv_into = sock.recv, sock.recv_into
        self._poll = _poller_for(sock)
        self._number = _receives  # of its last receive

    def recv(self, size: int) -> bytes:
        """Receive like ``socket.recv``, but poll first if that is promising."""
        global _receives, _calm, _last
        if _receives - self._number > MAX_OTHER_RECEIVES:
            _calm >>= 1
        elif _calm < MAX_CALM:
            _calm += 1
        self._number = _receives = _receives + 1
        policy = self._policy
        if _calm >= MIN_CALM and policy.should_poll() and _polling.acquire(False):
            is_ready = False
            try:
                # A loop without byte codes: a poll takes a quarter of the time that a receive takes which finds nothing, and
                # raises an exception. So data is noticed sooner.
                is_ready = any(map(self._poll, _NO_WAITING))
            finally:  # also for KeyboardInterrupt
                _release()
                policy.record(is_ready)
                _last = policy
        return self._receive(size)


class PollingSelector:
    """Waits for the sockets of a selector, with busy polling. One thread uses it at a time."""

    __slots__ = ("_policy",)

    def __init__(self) -> None:
        self._policy = _new_policy()

    def select(self, selector: selectors.BaseSelector, timeout_seconds: float) -> List[Any]:
        """Select like the selector itself, but poll first if that is promising."""
        global _last
        policy = self._policy
        if policy.should_poll() and _polling.acquire(False):
            is_ready = False
            try:
                is_ready = any(map(poll_of(selector), _NO_WAITING))  # as in PollingReceiver
            finally:
                _release()
                policy.record(is_ready)
                _last = policy
        return selector.select(timeout_seconds)


def receiver_for(sock: Any, current: Any = None, is_client: bool = False) -> Any:
    """Return an object to receive from for a socket with alternating requests and replies; it may be the socket itself.

    Args:
        current: the previous result, if the settings may have changed since then.
        is_client: it receives replies, not requests.
    """
    if hasattr(sock, "pending"):
        return tls_guard.guarded(sock)
    if not hasattr(select, "poll") or not is_promising():
        return sock
    try:
        return current if isinstance(current, PollingReceiver) else PollingReceiver(sock, is_client)
    except (TypeError, ValueError):  # closed, or not a socket of the system
        return sock
