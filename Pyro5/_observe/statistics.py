"""Statistics of calls, counted by each thread for itself, so that a call takes no lock.

A call adds to a list of numbers that belongs to its thread and its method, which takes 0.7 us (see ``python -m tests.bench
statistics``). Reading adds up the lists of all threads; while calls run, the sums may be off by those that are being counted
at that moment.
"""
from __future__ import annotations

import os
import re
import threading
import time
import weakref
from collections import Counter
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from .histogram import BUCKETS, add, summary

__all__ = ["BATCH", "GENERATED_IDS", "OTHERS", "Statistics", "merged_rows", "now", "shown_id"]

Key = Tuple[str, str]  # of an object and its method
Row = List[Any]

# The places in a row behind the buckets.
_SECONDS, _ERRORS, _INNER = BUCKETS, BUCKETS + 1, BUCKETS + 2
_EMPTY = (*([0] * BUCKETS), 0.0, 0, 0)

BATCH = "<batch>"  # the method under which batches are counted
OTHERS: Key = ("<others>", "<others>")  # methods beyond the limit, and those that do not exist
GENERATED_IDS = "<generated ids>"  # stands for objects whose ids the daemon has made
MAX_TEXT = 300  # characters of the text of an error that are kept
TRACEBACK_SECONDS = 1.0  # the traceback of a method's last error is formatted at most once in this time

_GENERATED_ID = re.compile("obj_[0-9a-f]{32}")

now = time.perf_counter


def shown_id(object_id: str) -> str:
    """Return an object id, or what stands for all generated ones: they are different after each start of a server."""
    return GENERATED_IDS if _GENERATED_ID.fullmatch(object_id) else object_id


class _Cells:
    """What one thread has counted."""

    def __init__(self) -> None:
        self.index: Dict[Key, Row] = {}  # by what a request contains; can be cleared at any time
        self.rows: Dict[Key, Row] = {}
        self.waits: Row = list(_EMPTY)


class _Owner:
    """Stored in the local data of a thread: it is collected when the thread has ended."""

    __slots__ = ("__weakref__",)


class _Local(threading.local):
    cells: _Cells
    index: Dict[Key, Row]
    owner: _Owner


_all: weakref.WeakSet[Statistics] = weakref.WeakSet()


