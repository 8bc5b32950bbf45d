"""Hints for misspelled names."""
from __future__ import annotations

from typing import Iterable, List

__all__ = ["closest", "did_you_mean"]

MAX_LENGTH = 100    # of a name; comparing longer ones takes long, and they are no misspelled names


def closest(name: str, candidates: Iterable[str], count: int = 1) -> List[str]:
    """Return the names that are most similar to a misspelled one, the most similar first; none if none is similar.

    Upper and lower case are the same.
    """
    import difflib  # only for this hint: importing it takes some milliseconds
    if len(name) > MAX_LENGTH:
        return []
    by_lower = {candidate.lower(): candidate for candidate in sorted(candidates)}
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, count)]


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return the end of an error text, such as ``" (did you mean list?)"``; empty if no candidate is similar."""
    found = closest(name, candidates)
    return " (did you mean %s?)" % found[0] if found else ""
