"""Oneway calls: nobody waits for them, so somebody has to mind how many there are."""
from __future__ import annotations

import logging
import math
import os
import threading
from collections import deque
from typing import Any, Callable, Deque, Set, Tuple

from .workers import WorkerPool

log = logging.getLogger("Pyro5.server.oneway")

ANY_NUMBER = 1000000  # the system has no more threads than that


class OnewayCalls:
    """Runs oneway calls in threads of their own.  Thread-safe.

    A client that has too many of them under way is not listened to until some of them are done; so it waits, and neither
    the server's memory nor the other clients have to suffer for it.  (A client, here, is a connection with the attributes
    ``oneway_calls``, ``oneway_full`` and ``paused`` and the method ``resume``.)

    Args:
        most: so many run at once, and so many may one client have under way; 0: any number.
        most_bytes: when the requests of all calls under way have more than this, each client may have one call; 0: any size.
    """

    def __init__(self, most: int, most_bytes: int = 0) -> None:
        self._most = most
        self._most_bytes = most_bytes if most_bytes > 0 else math.inf
        self._bytes = 0
        self._workers = WorkerPool(0, most if most > 0 else ANY_NUMBER, "Pyro-oneway")
        self._waiting: Deque[Tuple[Any, Callable[[], object], int]] = deque()
        self._seekers = 0  # threads that are about to look for a call that waits
        self._paused: Set[Any] = set()
        # guards these, and what the clients' attributes say
        self._lock = threading.Lock()

    def set_limits(self, most: int, most_bytes: int) -> None:
        """Use other limits from now on."""
        with self._lock:
            self._most = most
            self._most_bytes = most_bytes if most_bytes > 0 else math.inf
        self._workers.set_maximum(most if most > 0 else ANY_NUMBER)

    def start(self, client: Any, call: Callable[[], object], size: int = 0) -> None:
        """Run a call, whose request has that many bytes, as soon as there is a thread for it.

        As long as calls wait there is a thread on its way to them, and no more than one: it calls for the next one when it
        begins to run a call.  So no call waits for the end of another one, but many short ones share a few threads.
        """
        with self._lock:
            client.oneway_calls += 1
            self._bytes += size
            if 0 < self._most <= client.oneway_calls or self._bytes > self._most_bytes:
                client.oneway_full = True
            self._waiting.append((client, call, size))
            wanted = not self._seekers
            self._seekers += wanted
        if not wanted:
            return
        try:
            self._workers.submit(self._run_calls)
        except RuntimeError:  # not even one thread can be started: better late replies for this client than a lost call
            self._give_up(client, call, size)
            call()

    def _give_up(self, client: Any, call: Callable[[], object], size: int) -> None:
        with self._lock:
            self._seekers -= 1
            self._waiting.remove((client, call, size))
        self._done(client, size)

    def _run_calls(self) -> None:
        """Run the calls that wait, one after the other.  In a thread that counts as a seeker."""
        process = os.getpid()
        while True:
            with self._lock:
                if not self._waiting:
                    self._seekers -= 1
                    return
                client, call, size = self._waiting.popleft()
                wanted = bool(self._waiting) and self._seekers == 1
                self._seekers -= not wanted  # else another one takes this one's place
            if wanted:
                self._call_for_another()
            try:
                call()
            except BaseException as x:  # border of a thread: a method raised SystemExit or the like
                if os.getpid() == process:
                    log.warning("a oneway call raised %s", type(x).__name__, exc_info=True)
            if os.getpid() != process:
                return  # the call has forked, and this is the child: the lock and the other calls are the parent's
            self._done(client, size)
            with self._lock:
                self._seekers += 1

    def _call_for_another(self) -> None:
        try:
            self._workers.submit(self._run_calls)
        except RuntimeError as x:
            log.warning("cannot start another thread, oneway calls wait for this one: %s", x)
            with self._lock:
                self._seekers -= 1

    def _done(self, client: Any, size: int) -> None:
        with self._lock:
            was_too_much = self._bytes > self._most_bytes
            self._bytes -= size
            client.oneway_calls -= 1
            # others may have been waiting for these bytes only
            concerned = {client, *self._paused} if was_too_much and self._bytes <= self._most_bytes else {client}
            resumed = [each for each in concerned if self._has_room_locked(each) and self._go_on_locked(each)]
        for each in resumed:
            each.resume()

    def _has_room_locked(self, client: Any) -> bool:
        too_many = 0 < self._most and client.oneway_calls > self._most // 2
        return not too_many and (not client.oneway_calls or self._bytes <= self._most_bytes)

    def _go_on_locked(self, client: Any) -> bool:
        """Let a client have more calls; tell whether it is to be resumed."""
        resumed, client.paused, client.oneway_full = client.paused, False, False
        self._paused.discard(client)
        return bool(resumed)

    def pause(self, client: Any) -> bool:
        """For the loop: shall this client not be listened to now?  If so, its ``resume`` is called when that is over."""
        with self._lock:
            if client.oneway_full and self._has_room_locked(client):
                client.oneway_full = False
            client.paused = client.oneway_full
            if client.paused:
                self._paused.add(client)
            return bool(client.paused)

    def stop(self, timeout_seconds: float) -> None:
        """Let the calls that are under way end, but wait no longer than this."""
        self._workers.stop(timeout_seconds)
