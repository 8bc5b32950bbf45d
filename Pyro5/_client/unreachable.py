"""Remembers for some seconds which servers could not be reached, so that others are tried first."""
from __future__ import annotations

import time
from typing import Callable, Dict, List, TypeVar

__all__ = ["is_reachable", "note_location", "reachable_first"]

T = TypeVar("T")

UNREACHABLE_SECONDS = 5.0  # how long others are preferred to one that could not be reached
MAX_UNREACHABLE = 1000

# Locations where no server answered -> monotonic time until which others are tried first. Without a lock: at worst one is
# tried too early, or too late.
_unreachable: Dict[str, float] = {}


def note_location(location: str) -> None:
    """Prefer other servers to the one at this location for some seconds."""
    if len(_unreachable) >= MAX_UNREACHABLE:
        _unreachable.clear()
    _unreachable[location] = time.monotonic() + UNREACHABLE_SECONDS


def is_reachable(location: str) -> bool:
    """Return whether nothing is known against the server at this location."""
    return _unreachable.get(location, 0) <= time.monotonic()


def reachable_first(servers: List[T], location: Callable[[T], str]) -> List[T]:
    """Return the servers in their order, those that could not be reached a moment ago last."""
    return sorted(servers, key=lambda each: not is_reachable(location(each)))
