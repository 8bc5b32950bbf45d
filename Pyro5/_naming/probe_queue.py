"""The order in which servers are checked, so that those that do not answer delay no others."""
from __future__ import annotations

import collections
from typing import Dict, FrozenSet, Iterable, Iterator, Set, Tuple

from .. import NamedTuple
from .._values.uri import URI


class Question(NamedTuple):
    """What to ask one server."""

    uri: URI                        # of any of its objects; only the location matters
    object_ids: FrozenSet[str]      # the objects that it should have


class ProbeQueue:
    """The pending questions of one round: first those to servers that answered promptly the last time, then those to unknown
    servers, then those to slow servers.

    Args:
        prompt, slow: locations of servers, kept between rounds and updated here; of the slow ones, the least recently checked
            comes first.
        slow_until: the time after which no further slow server is checked in this round.
    """

    def __init__(self, questions: Iterable[Question], prompt: Set[str], slow: Dict[str, None], slow_until: float) -> None:
        pending = list(questions)
        locations = {str(question.uri.location) for question in pending}
        # Servers whose registrations are gone: their names must not accumulate.
        for gone in [location for location in slow if location not in locations]:
            del slow[gone]
        prompt.intersection_update(locations)
        self._prompt = prompt
        self._slow = slow
        self._slow_until = slow_until
        rank = {location: number for number, location in enumerate(slow)}
        first = [question for question in pending if str(question.uri.location) not in rank]
        later = [question for question in pending if str(question.uri.location) in rank]
        first.sort(key=lambda question: str(question.uri.location) not in prompt)  # a stable sort
        later.sort(key=lambda question: rank[str(question.uri.location)])
        self._first, self._later = collections.deque(first), collections.deque(later)

    @property
    def others_wait(self) -> bool:
        """Whether there are servers that have not been checked in this round."""
        return bool(self._first)

    def take(self, count: int, now: float) -> Iterator[Tuple[Question, bool]]:
        """Yield up to `count` questions, each with whether it is asked for the first time."""
        for _ in range(count):
            if self._first:
                yield self._first.popleft(), True
            elif self._later and now < self._slow_until:
                # Slow servers only until this time; those left over come first in the next round.
                yield self._later.popleft(), False

    def postpone(self, questions: Iterable[Question]) -> None:
        """Ask these questions again after all others."""
        for question in questions:
            self._later.append(question)
            self._slow[str(question.uri.location)] = None
            self._prompt.discard(str(question.uri.location))

    def note(self, question: Question, was_prompt: bool) -> None:
        """Record for the next round whether the server answered promptly."""
        location = str(question.uri.location)
        self._slow.pop(location, None)
        if was_prompt:
            self._prompt.add(location)
        else:
            self._prompt.discard(location)
            self._slow[location] = None
