"""Series of samples, and whether they are flat."""
from __future__ import annotations

import itertools
import statistics
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

from .meter import merge, percentile

SERVERS = ("thread", "multiplex", "names")


class Quantity(NamedTuple):
    """Something that is sampled.

    Attributes:
        title, unit: for people.
        share, least: how much a flat series may grow over the second half: so much of its mean, or this, if that is more.
    """

    title: str
    unit: str
    share: float
    least: float


QUANTITIES: Dict[str, Quantity] = {
    "memory": Quantity("Memory", "MiB", 0.03, 1.0),
    "descriptors": Quantity("File descriptors", "", 0.10, 5.0),
    "threads": Quantity("Threads", "", 0.10, 5.0),
    "p50": Quantity("Half of the calls take at most", "ms", 0.5, 1.0),
    "p99": Quantity("99 of 100 calls take at most", "ms", 0.5, 5.0),
}


class Series(NamedTuple):
    """The samples of a quantity of a process.

    Attributes:
        times: in seconds since the start.
    """

    quantity: str
    process: str
    times: Sequence[float]
    values: Sequence[float]

    @property
    def title(self) -> str:
        return "%s, %s" % (QUANTITIES[self.quantity].title.lower(), self.process)

    @property
    def growth(self) -> float:
        """How much it grows over the second half, by the median of the slopes between any two samples of it."""
        middle = len(self.times) // 2
        samples = list(zip(self.times[middle:], self.values[middle:]))
        slopes = [(late[1] - early[1]) / (late[0] - early[0]) for early, late in itertools.combinations(samples, 2)]
        return statistics.median(slopes) * (samples[-1][0] - samples[0][0]) if slopes else 0.0

    @property
    def is_flat(self) -> bool:
        quantity = QUANTITIES[self.quantity]
        return self.growth <= max(quantity.least, quantity.share * statistics.mean(self.values[len(self.values) // 2:]))


def all_series(result: Dict[str, Any]) -> Iterator[Series]:
    """Return the series of a run: first what processes use, then how long calls take."""
    samples: List[Dict[str, Any]] = result["samples"]
    for quantity in ("memory", "descriptors", "threads"):
        for process in result["processes"]:
            known = [one for one in samples if quantity in one["usage"].get(process, {})]
            if known:
                yield Series(quantity, process, [one["time"] for one in known],
                             [one["usage"][process][quantity] for one in known])
    for quantity, share in (("p50", 0.5), ("p99", 0.99)):
        for process in SERVERS:
            timed = [(one["time"], one["calls"]["times"][process]) for one in samples if process in one["calls"]["times"]]
            if timed:
                yield Series(quantity, process, [time for time, _ in timed],
                             [1000 * percentile(_counts(counts), share) for _, counts in timed])


def _counts(pairs: Any) -> Dict[int, int]:
    return dict(pairs)


def total(result: Dict[str, Any]) -> Dict[str, Any]:
    """Put together what all clients did in the whole run."""
    return merge(one["calls"] for one in result["samples"])


def verdict(result: Dict[str, Any]) -> str:
    """Say in a line whether everything was right, and stayed as it was."""
    series = list(all_series(result))
    growing = ["%s: %+.1f %s" % (one.title, one.growth, QUANTITIES[one.quantity].unit) for one in series if not one.is_flat]
    failed = total(result)["failed"]
    flat = "all %d lines are flat" % len(series) if not growing else "NOT flat: " + "; ".join(growing)
    return "%s; %s" % (flat, "%d MISTAKES" % failed if failed else "no mistakes")


def is_good(result: Dict[str, Any]) -> bool:
    return not total(result)["failed"] and all(one.is_flat for one in all_series(result))


def table(result: Dict[str, Any]) -> str:
    """Return the figures as text."""
    whole = total(result)
    lines = ["%-42s %9s %9s %9s %9s" % ("", "middle", "end", "most", "growth")]
    for one in all_series(result):
        middle = one.values[len(one.values) // 2:]
        lines.append("%-42s %9.1f %9.1f %9.1f %+9.2f" % (one.title, middle[0], one.values[-1], max(one.values), one.growth))
    lines.append("done: " + ", ".join("%s %d" % (where, whole["done"].get(where, 0)) for where in SERVERS))
    lines += ["failed: " + text for text in whole["failures"]]
    return "\n".join([*lines, verdict(result), ""])
