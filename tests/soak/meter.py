"""What clients put down: how long calls took, as counts by size, and what went wrong."""
from __future__ import annotations

import math
import threading
from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping

BUCKETS_PER_DOUBLING = 8  # so a percentile is right within 9 percent
FAILURES_KEPT = 5


def bucket_of(seconds: float) -> int:
    return int(math.log2(max(seconds * 1e6, 1.0)) * BUCKETS_PER_DOUBLING)


def percentile(counts: Mapping[int, int], share: float) -> float:
    """Return the time in seconds that this share of the calls did not exceed, 0 if there were none."""
    wanted = share * sum(counts.values())
    so_far = 0
    for bucket in sorted(counts):
        so_far += counts[bucket]
        if so_far >= wanted:
            return float(2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING) / 1e6)
    return 0.0


class Meter:
    """Counts what the threads of a client do. Thread-safe."""

    def __init__(self) -> None:
        self._times: Dict[str, Counter[int]] = {}
        self._done: Counter[str] = Counter()
        self._failures: List[str] = []
        self._failed = 0
        # guards the above
        self._lock = threading.Lock()

    def done(self, where: str, count: int = 1) -> None:
        """So many things were done with a server."""
        with self._lock:
            self._done[where] += count

    def took(self, where: str, seconds: float) -> None:
        """A call of a server took so long."""
        with self._lock:
            self._times.setdefault(where, Counter())[bucket_of(seconds)] += 1

    def failed(self, what: str) -> None:
        """Something went otherwise than it should."""
        with self._lock:
            self._failed += 1
            if len(self._failures) < FAILURES_KEPT:
                self._failures.append(what)

    def take(self) -> Dict[str, Any]:
        """Return what was put down since the last time, as JSON can have it."""
        with self._lock:
            taken = {"done": dict(self._done), "failed": self._failed, "failures": self._failures,
                     "times": {where: list(map(list, counts.items())) for where, counts in self._times.items()}}
            self._times, self._done, self._failures, self._failed = {}, Counter(), [], 0
        return taken


def merge(reports: Iterable[Mapping[str, Any]]) -> Dict[str, Any]:
    """Put together what several clients put down at the same time."""
    times: Dict[str, Counter[int]] = {}
    done: Counter[str] = Counter()
    failures: List[str] = []
    failed = 0
    for report in reports:
        done.update(report["done"])
        failed += report["failed"]
        failures += report["failures"]
        for where, counts in report["times"].items():
            times.setdefault(where, Counter()).update(dict(counts))
    return {"times": times, "done": dict(done), "failed": failed, "failures": failures[:FAILURES_KEPT]}
