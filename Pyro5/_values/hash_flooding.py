"""Refuse dicts and sets with many keys that have the same hash (hash flooding).

The hashes of strings are randomized in each process, but those of numbers and tuples are the same everywhere, so an attacker
can choose thousands of them with the same hash. When a dict or set is built of such keys, each key is compared with all
earlier ones, and no other thread runs meanwhile: a megabyte of keys takes half a minute.
"""
from __future__ import annotations

from typing import Any, Collection, Dict

from .. import errors

MAX_COMPARISONS = 1000000  # that of 1400 keys that all have the same hash: about 20 milliseconds
UNCHECKED_KEYS = 1000  # fewer keys are not checked: they take at most half of MAX_COMPARISONS ...
UNCHECKED_CONTAINERS = 30  # ... unless they are tuples or frozensets: all elements of these may have to be compared
MAX_INSTANCE_COMPARISONS = 10000  # of instances of classes of the program, whose __eq__ is Python code: some milliseconds
_CONTAINERS = frozenset((tuple, frozenset))
_ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes))


class Hashes:
    """Counts the equal hashes of the keys of one dict or elements of one set, which are added step by step."""

    def __init__(self, comparisons: int = 0) -> None:
        self._counts: Dict[int, int] = {}
        self.comparisons = comparisons

    def add(self, keys: Collection[Any]) -> None:
        """Count keys that are about to be added.

        Raises:
            SerializeError: too many keys have the same hash as others.
            TypeError: a key is not hashable.
        """
        counts = self._counts
        for key in keys:
            if type(key) is not str:  # hashes of strings are randomized
                number = hash(key)
                alike = counts.get(number, 0)
                counts[number] = alike + 1
                if alike:
                    self._add_comparisons(key, alike)

    def _add_comparisons(self, key: Any, times: int) -> None:
        self.comparisons += times * _elements(key) if type(key) in _CONTAINERS else times
        if self.comparisons > MAX_COMPARISONS:
            raise errors.SerializeError("the data has too many keys with the same hash")


def _elements(key: Any) -> int:
    """Return how many elements have to be compared to find that a key differs from an almost equal one; stop at the limit."""
    count, waiting = 0, [(key, 1)]
    while waiting and count <= MAX_COMPARISONS:
        value, times = waiting.pop()
        count += times
        if type(value) is tuple:
            waiting += [(element, times) for element in value]
        elif type(value) is frozenset:    # each element is looked up among all others, which may have the same hash
            waiting += [(element, times * len(value)) for element in value]
    return count


def check(keys: Collection[Any], comparisons: int = 0) -> int:
    """Check all keys of a dict, or elements of a set, before it is built. Raises the same exceptions as Hashes.add.

    Args:
        comparisons: those of other dicts and sets of the same message, which count as well.

    Returns:
        the number of comparisons, with these.
    """
    if len(keys) > UNCHECKED_KEYS or not _CONTAINERS.isdisjoint(map(type, keys)):
        hashes = Hashes(comparisons)
        hashes.add(keys)
        return hashes.comparisons
    return comparisons


def check_instances(keys: Collection[Any]) -> None:
    """Check keys that may be instances of classes of the program before a dict or set is built of them.

    Raises:
        SerializeError: too many keys have the same hash.
        TypeError: a key is not hashable.
    """
    if _ATOMS.issuperset(map(type, keys)):
        check(keys)
    else:
        Hashes(MAX_COMPARISONS - MAX_INSTANCE_COMPARISONS).add(keys)
