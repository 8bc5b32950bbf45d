"""Hints for misspelled names."""
from __future__ import annotations

from typing import Iterable

MAX_LENGTH = 100    # of a name; comparing longer ones takes long, and they are no misspelled names


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return the end of an error text, such as ``" (did you mean list?)"``; empty if no candidate is similar.

    Upper and lower case are the same.
    """
    import difflib  # only for this hint: importing it takes some milliseconds
    if len(name) > MAX_LENGTH:
        return ""
    by_lower = {candidate.lower(): candidate for candidate in sorted(candidates)}
    found = difflib.get_close_matches(name.lower(), by_lower, 1)
    return " (did you mean %s?)" % by_lower[found[0]] if found else ""
