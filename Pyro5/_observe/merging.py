"""One report about all processes of a daemon."""
from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Sequence

from .histogram import add, summary
from .statistics import merged_rows

__all__ = ["merged_reports"]


def merged_reports(reports: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    """Return the sums of the reports of several processes; ``processes`` lists their ids.

    Args:
        reports: that of this process first; what is not a number is taken from it.
    """
    own = reports[0]
    waits = [report["queue_wait"] for report in reports]
    counts: List[int] = []
    for each in waits:
        add(counts, each["buckets"])
    return {
        **own,
        "processes": sorted([report["pid"] for report in reports]),
        "since": min([report["since"] for report in reports]), "uptime": max([report["uptime"] for report in reports]),
        "objects": merged_rows([report["objects"] for report in reports]),
        "workers": _sums([report["workers"] for report in reports if report["workers"]]),
        "queue_wait": {"requests": sum([each["requests"] for each in waits]),
                       **summary(counts, sum([each["seconds"] for each in waits]))},
        "streams": sum([report["streams"] for report in reports]),
        **{key: _sums([report[key] for report in reports]) or {} for key in ("connections", "refusals", "bytes")},
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
