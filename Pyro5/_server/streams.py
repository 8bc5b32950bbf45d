"""Item streams: the iterators that clients fetch item by item."""
from __future__ import annotations

import logging
import threading
import uuid
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from .. import errors

log = logging.getLogger("Pyro5.server.streams")

# Items that are fetched together are bounded by more than their number, so that they make no large message, and the first
# of them does not have to wait for long.
TOGETHER_ITEMS = 10000
TOGETHER_BYTES = 256 * 1024
TOGETHER_SECONDS = 0.05


class _Stream:
    __slots__ = ("stream_id", "iterator", "opened_at", "kept", "failure", "exhausted", "owner", "ends_at", "lingers_until",
                 "lock", "dropped")

    def __init__(self, stream_id: str, iterator: Iterator[Any], ends_at: Optional[float], opened_at: float = 0.0) -> None:
        self.stream_id = stream_id
        self.iterator = iterator
        self.opened_at = opened_at
        self.kept: List[Any] = []  # what comes before the rest: an item that was read and not handed out
        self.failure: Optional[Exception] = None  # what comes instead of the rest
        self.exhausted = False
        self.owner: Any = None  # the connection that last fetched an item; while that is gone, the address of its host
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

    def next_item(self) -> Any:
        if self.kept:
            return self.kept.pop()
        if self.failure is not None:
            raise self.failure
        return next(self.iterator)

    def next_items(self, most: int, size_of: Callable[[Any], int], clock: Callable[[], float]) -> List[Any]:
        """Read some items; what does not belong to them, or goes wrong after the first, is left for the next time."""
        first = self.next_item()
        items, size, ends_at = [first], size_of(first), clock() + TOGETHER_SECONDS
        try:
            while len(items) < most and size < TOGETHER_BYTES and clock() < ends_at:
                item = self.next_item()
                size += size_of(item)
                if size > TOGETHER_BYTES:
                    self.kept.append(item)
                else:
                    items.append(item)
        except StopIteration:
            self.exhausted = True
        except Exception as x:  # of the user's generator, or about the item that it gave
            self.failure = x
        return items

    def close_iterator(self) -> None:
        close = getattr(self.iterator, "close", None)
        self.iterator, self.failure = iter(()), None
        self.kept.clear()
        if close is None:
            return
        try:
            close()
        except Exception:  # the user's generator failed in its cleanup: nobody is left to be told
            log.warning("closing of an item stream failed", exc_info=True)


