"""The event loop of a daemon for its async methods, which is created, and loads asyncio, when it is needed."""
from __future__ import annotations

import threading
from typing import Any

from .deferred import DeferredCall, runs_in_worker


class AsyncMethods:
    """The event loop of a daemon for its async methods: created when it is needed. Thread-safe.

    Args:
        oneway_calls: counts the unfinished oneway calls of each client.
    """

    def __init__(self, oneway_calls: Any) -> None:
        self._oneway_calls = oneway_calls
        self._lock = threading.Lock()  # guards _loop
        self._loop: Any = None

    def _event_loop(self) -> Any:
        from .async_loop import AsyncLoop  # only with async methods: it imports asyncio
        with self._lock:
            if self._loop is None:
                self._loop = AsyncLoop()
            return self._loop

    def start(self, call: DeferredCall) -> None:
        """Run the method of a call. From here on, its task owns the connection, unless it is detached."""
        if runs_in_worker(call.deferred):
            call.connection.run_detached(call)
        else:
            self._event_loop().start(call)

    def start_oneway(self, call: DeferredCall, size: int) -> None:
        """Run the method of a oneway call; it counts as unfinished until it has ended.

        Args:
            size: the size of the request in bytes.
        """
        self._oneway_calls.begin(call.connection, size)
        self._event_loop().start(call, lambda: self._oneway_calls.end(call.connection, size))

    def items(self, iterator: Any) -> Any:
        """Return the items of an asynchronous iterator, for a `StreamTable`."""
        from .async_streams import AsyncItems  # it imports asyncio
        return AsyncItems(iterator, self._event_loop().spawn)

    def spawn(self, function: Any) -> None:
        """Run a coroutine function without arguments, unless the event loop has ended."""
        self._event_loop().spawn(function)

    def is_running_here(self) -> bool:
        """Return whether the calling thread is that of the event loop."""
        return self._loop is not None and bool(self._loop.is_running_here())

    def stop(self, timeout_seconds: float) -> None:
        """Wait for oneway calls and the end of item streams, but at most this long, cancel the rest, and end the loop."""
        with self._lock:
            loop = self._loop
        if loop is not None:
            loop.stop(timeout_seconds)
