"""Run oneway calls in a bounded thread pool of their own."""
from __future__ import annotations

import logging
import math
import os
import threading
from collections import deque
from typing import Any, Callable, Deque, Set, Tuple

from .workers import WorkerPool

log = logging.getLogger("Pyro5.server.oneway")

UNLIMITED_THREADS = 1000000  # more threads than any system has


class OnewayCalls:
    """Runs oneway calls in a pool of threads. Thread-safe.

    Reading from a client that has too many unfinished calls is paused until some of them are done: that client is
    slowed down, while the server's memory and the other clients are not affected. A client is a connection with the
    attributes ``oneway_calls``, ``oneway_full`` and ``paused`` and the method ``resume()``.

    Args:
        max_calls: how many calls run at the same time, and how many unfinished calls one client may have; 0: any number.
        max_bytes: when the requests of all unfinished calls are larger than this together, each client may have one
            call; 0: any size.
    """

    def __init__(self, max_calls: int, max_bytes: int = 0) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes if max_bytes > 0 else math.inf
        self._bytes = 0
        self._workers = WorkerPool(0, max_calls if max_calls > 0 else UNLIMITED_THREADS, "Pyro-oneway")
        self._waiting: Deque[Tuple[Any, Callable[[], object], int]] = deque()
        self._fetching = 0  # threads that are about to fetch a waiting call
        self._paused: Set[Any] = set()
        # Guards these fields and the attributes of the clients. Released before a call runs, and before resume() is called.
        self._lock = threading.Lock()

    def set_limits(self, max_calls: int, max_bytes: int) -> None:
        """Use these limits from now on."""
        with self._lock:
            self._max_calls = max_calls
            self._max_bytes = max_bytes if max_bytes > 0 else math.inf
        self._workers.set_maximum(max_calls if max_calls > 0 else UNLIMITED_THREADS)

    def start(self, client: Any, call: Callable[[], object], size: int = 0) -> None:
        """Run a call as soon as a thread is available.

        While calls are waiting, one thread at most is on its way to fetch them: when it has fetched one and more are
        waiting, it starts the next thread before it runs its own call. So no call waits for another one to end, but
        many short calls share a few threads.

        Args:
            size: the size of the request in bytes.
        """
        with self._lock:
            self._count_locked(client, size)
            self._waiting.append((client, call, size))
            # At most one thread is on its way to the waiting calls. It starts the next one itself, which saves a
            # hand-over for each call of a burst.
            needs_thread = not self._fetching
            self._fetching += needs_thread
        if not needs_thread:
            return
        try:
            self._workers.submit(self._run_calls)
        except RuntimeError:
            # No thread can be started: run it here. Late replies for this client are better than a lost call.
            self._withdraw(client, call, size)
            call()

    def _count_locked(self, client: Any, size: int) -> None:
        client.oneway_calls += 1
        self._bytes += size
        # The limit is not enforced here: the call has been received, and losing it would be worse than one too many.
        if 0 < self._max_calls <= client.oneway_calls or self._bytes > self._max_bytes:
            client.oneway_full = True

    def begin(self, client: Any, size: int) -> None:
        """Count a call that does not run in a thread of its own, until `end` is called with the same arguments."""
        with self._lock:
            self._count_locked(client, size)

    def _withdraw(self, client: Any, call: Callable[[], object], size: int) -> None:
        with self._lock:
            self._fetching -= 1
            self._waiting.remove((client, call, size))
        self.end(client, size)

    def _run_calls(self) -> None:
        """Run waiting calls one after the other. The thread was counted in _fetching when it was started."""
        process = os.getpid()
        while True:
            with self._lock:
                if not self._waiting:
                    self._fetching -= 1
                    return
                client, call, size = self._waiting.popleft()
                # Started before this call runs: a slow call must not delay the waiting ones.
                needs_thread = bool(self._waiting) and self._fetching == 1
                self._fetching -= not needs_thread  # else the count passes to the thread that is started now
            if needs_thread:
                self._start_another_thread()
            try:
                call()
            except BaseException as x:  # a method raised SystemExit or similar; the thread continues
                if os.getpid() == process:
                    log.warning("a oneway call raised %s", type(x).__name__, exc_info=True)
            if os.getpid() != process:
                return  # the child of a fork inside the call: the lock and the other calls belong to the parent
            self.end(client, size)
            with self._lock:
                self._fetching += 1

    def _start_another_thread(self) -> None:
        try:
            self._workers.submit(self._run_calls)
        except RuntimeError as x:
            log.warning("cannot start another thread, oneway calls wait for this one: %s", x)
            with self._lock:
                self._fetching -= 1

    def end(self, client: Any, size: int) -> None:
        """Count a call no longer."""
        with self._lock:
            # Compared before and after: only the call that ends the excess looks at all paused clients.
            was_over = self._bytes > self._max_bytes
            self._bytes -= size
            client.oneway_calls -= 1
            # Other clients may have been paused only because of the total size.
            candidates = {client, *self._paused} if was_over and self._bytes <= self._max_bytes else {client}
            resumed = [each for each in candidates if self._has_room_locked(each) and self._resume_locked(each)]
        # From here on the loop owns these connections again.
        for each in resumed:
            each.resume()

    def _has_room_locked(self, client: Any) -> bool:
        # Half of the limit, so that the client is not paused again after each call.
        too_many = 0 < self._max_calls and client.oneway_calls > self._max_calls // 2
        return not too_many and (not client.oneway_calls or self._bytes <= self._max_bytes)

    def _resume_locked(self, client: Any) -> bool:
        """Reset the limits of a client; return whether reading from it was paused, so that resume() has to be called."""
        resumed, client.paused, client.oneway_full = client.paused, False, False
        self._paused.discard(client)
        return bool(resumed)

    def pause(self, client: Any) -> bool:
        """Return whether to stop reading from this client. If so, its resume() is called later. Called by the loop."""
        with self._lock:
            # Decided under the lock: a call that ends now either is counted here, or sees the client among the paused ones.
            if client.oneway_full and self._has_room_locked(client):
                client.oneway_full = False
            client.paused = client.oneway_full
            if client.paused:
                self._paused.add(client)
            return bool(client.paused)

    def stop(self, timeout_seconds: float) -> None:
        """Wait until the running calls are done, but at most this long."""
        self._workers.stop(timeout_seconds)
