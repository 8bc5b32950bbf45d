"""In which order servers are asked whether they are there, so that those that do not answer delay no others."""
from __future__ import annotations

import collections
from typing import Dict, FrozenSet, Iterable, Iterator, NamedTuple, Set, Tuple

from .._wire.uri import URI


class Question(NamedTuple):
    """What to ask a server."""

    uri: URI                        # of any of its objects: where it is
    object_ids: FrozenSet[str]      # what it should have


class ProbeQueue:
    """
    The questions of one round that are still to be asked: first those to servers that were prompt the last time, then those to
    unknown ones, then those to slow ones.

    Args:
        prompt, slow: locations of servers, kept from round to round and updated here; of the slow ones, the one that was
            asked longest ago comes first.
        slow_until: when no further slow server is asked in this round.
    """

    def __init__(self, questions: Iterable[Question], prompt: Set[str], slow: Dict[str, None], slow_until: float) -> None:
        pending = list(questions)
        locations = {str(question.uri.location) for question in pending}
        for gone in [location for location in slow if location not in locations]:
            del slow[gone]
        prompt.intersection_update(locations)
        self._prompt = prompt
        self._slow = slow
        self._slow_until = slow_until
        rank = {location: number for number, location in enumerate(slow)}
        first = [question for question in pending if str(question.uri.location) not in rank]
        later = [question for question in pending if str(question.uri.location) in rank]
        first.sort(key=lambda question: str(question.uri.location) not in prompt)  # which keeps the order otherwise
        later.sort(key=lambda question: rank[str(question.uri.location)])
        self._first, self._later = collections.deque(first), collections.deque(later)

    @property
    def others_wait(self) -> bool:
        """Whether there are some that have not been asked at all."""
        return bool(self._first)

    def take(self, count: int, now: float) -> Iterator[Tuple[Question, bool]]:
        """Yield the next questions, and whether they have not been asked before."""
        for _ in range(count):
            if self._first:
                yield self._first.popleft(), True
            elif self._later and now < self._slow_until:
                yield self._later.popleft(), False

    def postpone(self, questions: Iterable[Question]) -> None:
        """Ask these again when there is time."""
        for question in questions:
            self._later.append(question)
            self._slow[str(question.uri.location)] = None
            self._prompt.discard(str(question.uri.location))

    def note(self, question: Question, was_prompt: bool) -> None:
        """Remember for the next time whether the server was prompt."""
        location = str(question.uri.location)
        self._slow.pop(location, None)
        if was_prompt:
            self._prompt.add(location)
        else:
            self._prompt.discard(location)
            self._slow[location] = None
