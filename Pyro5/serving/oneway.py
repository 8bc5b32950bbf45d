"""Oneway calls: nobody waits for them, so somebody has to mind how many there are."""
from __future__ import annotations

import threading
from typing import Any, Callable

from .workers import WorkerPool

ANY_NUMBER = 1000000  # the system has no more threads than that


class OnewayCalls:
    """Runs oneway calls in threads of their own.  Thread-safe.

    A client that has too many of them under way is not listened to until some of them are done; so it waits, and neither
    the server's memory nor the other clients have to suffer for it.  (A client, here, is a connection with the attributes
    ``oneway_calls``, ``oneway_full`` and ``paused`` and the method ``resume``.)

    Args:
        most: so many run at once, and so many may one client have under way; 0: any number.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._workers = WorkerPool(0, most if most > 0 else ANY_NUMBER, "Pyro-oneway")
        # guards what the clients' attributes say
        self._lock = threading.Lock()

    def start(self, client: Any, call: Callable[[], object]) -> None:
        """Run a call as soon as there is a thread for it."""
        with self._lock:
            client.oneway_calls += 1
            if client.oneway_calls == self._most:
                client.oneway_full = True
        try:
            self._workers.submit(lambda: self._run(client, call))
        except RuntimeError:  # not even one thread can be started
            self._done(client)
            raise

    def _run(self, client: Any, call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            self._done(client)

    def _done(self, client: Any) -> None:
        with self._lock:
            client.oneway_calls -= 1
            if client.oneway_calls > self._most // 2:
                return
            resumed, client.paused, client.oneway_full = client.paused, False, False
        if resumed:
            client.resume()

    def pause(self, client: Any) -> bool:
        """For the loop: shall this client not be listened to now?  If so, its ``resume`` is called when that is over."""
        with self._lock:
            client.paused = client.oneway_full
            return bool(client.paused)

    def stop(self, timeout_seconds: float) -> None:
        """Let the calls that are under way end, but wait no longer than this."""
        self._workers.stop(timeout_seconds)
