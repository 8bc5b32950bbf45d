"""
Keys that hash alike, though they are different.

The hashes of strings are different in each process, those of numbers and tuples are the same everywhere: whoever knows that
can choose thousands of them that have the same one. Each is compared with all that came before it when a dict or set is made
of them, and nothing else runs in the process meanwhile: a megabyte of them takes half a minute.
"""
from __future__ import annotations

from typing import Any, Collection, Dict

from .. import errors

__all__ = ["Hashes", "check"]

MOST_COMPARISONS = 1000000  # 1400 keys that all have the same hash; some 20 milliseconds
FEW_KEYS = 1000
FEW_CONTAINERS = 30  # keys that are tuples or frozensets: all of their elements may be compared
_CONTAINERS = frozenset((tuple, frozenset))


class Hashes:
    """The hashes of the keys of one dict, or of the elements of one set, that are added bit by bit."""

    def __init__(self) -> None:
        self._counts: Dict[int, int] = {}
        self._comparisons = 0

    def add(self, keys: Collection[Any]) -> None:
        """
        Note keys that are about to be added.

        Raises:
            SerializeError: too many have the same hash as others.
            TypeError: one of them cannot be a key.
        """
        counts = self._counts
        for key in keys:
            if type(key) is not str:
                number = hash(key)
                alike = counts.get(number, 0)
                counts[number] = alike + 1
                if alike:
                    self._add_comparisons(key, alike)

    def _add_comparisons(self, key: Any, times: int) -> None:
        self._comparisons += times * _elements(key) if type(key) in _CONTAINERS else times
        if self._comparisons > MOST_COMPARISONS:
            raise errors.SerializeError("the data has too many keys that hash alike")


def _elements(key: Any) -> int:
    """Return how many elements are compared when a key is compared with one that is almost equal; not more than needed."""
    count, waiting = 0, [(key, 1)]
    while waiting and count <= MOST_COMPARISONS:
        value, times = waiting.pop()
        count += times
        if type(value) is tuple:
            waiting += [(element, times) for element in value]
        elif type(value) is frozenset:    # each element is looked up among all, which may hash alike
            waiting += [(element, times * len(value)) for element in value]
    return count


def check(keys: Collection[Any]) -> None:
    """Look at all the keys of a dict, or elements of a set, that is about to be made; raises what Hashes.add raises."""
    if len(keys) > FEW_KEYS or len(keys) > FEW_CONTAINERS and not _CONTAINERS.isdisjoint(map(type, keys)):
        Hashes().add(keys)
