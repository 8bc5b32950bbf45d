"""Item streams: iterators whose items clients fetch one by one, or several together."""
from __future__ import annotations

import logging
import threading
import uuid
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from .. import errors
from .._values.large_buffers import large_size, lasting

log = logging.getLogger("Pyro5.server.streams")

# Limits of the items that one request fetches, besides the number that it asks for: they keep the reply small, and the
# client does not wait long for the first item.
MAX_ITEMS = 10000
MAX_ITEMS_BYTES = 256 * 1024
MAX_ITEMS_SECONDS = 0.05  # a slow generator: the first items must not wait for the last one


class AsynchronousItems:
    """Base class of iterators that are not read here, but in an event loop, see `StreamTable.find_asynchronous`."""


class _Stream:
    """An iterator and its owner.

    Attributes:
        pushed_back: items to return before the iterator is read again.
        failure: an exception to raise instead of reading the iterator again.
        exhausted: the iterator has ended.
        owner: the connection that last fetched an item; while that is disconnected, the address of its host.
        expires_at: when the stream is freed in any case (monotonic seconds), None: never.
        linger_expires_at: when it is freed unless the client comes back, None while the owner is connected.
        dropped: the stream is closed; its iterator is freed as soon as no thread is reading it.
        opened_by: correlation id and sequence number of the call that opened it.
    """

    __slots__ = ("stream_id", "iterator", "opened_at", "pushed_back", "failure", "exhausted", "owner", "expires_at",
                 "linger_expires_at", "lock", "dropped", "opened_by")

    def __init__(self, stream_id: str, iterator: Iterator[Any], expires_at: Optional[float], opened_at: float = 0.0) -> None:
        self.stream_id = stream_id
        self.iterator = iterator
        self.opened_at = opened_at
        self.pushed_back: List[Any] = []
        self.failure: Optional[Exception] = None
        self.exhausted = False
        self.owner: Any = None
        self.expires_at = expires_at
        self.linger_expires_at: Optional[float] = None
        self.dropped = False
        self.opened_by: Tuple[bytes, int] = (b"", 0)
        # Guards the iterator. Held while user code runs: a generator must not be resumed by two threads.
        self.lock = threading.Lock()

    def is_expired(self, now: float) -> bool:
        """Return whether its lifetime has passed, or its client has not come back in time."""
        return (self.expires_at is not None and now >= self.expires_at
                or self.linger_expires_at is not None and now >= self.linger_expires_at)

    def drop(self) -> None:
        """Free the iterator: now, or as soon as the thread that is reading it has finished."""
        self.dropped = True
        # Never waits: the caller may be the loop, and the iterator may run for long.
        if self.lock.acquire(blocking=False):
            try:
                self.close_iterator()
            finally:
                self.lock.release()

    def next_item(self) -> Any:
        """Return the next item. The caller holds the lock."""
        if self.pushed_back:
            return self.pushed_back.pop()
        # Raised now, because the items before it were sent with the last reply.
        if self.failure is not None:
            raise self.failure
        return next(self.iterator)

    def next_items(self, max_items: int, size_of: Callable[[Any], int], clock: Callable[[], float]) -> List[Any]:
        """Return the next items. Those that exceed a limit, and an exception after the first item, are kept for the
        next request. The caller holds the lock.
        """
        first = lasting(self.next_item())
        # Measured with the serializer of the client that reads. An estimate would be wrong by far for nested data.
        items, size, expires_at = [first], large_size(first) or size_of(first), clock() + MAX_ITEMS_SECONDS
        try:
            while len(items) < max_items and size < MAX_ITEMS_BYTES and clock() < expires_at:
                item = lasting(self.next_item())
                size += large_size(item) or size_of(item)
                if size > MAX_ITEMS_BYTES:
                    self.pushed_back.append(item)
                else:
                    items.append(item)
        except StopIteration:
            self.exhausted = True
        except Exception as x:  # raised by the user's generator, or by size_of for this item
            self.failure = x
        return items

    def close_iterator(self) -> None:
        """Call close() of the iterator, if it has one. The caller holds the lock."""
        close = getattr(self.iterator, "close", None)
        # Dropped before close() is called, which may raise or call back into this table.
        self.iterator, self.failure = iter(()), None
        self.pushed_back.clear()
        if close is None:
            return
        try:
            close()
        except Exception:  # the cleanup code of the user's generator failed; there is no call that could report it
            log.warning("closing an item stream failed", exc_info=True)


