"""The storage that is fast and forgets: registrations last as long as the name server runs."""
from __future__ import annotations

from . import MappingStorage


class MemoryStorage(MappingStorage):
    """Keeps the registrations in a dict, in the order in which their names were first registered."""

    def __init__(self) -> None:
        super().__init__({})
