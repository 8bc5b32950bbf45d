"""
Looking up the addresses of hosts without waiting for the name service.

That takes ten seconds and more to say that it has no answer, and nothing can interrupt it. So it is asked in threads that
nobody waits for. There are only a few of them, and each ends when nothing is left to look up.
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
    Looks up hosts, each once however often it is asked for, in the order in which they were asked for. Thread-safe.

    What comes after `forget` is kept for whoever asks next: the turn of every host comes, even if each of those before it
    takes longer than anybody is willing to wait.

    Args:
        on_result: called, in any thread, when a host has been looked up.
    """

    def __init__(self, on_result: Callable[[], None]) -> None:
        self._on_result = on_result
        # guards what follows
        self._lock = threading.Lock()
        self._results: Dict[str, Result] = {}
        self._waiting: Deque[str] = collections.deque()
        self._unfinished: Set[str] = set()      # those that wait, and those that are being looked up
        self._threads = 0
        self._closed = False

    def find(self, host: str) -> Optional[Result]:
        """
        Give the addresses of a host, with port 0, or the error that says why there are none.

        None means that it is being looked up. Then `on_result` will be called, if it is not closed before.
        """
        if addresses.is_ip_address(host):
            return _look_up(host)  # which asks nobody
        with self._lock:
            if host not in self._results and host not in self._unfinished and not self._closed:
                self._unfinished.add(host)
                self._waiting.append(host)
                self._start_thread_locked()
            return self._results.get(host)

    def forget(self) -> None:
        """Forget all results that there are now."""
        with self._lock:
            self._results.clear()

    def close(self) -> None:
        """Look up nothing any more. Threads that wait for the name service end when it answers."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _start_thread_locked(self) -> None:
        if self._threads >= LOOKUPS_AT_ONCE:
            return
        try:
            threading.Thread(target=self._work, daemon=True, name="Pyro5 host lookup").start()
            self._threads += 1
        except RuntimeError as x:  # the system has no more threads
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
    except Exception as x:  # border of a thread: whoever asked must get an answer
        log.exception("looking up the host '%s' failed", host)
        return OSError("cannot look up the host '%s': %s" % (host, x))
