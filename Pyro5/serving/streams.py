"""Item streams: the iterators that clients fetch item by item."""
from __future__ import annotations

import logging
import threading
import uuid
from typing import Any, Callable, Dict, Iterator, Optional

from .. import errors

log = logging.getLogger("Pyro5.serving.streams")


class _Stream:
    __slots__ = ("iterator", "owner", "ends_at", "lingers_until", "lock", "dropped")

    def __init__(self, iterator: Iterator[Any], owner: Any, ends_at: Optional[float]) -> None:
        self.iterator = iterator
        self.owner = owner  # the connection that last fetched an item
        self.ends_at = ends_at
        self.lingers_until: Optional[float] = None  # set while the owner is disconnected
        self.dropped = False
        # guards the iterator: one item at a time
        self.lock = threading.Lock()

    def is_over(self, now: float) -> bool:
        return (self.ends_at is not None and now >= self.ends_at
                or self.lingers_until is not None and now >= self.lingers_until)

    def drop(self) -> None:
        """Free the iterator: now, or (if it is just making an item in another thread) as soon as that is done."""
        self.dropped = True
        if self.lock.acquire(blocking=False):
            try:
                self.close_iterator()
            finally:
                self.lock.release()

    def close_iterator(self) -> None:
        close = getattr(self.iterator, "close", None)
        self.iterator = iter(())
        if close is None:
            return
        try:
            close()
        except Exception:  # the user's generator failed in its cleanup: nobody is left to be told
            log.warning("closing of an item stream failed", exc_info=True)


class StreamTable:
    """Open streams by id.  Thread-safe.

    Args:
        lifetime_seconds: how long a stream may exist, 0: for ever.
        linger_seconds: how long it stays when its client disconnects (and may come back), 0: it goes at once.
        clock: gives monotonic seconds.
    """

    def __init__(self, lifetime_seconds: float, linger_seconds: float, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime_seconds
        self._linger = linger_seconds
        self._clock = clock
        self._streams: Dict[str, _Stream] = {}
        # guards _streams
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, iterator: Iterator[Any], owner: Any) -> str:
        """Take in an iterator, and give the id of its stream."""
        stream_id = str(uuid.uuid4())
        ends_at = self._clock() + self._lifetime if self._lifetime > 0 else None
        with self._lock:
            self._streams[stream_id] = _Stream(iterator, owner, ends_at)
        return stream_id

    def next_item(self, stream_id: str, client: Any) -> Any:
        """Give the next item; whoever fetches it (again) is the stream's client from then on.

        Raises:
            StopIteration: there are no more items; the stream is gone.
            PyroError: there is no such stream (any more).
            Exception: what the iterator raised; the stream is gone.
        """
        with self._lock:
            stream = self._streams.get(stream_id)
        if stream is None or stream.dropped or stream.is_over(self._clock()):
            self.close(stream_id)
            raise errors.PyroError("item stream terminated: it is unknown, was closed, or has expired")
        with stream.lock:
            stream.owner = client
            stream.lingers_until = None
            try:
                return next(stream.iterator)
            except BaseException:
                with self._lock:
                    self._streams.pop(stream_id, None)
                raise
            finally:
                if stream.dropped:
                    stream.close_iterator()

    def close(self, stream_id: str) -> None:
        """Free a stream; an unknown one is left alone."""
        with self._lock:
            stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.drop()

    def client_gone(self, client: Any) -> None:
        """A client disconnected: let its streams linger, or free them."""
        until = self._clock() + self._linger
        with self._lock:
            orphans = [(stream_id, stream) for stream_id, stream in self._streams.items() if stream.owner is client]
            for _stream_id, stream in orphans:
                stream.owner = None
                stream.lingers_until = until
        if self._linger <= 0:
            for stream_id, _stream in orphans:
                self.close(stream_id)

    def expire(self) -> None:
        """Free the streams whose time is over."""
        now = self._clock()
        with self._lock:
            over = [stream_id for stream_id, stream in self._streams.items() if stream.is_over(now)]
        for stream_id in over:
            self.close(stream_id)

    def clear(self) -> None:
        """Free all streams."""
        with self._lock:
            all_ids = list(self._streams)
        for stream_id in all_ids:
            self.close(stream_id)
