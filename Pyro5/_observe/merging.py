"""One report about all processes of a daemon."""
from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Sequence

from .histogram import add, summary
from .statistics import merged_rows

__all__ = ["counts_of", "merged_reports", "with_counts"]

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
    buckets: List[int] = []
    for wait in waits:
        add(buckets, wait["buckets"])
    return {
        "since": min([each["since"] for each in many]), "uptime": max([each["uptime"] for each in many]),
        "objects": merged_rows([each["objects"] for each in many]),
        "queue_wait": {"requests": sum([wait["requests"] for wait in waits]),
                       **summary(buckets, sum([wait["seconds"] for wait in waits]))},
        **{key: _sums([each[key] for each in many]) or {} for key in ("refusals", "bytes")},
    }


def _sums(many: Sequence[Dict[str, int]]) -> Optional[Dict[str, int]]:
    """Return the sum of each number; None if there are none."""
    if not many:
        return None
    total: Counter[str] = Counter()
    for each in many:
        for key, number in each.items():
            total[key] += number
    return dict(total)
