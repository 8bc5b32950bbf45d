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
                self._comparisons += alike
                counts[number] = alike + 1
        if self._comparisons > MOST_COMPARISONS:
            raise errors.SerializeError("the data has too many keys that hash alike")


def check(keys: Collection[Any]) -> None:
    """Look at all the keys of a dict, or elements of a set, that is about to be made; raises what Hashes.add raises."""
    if len(keys) > FEW_KEYS:
        Hashes().add(keys)