class StreamTable:
    """Open streams by id. Thread-safe.

    A client is any hashable object. If it has the attribute ``ended``, that is true before client_disconnected() is called.

    Args:
        lifetime_seconds: how long a stream may exist, 0: for ever.
        linger_seconds: how long it stays when its client disconnects (and may come back), 0: it goes at once.
        clock: gives monotonic seconds.
        most_per_client: how many streams a client may have open, 0: any number. As many stay of all the clients of a
            host that have disconnected.
    """

    def __init__(self, lifetime_seconds: float, linger_seconds: float, clock: Callable[[], float],
                 most_per_client: int = 0) -> None:
        self._lifetime = lifetime_seconds
        self._linger = linger_seconds
        self._clock = clock
        self._most = most_per_client
        self._streams: Dict[str, _Stream] = {}
        self._owned: Dict[Any, Dict[str, _Stream]] = {}  # by owner, the oldest first
        # guards both
        self._lock = threading.Lock()

    def set_limits(self, lifetime_seconds: float, linger_seconds: float, most_per_client: int) -> None:
        """Use other limits from now on, for the streams that are open, too."""
        with self._lock:
            longer = linger_seconds - self._linger
            self._lifetime, self._linger, self._most = lifetime_seconds, linger_seconds, most_per_client
            for stream in self._streams.values():
                stream.ends_at = stream.opened_at + lifetime_seconds if lifetime_seconds > 0 else None
                if stream.lingers_until is not None:
                    stream.lingers_until += longer

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, iterator: Iterator[Any], owner: Any) -> str:
        """Take in an iterator, and give the id of its stream.

        Raises:
            PyroError: the client has too many of them.
        """
        now = self._clock()
        ends_at = now + self._lifetime if self._lifetime > 0 else None
        stream = _Stream(str(uuid.uuid4()), iterator, ends_at, now)
        try:
            with self._lock:
                self._give_to_locked(owner, stream)
                self._streams[stream.stream_id] = stream
        except errors.PyroError:
            stream.drop()
            raise
        return stream.stream_id

    def _give_to_locked(self, owner: Any, stream: _Stream) -> None:
        """Change the owner. Raises PyroError if that one has too many streams."""
        streams = self._owned.setdefault(owner, {})
        if 0 < self._most <= len(streams):
            raise errors.PyroError("too many item streams are open: this server allows %d per client (its setting "
                                   "MAX_STREAMS); read them to their end, or close them" % self._most)
        self._take_from_owner_locked(stream)
        stream.owner = owner
        streams[stream.stream_id] = stream

    def _take_from_owner_locked(self, stream: _Stream) -> None:
        streams = self._owned.get(stream.owner)
        if streams is not None:
            streams.pop(stream.stream_id, None)
            if not streams:
                del self._owned[stream.owner]

    def _remove(self, stream_id: str) -> Optional[_Stream]:
        with self._lock:
            stream = self._streams.pop(stream_id, None)
            if stream is not None:
                self._take_from_owner_locked(stream)
        return stream

    def next_item(self, stream_id: str, client: Any) -> Any:
        """Give the next item; whoever fetches it (again) is the stream's client from then on.

        Raises:
            StopIteration: there are no more items; the stream is gone.
            PyroError: there is no such stream (any more), or it is another client's and this one has too many.
            Exception: what the iterator raised; the stream is gone.
        """
        return self._read(stream_id, client, _Stream.next_item)

    def next_items(self, stream_id: str, client: Any, most: int, size_of: Callable[[Any], int]) -> Tuple[List[Any], bool]:
        """Give the next items, one at least, and whether there are no more.

        Fewer than ``most`` come when they are large together, or when their making takes long.

        Args:
            size_of: tells how many bytes an item will have; what it raises is raised in the item's place.

        Raises:
            as `next_item`; if that happens after some items, they come first, and the exception with the next call.
        """
        most = min(most, TOGETHER_ITEMS)
        result: Tuple[List[Any], bool] = self._read(
            stream_id, client, lambda stream: (stream.next_items(most, size_of, self._clock), stream.exhausted))
        return result

    def _read(self, stream_id: str, client: Any, read: Callable[[_Stream], Any]) -> Any:
        stream = self._streams.get(stream_id)
        if stream is None or stream.dropped or stream.is_over(self._clock()):
            self.close(stream_id)
            raise errors.PyroError("item stream terminated: it is unknown, was closed, or has expired")
        try:
            with stream.lock:
                if stream.owner is not client:
                    self._hand_over(stream, client)
                return self._read_locked(stream, read)
        finally:
            if stream.dropped:
                stream.drop()

    def _read_locked(self, stream: _Stream, read: Callable[[_Stream], Any]) -> Any:
        """The caller holds the lock of the stream."""
        try:
            result = read(stream)
        except BaseException:
            self._remove(stream.stream_id)
            raise
        if stream.exhausted:
            self._remove(stream.stream_id)
        return result

    def _hand_over(self, stream: _Stream, client: Any) -> None:
        with self._lock:
            # the end of a client that has ended is not told again: what a late (oneway) call of it reads stays an orphan
            if stream.stream_id in self._streams and not getattr(client, "ended", False):
                self._give_to_locked(client, stream)
                stream.lingers_until = None

    def close(self, stream_id: str) -> None:
        """Free a stream; an unknown one is left alone."""
        stream = self._remove(stream_id)
        if stream is not None:
            stream.drop()

    def has_streams_of(self, client: Any) -> bool:
        """Whether a client has streams that are not freed yet."""
        return client in self._owned

    def client_disconnected(self, client: Any) -> None:
        """A client disconnected: let its streams linger, or free them."""
        until = self._clock() + self._linger
        host = _host_of(client)
        with self._lock:
            orphans = self._owned.pop(client, {})
            superfluous = list(orphans)
            if orphans and self._linger > 0:
                for stream in orphans.values():
                    stream.owner = host
                    stream.lingers_until = until
                lingering = self._owned.setdefault(host, {})
                lingering.update(orphans)
                superfluous = list(lingering)[:-self._most] if self._most > 0 else []
        for stream_id in superfluous:
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


class StreamsById(Mapping[str, Any]):
    """Live view of a table: (client, time of opening, time when it ends for lack of a client or 0, iterator) by stream id."""

    def __init__(self, table: StreamTable) -> None:
        self._table = table

    def __getitem__(self, stream_id: str) -> Tuple[Any, float, float, Iterator[Any]]:
        stream = self._table._streams[stream_id]
        client = None if isinstance(stream.owner, str) else stream.owner
        return client, stream.opened_at, stream.lingers_until or 0, stream.iterator

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._table._streams))

    def __len__(self) -> int:
        return len(self._table)


def _host_of(client: Any) -> str:
    """Give the host that a connection comes from; empty for what has no network address."""
    address = getattr(client, "peer_address", None)
    return str(address[0]) if isinstance(address, tuple) else ""
