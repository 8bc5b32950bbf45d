"""Non-blocking host name lookups.

A DNS lookup can take ten seconds or more to fail, and cannot be interrupted. Lookups therefore run in a small pool of daemon
threads that are never joined; each thread ends when the queue is empty.
"""
from __future__ import annotations

import collections
import errno
import logging
import socket
import threading
import time
from typing import Callable, Deque, Dict, List, Optional, Set, Union

from .._net import addresses

log = logging.getLogger("Pyro5.resolving")

LOOKUPS_AT_ONCE = 8
# Threads in addition, only for hosts that the name service answered promptly the last time. A client may register any number
# of hosts for which it never answers: the others must not wait behind them.
PROMPT_AT_ONCE = 2
PROMPT_SECONDS = 1.0
MOST_WAITING = 5000             # hosts that wait for a lookup; also the number of prompt ones that are remembered
KEPT_CALLS = 20                 # of `forget`, until an unused result is discarded

Result = Union[List[addresses.Candidate], OSError, ValueError]


class HostLookups:
    """Looks up hosts in the order in which they were requested, each only once even if requested several times. Thread-safe.

    Hosts that were looked up promptly before come first. A result that arrives after `forget` is kept for the next requests.
    So every queued host is looked up eventually, even if each lookup before it takes longer than the callers are willing to
    wait.

    Args:
        on_result: called, in any thread, when a lookup has finished.
        clock: returns monotonic seconds.
    """

    def __init__(self, on_result: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_result = on_result
        self._clock = clock
        # guards the attributes below
        self._lock = threading.Lock()
        self._results: Dict[str, Result] = {}
        self._unused: Dict[str, int] = {}       # host with an unused result -> calls of `forget` since then
        self._unfinished: Set[str] = set()      # queued, or being looked up
        self._queues = _Queue(LOOKUPS_AT_ONCE), _Queue(PROMPT_AT_ONCE)
        self._prompt: Set[str] = set()
        self._closed = False

    def find(self, host: str) -> Optional[Result]:
        """Return the addresses of a host, with port 0, or the error that says why there are none.

        None means that the lookup is pending. `on_result` is called when it has finished, unless this object is closed before.
        """
        if addresses.is_ip_address(host):
            return _look_up(host)  # needs no DNS lookup
        with self._lock:
            if host not in self._results and host not in self._unfinished and not self._closed:
                queue = self._queues[host in self._prompt]
                if len(queue.waiting) >= MOST_WAITING:
                    return socket.gaierror(socket.EAI_AGAIN, "too many hosts are being looked up")
                self._unfinished.add(host)
                queue.waiting.append(host)
                self._start_thread_locked(queue)
            self._unused.pop(host, None)
            return self._results.get(host)

    def forget(self) -> None:
        """Discard all results so far, except for recent ones that have not been used."""
        with self._lock:
            # A result may have come too late for the round that asked for it: it is kept for the next ones.
            self._unused = {host: calls + 1 for host, calls in self._unused.items() if calls < KEPT_CALLS}
            self._results = {host: self._results[host] for host in self._unused}

    def close(self) -> None:
        """Start no more lookups. Threads that wait for a DNS reply end when it arrives."""
        with self._lock:
            self._closed = True
            for queue in self._queues:
                queue.waiting.clear()

    def _start_thread_locked(self, queue: _Queue) -> None:
        if queue.threads >= queue.most_threads:
            return
        try:
            threading.Thread(target=self._work, args=(queue,), daemon=True, name="Pyro5 host lookup").start()
            queue.threads += 1
        except RuntimeError as x:  # the system cannot start another thread
            # with other threads the host is looked up later; without any, it would wait for ever
            if not queue.threads:
                host = queue.waiting.pop()
                self._unfinished.discard(host)
                self._results[host] = OSError(errno.ENOMEM, "cannot look up the host '%s': %s" % (host, x))

    def _work(self, queue: _Queue) -> None:
        while True:
            with self._lock:
                if not queue.waiting:
                    queue.threads -= 1
                    return
                host = queue.waiting.popleft()
            # without the lock: this is the call that can take many seconds
            started = self._clock()
            result = _look_up(host)
            self._note(host, result, self._clock() - started)
            self._on_result()

    def _note(self, host: str, result: Result, seconds: float) -> None:
        with self._lock:
            self._unfinished.discard(host)
            self._results[host] = result
            self._unused[host] = 0
            if seconds >= PROMPT_SECONDS:
                self._prompt.discard(host)
            elif len(self._prompt) < MOST_WAITING:
                self._prompt.add(host)


class _Queue:
    """Hosts that wait for a lookup, and the number of threads that work on them; guarded by the lock of HostLookups."""

    def __init__(self, most_threads: int) -> None:
        self.most_threads = most_threads
        self.threads = 0
        self.waiting: Deque[str] = collections.deque()


def _look_up(host: str) -> Result:
    try:
        return addresses.resolve_host((host, 0), addresses.wanted_family(None), socket.SOCK_STREAM)
    except (OSError, ValueError) as x:
        return x
    except Exception as x:  # thread boundary: the caller must get a result
        log.exception("looking up the host '%s' failed", host)
        return OSError("cannot look up the host '%s': %s" % (host, x))
