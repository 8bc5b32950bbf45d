"""How the time that something takes is measured: many times in a row, by turns with what it is compared with."""
from __future__ import annotations

import statistics
import time
from typing import Any, Callable, NamedTuple


class Result(NamedTuple):
    """Medians: of the seconds of an action, of those of what it is compared with, and of the ratios in each round."""

    seconds: float
    base_seconds: float
    ratio: float


def seconds_for(action: Callable[[], Any], times: int) -> float:
    """Measure how long one action takes when it is done so many times in a row."""
    started = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - started) / times


def compare(action: Callable[[], Any], base: Callable[[], Any], rounds: int, times: int) -> Result:
    """Measure an action and what it is compared with, by turns."""
    seconds_for(action, 3)
    pairs = [(seconds_for(action, times), seconds_for(base, times)) for _ in range(rounds)]
    return Result(statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs),
                  statistics.median(a / b for a, b in pairs))
