"""Logarithmic histograms of durations: 32 buckets, each twice as wide as the one before."""
from __future__ import annotations

from itertools import zip_longest
from typing import Dict, Iterable, List, Optional, Sequence

BUCKETS = 32
UNIT = 1e-6  # seconds: bucket 0 has durations below one microsecond, bucket n those below 2**n microseconds


def upper_bound(bucket: int) -> float:
    """Return the end of a bucket in seconds. The last one has no end: it also counts everything longer."""
    return float(UNIT * 2 ** bucket)


# Every second bucket from 16 microseconds to 67 seconds: monitoring systems store each of them for each method.
SHOWN = range(4, 27, 2)
SHOWN_BOUNDS = [upper_bound(bucket) for bucket in SHOWN]


def percentile(counts: Sequence[int], share: float) -> Optional[float]:
    """Return the duration in seconds that this share of all durations does not exceed; None if there are no durations.

    It is interpolated inside of a bucket, so the error is less than the width of the bucket.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    seen = 0
    for bucket, count in enumerate(counts):
        if count and seen + count >= wanted:
            start = upper_bound(bucket - 1) if bucket else 0.0
            return start + (upper_bound(bucket) - start) * (wanted - seen) / count
        seen += count
    return upper_bound(len(counts) - 1)


def total(histograms: Iterable[Sequence[int]]) -> List[int]:
    """Return the sums of the counts of histograms, which may have different lengths."""
    return list(map(sum, zip_longest(*histograms, fillvalue=0)))


def trimmed(counts: Sequence[int]) -> List[int]:
    """Return the counts without the empty buckets at the end."""
    last = len(counts)
    while last and not counts[last - 1]:
        last -= 1
    return list(counts[:last])


def summary(counts: Sequence[int], seconds: float) -> Dict[str, object]:
    """Return the mean and the percentiles of a histogram; None where there are no durations.

    Args:
        seconds: the sum of all durations.
    """
    number = sum(counts)
    return {"mean": seconds / number if number else None, "p50": percentile(counts, 0.5), "p99": percentile(counts, 0.99),
            "seconds": seconds, "buckets": trimmed(counts)}