def _after_fork() -> None:
    # Another thread may have held a lock when the process was forked.
    for statistics in list(_all):
        statistics._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Statistics:
    """Counts the calls of a daemon. Thread-safe.

    Args:
        row_of: returns the object and the method under which a call is counted: `OTHERS` if they do not exist.
        max_rows: the number of methods that are counted apart from each other; can be changed.
    """

    def __init__(self, row_of: Callable[[str, str], Key], max_rows: int) -> None:
        self.max_rows = max_rows
        self.since = time.time()  # for people who read the report
        self.started = time.monotonic()
        self._row_of = row_of
        self._local = _Local()
        self._lock = threading.Lock()  # guards the rest
        _all.add(self)
        self._threads: List[Tuple[Callable[[], Any], _Cells]] = []
        self._ended = _Cells()  # the sums of threads that have ended
        self._keys: Dict[Key, bool] = {}
        self._refusals: Counter[str] = Counter()
        self._last_errors: Dict[Key, Dict[str, Any]] = {}
        self._bytes = [0, 0]  # received and sent over connections that have ended

    # ------------------------------------------------------------ for each call

    def record(self, call: Any) -> None:
        """Count a call that has ended: a RunningCall."""
        elapsed = now() - call.started
        try:
            row = self._local.index[call.object_id, call.method]
        except (AttributeError, KeyError):  # the first call of this thread, or of this method in it
            row = self._find_row(call.object_id, call.method)
        bucket = int(elapsed * 1e6).bit_length()
        row[bucket if bucket < BUCKETS else BUCKETS - 1] += 1
        row[_SECONDS] += elapsed
        if call.is_special:
            row[_ERRORS] += call.failed
            row[_INNER] += call.inner_calls

    def record_wait(self, seconds: float) -> None:
        """Count how long a request has waited for a thread."""
        waits = self._cells().waits
        bucket = int(seconds * 1e6).bit_length()
        waits[bucket if bucket < BUCKETS else BUCKETS - 1] += 1
        waits[_SECONDS] += seconds

    def _cells(self) -> _Cells:
        local = self._local
        try:
            return local.cells
        except AttributeError:
            cells = local.cells = _Cells()
            local.index, local.owner = cells.index, _Owner()
            with self._lock:
                self._fold_ended_locked()
                self._threads.append((weakref.ref(local.owner), cells))
            return cells

    def _find_row(self, object_id: str, method: str) -> Row:
        cells = self._cells()
        key = self._row_of(object_id, method)
        with self._lock:
            key = self._key_locked(key)
            row = cells.rows.setdefault(key, list(_EMPTY))
        if len(cells.index) > 4 * self.max_rows:
            cells.index.clear()
        if key is not OTHERS:
            cells.index[object_id, method] = row
        return row

    def _key_locked(self, key: Key) -> Key:
        """Return under which object and method a call is counted, so that the table has at most `max_rows` rows."""
        # Names come from clients, and objects from the program: neither may fill the memory.
        if key not in self._keys and len(self._keys) >= self.max_rows // 2:
            key = shown_id(key[0]), key[1]  # leaves room for objects that have ids of their own
        if key not in self._keys and len(self._keys) >= self.max_rows:
            key = OTHERS
        self._keys[key] = True
        return key

    # ------------------------------------------------------------ rare events

    def refused(self, reason: str) -> None:
        """Count a client or a request that was refused."""
        with self._lock:
            self._refusals[reason] += 1

    def failed(self, call: Any, error: BaseException, text: str, format_traceback: Callable[[], str]) -> None:
        """Note that a call has failed.

        Args:
            call: the RunningCall.
            text: of the exception.
            format_traceback: returns the traceback as text. It is not called for each of many errors.
        """
        call.failed = call.is_special = True
        key, at = self._row_of(call.object_id, call.method), time.time()
        with self._lock:
            key = self._key_locked(key)
            last = self._last_errors.get(key)
            if last is None and len(self._last_errors) >= self.max_rows:
                return
        if last is None or not 0 <= at - last["formatted"] < TRACEBACK_SECONDS or last["type"] != type(error).__name__:
            traceback, formatted = format_traceback(), at
        else:
            traceback, formatted = last["traceback"], last["formatted"]
        with self._lock:
            self._last_errors[key] = {"type": type(error).__name__, "text": text[:MAX_TEXT], "time": at,
                                      "traceback": traceback, "formatted": formatted}

    def connection_ended(self, connection: Any) -> None:
        """Add what was sent and received over a connection to the sums of those that have ended. Called once for each."""
        with self._lock:
            self._bytes[0] += connection.bytes_received
            self._bytes[1] += connection.bytes_sent

    # ------------------------------------------------------------ reading

    def rows(self) -> Dict[str, Dict[str, Dict[str, Any]]]:
        """Return what was counted for each method, by object and method."""
        with self._lock:
            self._fold_ended_locked()
            total = _copied(self._ended)
            for _owner, cells in self._threads:
                _fold(total, cells)
            last_errors = {key: {name: value for name, value in error.items() if name != "formatted"}
                           for key, error in self._last_errors.items()}
        found: Dict[str, Dict[str, Dict[str, Any]]] = {}
        for (object_id, method), row in sorted(total.rows.items()):
            found.setdefault(object_id, {})[method] = _row_as_dict(row, last_errors.get((object_id, method)))
        return found

    def waits(self) -> Dict[str, Any]:
        """Return how long requests have waited for a thread."""
        with self._lock:
            total = _copied(self._ended)
            for _owner, cells in self._threads:
                _fold(total, cells)
        counts = total.waits[:BUCKETS]
        return {"requests": sum(counts), **summary(counts, total.waits[_SECONDS])}

    def refusals(self) -> Dict[str, int]:
        """Return how often clients and requests were refused, by reason."""
        with self._lock:
            return dict(self._refusals)

    def bytes_of(self, connections: Iterable[Any]) -> Dict[str, int]:
        """Return the bytes that were received and sent.

        Args:
            connections: those that are open.
        """
        connections = list(connections)
        with self._lock:
            received, sent = self._bytes
        return {"received": received + sum([each.bytes_received for each in connections]),
                "sent": sent + sum([each.bytes_sent for each in connections])}

    def _fold_ended_locked(self) -> None:
        # Not in a callback of the weak reference: it would run in any thread, also in one that holds the lock.
        ended = [cells for owner, cells in self._threads if owner() is None]
        if ended:
            self._threads = [each for each in self._threads if each[0]() is not None]
            for cells in ended:
                _fold(self._ended, cells)


def _copied(cells: _Cells) -> _Cells:
    copied = _Cells()
    _fold(copied, cells)
    return copied


def _fold(total: _Cells, cells: _Cells) -> None:
    """Add what one thread has counted to the sums."""
    # Snapshots: the thread may add a row, or change one, in the same moment.
    for key, row in list(cells.rows.items()):
        _add_row(total.rows.setdefault(key, list(_EMPTY)), row[:])
    _add_row(total.waits, cells.waits[:])


def _add_row(total: Row, row: Row) -> None:
    for place, number in enumerate(row):
        total[place] += number


def _row_as_dict(row: Row, last_error: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    counts = row[:BUCKETS]
    found: Dict[str, Any] = {"calls": sum(counts), "errors": row[_ERRORS], "last_error": last_error,
                             **summary(counts, row[_SECONDS])}
    if row[_INNER]:
        found["batched_calls"] = row[_INNER]
    return found


def merged_rows(many: Iterable[Dict[str, Dict[str, Dict[str, Any]]]]) -> Dict[str, Dict[str, Dict[str, Any]]]:
    """Return the sums of what `Statistics.rows` of several processes returned."""
    found: Dict[str, Dict[str, Dict[str, Any]]] = {}
    for rows in many:
        for object_id, methods in rows.items():
            for method, row in methods.items():
                of_object = found.setdefault(object_id, {})
                of_object[method] = row if method not in of_object else _merged(of_object[method], row)
    return found


def _merged(one: Dict[str, Any], other: Dict[str, Any]) -> Dict[str, Any]:
    counts: List[int] = []
    add(counts, one["buckets"])
    add(counts, other["buckets"])
    errors = [row["last_error"] for row in (one, other) if row["last_error"] is not None]
    merged = {"calls": one["calls"] + other["calls"], "errors": one["errors"] + other["errors"],
              "last_error": max(errors, key=lambda error: error["time"], default=None),
              **summary(counts, one["seconds"] + other["seconds"])}
    batched = one.get("batched_calls", 0) + other.get("batched_calls", 0)
    return {**merged, "batched_calls": batched} if batched else merged
