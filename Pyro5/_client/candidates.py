"""Which of several objects to connect to, if a URI refers to more than one."""
from __future__ import annotations

import logging
import random
import time
from typing import Callable, Dict, List, Optional, TypeVar

from .. import errors
from .._values.uri import URI
from .discovery import resolve_all

__all__ = ["connect_to_any", "in_order_of_trial", "note_unreachable"]

log = logging.getLogger("Pyro5.discovery")

T = TypeVar("T")

UNREACHABLE_SECONDS = 5.0  # how long other candidates are preferred to one that could not be reached
MAX_UNREACHABLE = 1000

# Locations where no server answered -> monotonic time until which others are tried first. Without a lock: at worst one is
# tried too early, or too late.
_unreachable: Dict[str, float] = {}


def connect_to_any(uri: URI, connect: Callable[[URI], T], reply_seconds: Optional[float]) -> T:
    """Connect to the object that a URI refers to; if several have the tags of a PYROMETA URI, to one that can be reached.

    Args:
        connect: called with a PYRO URI; returns the result.
        reply_seconds: as for `resolve`.

    Raises:
        NamingError: the URI cannot be resolved.
        Exception: what ``connect`` raised for the last candidate, or for another one if the request may have been sent.
    """
    candidates = in_order_of_trial(resolve_all(uri, reply_seconds))
    for position, candidate in enumerate(candidates, 1):
        try:
            return connect(candidate)
        except errors.CommunicationError as x:
            # Once a request was sent, another object might execute it a second time.
            if x.sent is not False or len(candidates) == 1:
                raise
            note_unreachable(candidate, uri, x)
            if position == len(candidates):
                errors.add_context(x, "none of %d objects can be reached, the last one was" % position)
                raise
    raise AssertionError("there is at least one candidate")


def in_order_of_trial(candidates: List[URI]) -> List[URI]:
    """Return the objects in random order, those that could not be reached a moment ago last."""
    # Random, so that clients spread over the objects; the sort is stable and keeps this order within both groups.
    shuffled = random.sample(candidates, len(candidates))
    now = time.monotonic()
    return sorted(shuffled, key=lambda each: _unreachable.get(str(each.location), 0) > now)


def note_unreachable(candidate: URI, uri: URI, error: Exception) -> None:
    """Prefer other objects to this one for some seconds."""
    log.info("%s cannot be reached for %s: %s", candidate, uri, error)
    # Forgetting all of them costs at most one failed attempt each. The table must not grow with every object that
    # ever failed.
    if len(_unreachable) >= MAX_UNREACHABLE:
        _unreachable.clear()
    _unreachable[str(candidate.location)] = time.monotonic() + UNREACHABLE_SECONDS
