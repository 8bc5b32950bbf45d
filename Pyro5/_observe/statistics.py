"""Statistics of calls, and one report about all processes of a daemon. Counting a call takes no lock.

A call appends its duration to the row of its method, a list that all threads share: append() is atomic. Now and then, and
before a row is read, the durations in it are added to its histogram: many at a time, which takes a tenth of the time.
"""
from __future__ import annotations

import os
import re
import threading
import time
import weakref
from collections import Counter
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from .histogram import BUCKETS, summary, total

Key = Tuple[str, str]  # of an object and its method

BATCH = "<batch>"  # the method under which batches are counted
OTHERS: Key = ("<others>", "<others>")  # methods beyond the limit, and those that do not exist
GENERATED_IDS = "<generated ids>"  # stands for objects whose ids the daemon has made
MAX_TEXT = 300  # characters of the text of an error that are kept
MAX_PENDING = 128  # durations in a row before they are added to its histogram
_MICROSECONDS = 1e6
TRACEBACK_SECONDS = 1.0  # the traceback of a method's last error is formatted at most once in this time

_GENERATED_ID = re.compile("obj_[0-9a-f]{32}")

now = time.perf_counter


def shown_id(object_id: str) -> str:
    """Return an object id, or what stands for all generated ones: they are different after each start of a server."""
    return GENERATED_IDS if _GENERATED_ID.fullmatch(object_id) else object_id


class Row(List[float]):
    """What was counted for one method. As a list, the durations that are not yet in `counts`.

    The lock of the statistics guards all of it, except for append().
    """

    __slots__ = ("counts", "seconds", "errors", "inner_calls")

    def __init__(self) -> None:
        super().__init__()
        self.counts = [0] * BUCKETS
        self.seconds = 0.0
        self.errors = self.inner_calls = 0

    def fold_locked(self) -> None:
        """Add the durations to the histogram."""
        # Both slices end where the list ended before: what other threads append meanwhile stays.
        size = len(self)
        durations = self[:size]
        del self[:size]
        # All by functions in C: 0.15 us for each.
        for bucket, count in Counter(map(int.bit_length, map(int, map(_MICROSECONDS.__mul__, durations)))).items():
            self.counts[min(bucket, BUCKETS - 1)] += count
        self.seconds += sum(durations)


class _Index(Dict[Key, Row]):
    """Rows by the object and the method in a request, filled as they are asked for. Read without a lock; can be cleared at any
    time.
    """

    def __init__(self, find: Callable[[str, str], Row]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, key: Key) -> Row:
        return self._find(*key)


_all: weakref.WeakSet[Statistics] = weakref.WeakSet()


def _after_fork() -> None:
    # Another thread may have held a lock when the process was forked.
    for statistics in list(_all):
        statistics._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Statistics:
    """Counts the calls of a daemon. Thread-safe.

    Args:
        row_of: returns the object and the method under which a call is counted: `OTHERS` if they do not exist.
        max_rows: the number of methods that are counted apart from each other; can be changed.

    Attributes:
        index: the rows, by object and method. A call that has ended appends its duration, and calls fold() when the row has
            become long.
    """

    def __init__(self, row_of: Callable[[str, str], Key], max_rows: int) -> None:
        self.max_rows = max_rows
        self.since = time.time()  # for people who read the report
        self.started = time.monotonic()
        self._row_of = row_of
        # Guards the rest. Reentrant, because a signal handler may ask for the statistics while its thread adds durations up.
        self._lock = threading.RLock()
        _all.add(self)
        self.index = _Index(self._find_row)
        self._rows: Dict[Key, Row] = {}
        self._waits = Row()
        self._keys: Dict[Key, bool] = {}
        self._refusals: Counter[str] = Counter()
        self._last_errors: Dict[Key, Dict[str, Any]] = {}
        self._bytes = [0, 0]  # received and sent over connections that have ended

    # ------------------------------------------------------------ for each call

    def fold(self, row: Row, call: Any) -> None:
        """Add the durations in a row to its histogram if there are many, and count what else there is to count of a call."""
        with self._lock:
            if len(row) >= MAX_PENDING:
                row.fold_locked()
            row.errors += call.failed
            row.inner_calls += call.inner_calls

    def record_wait(self, seconds: float) -> None:
        """Count how long a request has waited for a thread."""
        self._waits.append(seconds)
        if len(self._waits) >= MAX_PENDING:
            with self._lock:
                self._waits.fold_locked()

    def _find_row(self, object_id: str, method: str) -> Row:
        key = self._row_of(object_id, method)
        with self._lock:
            key = self._key_locked(key)
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = Row()
            if len(self.index) > 4 * self.max_rows:
                self.index.clear()
            if key is not OTHERS:
                self.index[object_id, method] = row
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
            last_errors = {key: {name: value for name, value in error.items() if name != "formatted"}
                           for key, error in self._last_errors.items()}
            found: Dict[str, Dict[str, Dict[str, Any]]] = {}
            for key in sorted(self._rows):
                object_id, method = key
                found.setdefault(object_id, {})[method] = _row_as_dict_locked(self._rows[key], last_errors.get(key))
        return found

    def waits(self) -> Dict[str, Any]:
        """Return how long requests have waited for a thread."""
        with self._lock:
            self._waits.fold_locked()
            return {"requests": sum(self._waits.counts), **summary(self._waits.counts, self._waits.seconds)}

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


