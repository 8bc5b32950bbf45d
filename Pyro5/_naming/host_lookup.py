"""
Non-blocking host name lookups.

A DNS lookup can take ten seconds or more to fail, and cannot be interrupted. Lookups therefore run in a small pool of daemon
threads that are never joined; each thread ends when the queue is empty.
"""
from __future__ import annotations

import collections
import errno
import logging
import socket
import threading
from typing import Callable, Deque, Dict, List, Optional, Set, Union

from .._net import addresses

log = logging.getLogger("Pyro5.resolving")

LOOKUPS_AT_ONCE = 8

Result = Union[List[addresses.Candidate], OSError, ValueError]


class HostLookups:
    """
    Looks up hosts in the order in which they were requested, each only once even if requested several times. Thread-safe.

    A result that arrives after `forget` is kept for the next request. So every queued host is looked up eventually, even if
    each lookup before it takes longer than the callers are willing to wait.

    Args:
        on_result: called, in any thread, when a lookup has finished.
    """

    def __init__(self, on_result: Callable[[], None]) -> None:
        self._on_result = on_result
        # guards the attributes below
        self._lock = threading.Lock()
        self._results: Dict[str, Result] = {}
        self._waiting: Deque[str] = collections.deque()
        self._unfinished: Set[str] = set()      # queued, or being looked up
        self._threads = 0
        self._closed = False

    def find(self, host: str) -> Optional[Result]:
        """
        Return the addresses of a host, with port 0, or the error that says why there are none.

        None means that the lookup is pending. `on_result` is called when it has finished, unless this object is closed
        before.
        """
        if addresses.is_ip_address(host):
            return _look_up(host)  # needs no DNS lookup
        with self._lock:
            if host not in self._results and host not in self._unfinished and not self._closed:
                self._unfinished.add(host)
                self._waiting.append(host)
                self._start_thread_locked()
            return self._results.get(host)

    def forget(self) -> None:
        """Discard all results so far."""
        with self._lock:
            self._results.clear()

    def close(self) -> None:
        """Start no more lookups. Threads that wait for a DNS reply end when it arrives."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _start_thread_locked(self) -> None:
        if self._threads >= LOOKUPS_AT_ONCE:
            return
        try:
            threading.Thread(target=self._work, daemon=True, name="Pyro5 host lookup").start()
            self._threads += 1
        except RuntimeError as x:  # the system cannot start another thread
            if not self._threads:
                host = self._waiting.pop()
                self._unfinished.discard(host)
                self._results[host] = OSError(errno.ENOMEM, "cannot look up the host '%s': %s" % (host, x))

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                host = self._waiting.popleft()
            result = _look_up(host)
            with self._lock:
                self._unfinished.discard(host)
                self._results[host] = result
            self._on_result()


def _look_up(host: str) -> Result:
    try:
        return addresses.resolve_host((host, 0), addresses.wanted_family(None), socket.SOCK_STREAM)
    except (OSError, ValueError) as x:
        return x
    except Exception as x:  # thread boundary: the caller must get a result
        log.exception("looking up the host '%s' failed", host)
        return OSError("cannot look up the host '%s': %s" % (host, x))
