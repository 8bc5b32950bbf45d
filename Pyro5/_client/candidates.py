"""Which of several objects to connect to, if a URI refers to more than one."""
from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Callable, List, Optional, TypeVar

from .. import LazyModule, errors
from .._values.uri import URI
from .call_options import RANDOM
from .ns_places import note_location, reachable_first

if TYPE_CHECKING:
    import random

    from . import discovery
else:
    random = LazyModule(globals(), "random")
    discovery = LazyModule(globals(), ".discovery")  # for names and tags: most of it looks for name servers

log = logging.getLogger("Pyro5.discovery")

T = TypeVar("T")


def connect_to_any(uri: URI, connect: Callable[[URI], T], reply_seconds: Optional[float], pick: str = RANDOM) -> T:
    """Connect to the object that a PYRONAME or PYROMETA URI refers to; if several have the tags, or are members of the name,
    to one that can be reached.

    Args:
        connect: called with a PYRO URI; returns the result.
        reply_seconds: as for `resolve`.
        pick: which of the members is tried first: ``random``, or ``least`` for the one that was looked up least often.

    Raises:
        NamingError: the URI cannot be resolved.
        Exception: what ``connect`` raised for the last candidate, or for another one if the request may have been sent.
    """
    candidates = in_order_of_trial(discovery.resolve_all(uri, reply_seconds, pick), pick)
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


def in_order_of_trial(candidates: List[URI], pick: str = RANDOM) -> List[URI]:
    """Return the objects in random order, or else as they are; those that could not be reached a moment ago last."""
    if pick == RANDOM and len(candidates) > 1:
        candidates = random.sample(candidates, len(candidates))
    return reachable_first(candidates, lambda each: str(each.location))


def note_unreachable(candidate: URI, uri: URI, error: Exception) -> None:
    """Prefer other objects to this one for some seconds."""
    log.info("%s cannot be reached for %s: %s", candidate, uri, error)
    note_location(str(candidate.location))