def _row_as_dict_locked(row: Row, last_error: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    row.fold_locked()
    found: Dict[str, Any] = {"calls": sum(row.counts), "errors": row.errors, "last_error": last_error,
                             **summary(row.counts, row.seconds)}
    if row.inner_calls:
        found["batched_calls"] = row.inner_calls
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
    errors = [row["last_error"] for row in (one, other) if row["last_error"] is not None]
    merged = {"calls": one["calls"] + other["calls"], "errors": one["errors"] + other["errors"],
              "last_error": max(errors, key=lambda error: error["time"], default=None),
              **summary(total([one["buckets"], other["buckets"]]), one["seconds"] + other["seconds"])}
    batched = one.get("batched_calls", 0) + other.get("batched_calls", 0)
    return {**merged, "batched_calls": batched} if batched else merged


_COUNTS = ("objects", "queue_wait", "refusals", "bytes", "since", "uptime")  # what does not end with a process


def merged_reports(reports: Sequence[Dict[str, Any]], ended: Sequence[Dict[str, Any]] = ()) -> Dict[str, Any]:
    """Return the sums of the reports of several processes; ``processes`` lists their ids.

    Args:
        reports: that of this process first; what is not a number is taken from it.
        ended: the counts of processes that have ended, or do not answer.
    """
    return {
        **reports[0],
        "processes": sorted([report["pid"] for report in reports]),
        "workers": _sums([report["workers"] for report in reports if report["workers"]]),
        "streams": sum([report["streams"] for report in reports]),
        "connections": _sums([report["connections"] for report in reports]),
        **_merged_counts([*reports, *ended]),
    }


def counts_of(report: Dict[str, Any]) -> Dict[str, Any]:
    """Return the part of a report that stays when the process has ended."""
    return {key: report[key] for key in _COUNTS}


def with_counts(report: Dict[str, Any], counts: Dict[str, Any]) -> Dict[str, Any]:
    """Return a report to which the counts of another process are added."""
    return {**report, **_merged_counts([report, counts])}


def _merged_counts(many: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    waits = [each["queue_wait"] for each in many]
    return {
        "since": min([each["since"] for each in many]), "uptime": max([each["uptime"] for each in many]),
        "objects": merged_rows([each["objects"] for each in many]),
        "queue_wait": {"requests": sum([wait["requests"] for wait in waits]),
                       **summary(total([wait["buckets"] for wait in waits]), sum([wait["seconds"] for wait in waits]))},
        **{key: _sums([each[key] for each in many]) or {} for key in ("refusals", "bytes")},
    }


def _sums(many: Sequence[Dict[str, int]]) -> Optional[Dict[str, int]]:
    """Return the sum of each number; None if there are none."""
    if not many:
        return None
    sums: Counter[str] = Counter()
    for each in many:
        sums.update(each)
    return dict(sums)