class StreamTable:
    """Open streams by id. Thread-safe.

    A client is any hashable object. If it has the attribute ``ended``, that is true before client_disconnected() is called.

    Args:
        lifetime_seconds: how long a stream may exist, 0: without a limit.
        linger_seconds: how long it stays open when its client disconnects (and may reconnect), 0: it is closed at once.
        clock: returns monotonic seconds.
        max_per_client: how many streams a client may have open, 0: any number. The same number of streams lingers for
            all disconnected clients of a host.
    """

    def __init__(self, lifetime_seconds: float, linger_seconds: float, clock: Callable[[], float],
                 max_per_client: int = 0) -> None:
        self._lifetime = lifetime_seconds
        self._linger = linger_seconds
        self._clock = clock
        self._max_per_client = max_per_client
        self._streams: Dict[str, _Stream] = {}
        self._owned: Dict[Any, Dict[str, _Stream]] = {}  # by owner, oldest first
        # Guards both tables, not the streams themselves.
        self._lock = threading.Lock()

    def set_limits(self, lifetime_seconds: float, linger_seconds: float, max_per_client: int) -> None:
        """Use these limits from now on, also for open streams."""
        with self._lock:
            longer = linger_seconds - self._linger
            self._lifetime, self._linger, self._max_per_client = lifetime_seconds, linger_seconds, max_per_client
            # Open streams get the new lifetime, counted from when they were opened.
            for stream in self._streams.values():
                stream.expires_at = stream.opened_at + lifetime_seconds if lifetime_seconds > 0 else None
                if stream.linger_expires_at is not None:
                    stream.linger_expires_at += longer

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, iterator: Iterator[Any], owner: Any, opened_by: Tuple[bytes, int] = (b"", 0)) -> str:
        """Add an iterator, and return the id of its stream.

        Args:
            opened_by: correlation id and sequence number of the call, see `cancel`.

        Raises:
            PyroError: the client has too many open streams.
        """
        now = self._clock()
        expires_at = now + self._lifetime if self._lifetime > 0 else None
        stream = _Stream(str(uuid.uuid4()), iterator, expires_at, now)
        stream.opened_by = opened_by
        try:
            # Both tables change together. The iterator of a refused stream is closed outside the lock.
            with self._lock:
                self._set_owner_locked(owner, stream)
                self._streams[stream.stream_id] = stream
        except errors.PyroError:
            stream.drop()
            raise
        return stream.stream_id

    def cancel(self, correlation_id: bytes, seq: Optional[int] = None) -> None:
        """Close the streams that the call with this correlation id (and sequence number) has opened."""
        # A snapshot without the lock: close() takes it, and runs code of the generator.
        for stream in list(self._streams.values()):
            if stream.opened_by[0] == correlation_id and seq in (None, stream.opened_by[1]):
                self.close(stream.stream_id)

    def _set_owner_locked(self, owner: Any, stream: _Stream) -> None:
        """Change the owner. Raises PyroError if the new one has too many streams."""
        streams = self._owned.setdefault(owner, {})
        if 0 < self._max_per_client <= len(streams):
            raise errors.PyroError("too many item streams are open: this server allows %d per client (its setting "
                                   # Added to the new owner only after the check, so that a refused stream stays where it is.
                                   "MAX_STREAMS); read them to their end, or close them" % self._max_per_client)
        self._remove_from_owner_locked(stream)
        stream.owner = owner
        streams[stream.stream_id] = stream

    def _remove_from_owner_locked(self, stream: _Stream) -> None:
        streams = self._owned.get(stream.owner)
        if streams is not None:
            streams.pop(stream.stream_id, None)
            if not streams:
                del self._owned[stream.owner]

    def forget(self, stream_id: str) -> Optional[_Stream]:
        """Remove a stream, whose iterator has ended or is closed by the caller, and return it; None if it does not exist."""
        with self._lock:
            stream = self._streams.pop(stream_id, None)
            if stream is not None:
                self._remove_from_owner_locked(stream)
        return stream

    def next_item(self, stream_id: str, client: Any) -> Any:
        """Return the next item. The client that fetches it becomes the owner of the stream.

        Raises:
            StopIteration: there are no more items; the stream is closed.
            PyroError: the stream does not exist (any more), or it belongs to another client and this one has too many.
            Exception: raised by the iterator; the stream is closed.
        """
        return self._read(stream_id, client, _Stream.next_item)

    def next_items(self, stream_id: str, client: Any, max_items: int, size_of: Callable[[Any], int]) -> Tuple[List[Any], bool]:
        """Return at least one item, and whether there are no more.

        There are fewer than max_items if they are large, or take long to create.

        Args:
            size_of: returns the size of an item in bytes; an exception that it raises is raised instead of the item.

        Raises:
            as `next_item`; an exception that occurs after some items is raised by the next call.
        """
        max_items = min(max_items, MAX_ITEMS)
        result: Tuple[List[Any], bool] = self._read(
            stream_id, client, lambda stream: (stream.next_items(max_items, size_of, self._clock), stream.exhausted))
        return result

    def is_asynchronous(self, stream_id: str) -> bool:
        """Return whether the items of a stream are read in an event loop."""
        stream = self._streams.get(stream_id)
        return stream is not None and isinstance(stream.iterator, AsynchronousItems)

    def find_asynchronous(self, stream_id: str, client: Any) -> Optional[AsynchronousItems]:
        """Return the iterator of a stream that is read in an event loop; None if it is another one, or does not exist. The
        client becomes the owner of the stream.

        Raises:
            PyroError: it belongs to another client, and this one has too many.
        """
        # Not _read(): the lock of a stream must not be held across the steps of an event loop, which runs other tasks
        # in between.
        stream = self._streams.get(stream_id)
        if stream is None or stream.dropped or stream.is_expired(self._clock()):
            return None
        items = stream.iterator
        if not isinstance(items, AsynchronousItems):
            return None
        if stream.owner is not client:
            self._change_owner(stream, client)
        return items

    def _read(self, stream_id: str, client: Any, read: Callable[[_Stream], Any]) -> Any:
        # No lock of the table here: it must not be held while the iterator runs user code.
        stream = self._streams.get(stream_id)
        if stream is None or stream.dropped or stream.is_expired(self._clock()):
            self.close(stream_id)
            raise _terminated()
        try:
            with stream.lock:
                # Closed since it was looked up: its iterator, which is gone, must not seem to be at its end.
                if stream.dropped:
                    raise _terminated()
                if stream.owner is not client:
                    self._change_owner(stream, client)
                return self._read_locked(stream, read)
        finally:
            # Closed by another thread, which found the lock taken and left the iterator to this thread.
            if stream.dropped:
                stream.drop()

    def _read_locked(self, stream: _Stream, read: Callable[[_Stream], Any]) -> Any:
        """Read from a stream whose lock the caller holds; close it at its end and after an exception."""
        try:
            result = read(stream)
        except BaseException:
            # A generator that has raised cannot be resumed: the next request learns that the stream is terminated.
            self.forget(stream.stream_id)
            raise
        if stream.exhausted:
            self.forget(stream.stream_id)
        return result

    def _change_owner(self, stream: _Stream, client: Any) -> None:
        with self._lock:
            # client_disconnected() is not called again for a client that has ended. A stream that a late oneway call
            # of it reads keeps its present owner, so it can still expire.
            if stream.stream_id in self._streams and not getattr(client, "ended", False):
                self._set_owner_locked(client, stream)
                stream.linger_expires_at = None

    def close(self, stream_id: str) -> None:
        """Close a stream, or do nothing if it does not exist."""
        stream = self.forget(stream_id)
        if stream is not None:
            stream.drop()

    def has_streams_of(self, client: Any) -> bool:
        """Return whether a client owns open streams."""
        return client in self._owned

    def client_disconnected(self, client: Any) -> None:
        """Make the streams of a client linger, or close them if they must not."""
        linger_expires_at = self._clock() + self._linger
        address = getattr(client, "peer_address", None)
        host = str(address[0]) if isinstance(address, tuple) else ""  # a Unix domain socket has none
        with self._lock:
            orphans = self._owned.pop(client, {})
            # By host, because a client that reconnects has a new port. The limit per client holds for those, too.
            excess = list(orphans)
            if orphans and self._linger > 0:
                for stream in orphans.values():
                    stream.owner = host
                    stream.linger_expires_at = linger_expires_at
                lingering = self._owned.setdefault(host, {})
                lingering.update(orphans)
                # The oldest ones of the host are closed first.
                excess = list(lingering)[:-self._max_per_client] if self._max_per_client > 0 else []
        # Closed after the lock is released, because the code of generators runs.
        for stream_id in excess:
            self.close(stream_id)

    def expire(self) -> None:
        """Close the streams that have expired."""
        now = self._clock()
        # Collected under the lock and closed without it, because close() runs code of generators.
        with self._lock:
            expired = [stream_id for stream_id, stream in self._streams.items() if stream.is_expired(now)]
        for stream_id in expired:
            self.close(stream_id)

    def clear(self) -> None:
        """Close all streams."""
        with self._lock:
            all_ids = list(self._streams)
        for stream_id in all_ids:
            self.close(stream_id)


class StreamsById(Mapping[str, Any]):
    """Live read-only view of a table: id -> (client, time of opening, time when it expires unless the client comes
    back or 0, iterator).
    """

    def __init__(self, table: StreamTable) -> None:
        self._table = table

    def __getitem__(self, stream_id: str) -> Tuple[Any, float, float, Iterator[Any]]:
        stream = self._table._streams[stream_id]
        client = None if isinstance(stream.owner, str) else stream.owner
        return client, stream.opened_at, stream.linger_expires_at or 0, stream.iterator

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._table._streams))

    def __len__(self) -> int:
        return len(self._table)


def _terminated() -> errors.PyroError:
    return errors.PyroError("item stream terminated: it is unknown, was closed, or has expired")
