"""The interface of a lift, for its server and its clients. None of its methods runs."""
from __future__ import annotations

from typing import Iterator, List, Protocol

from Pyro5.typed import ProxyMembers


class Lift(Protocol):
    @property
    def floor(self) -> int:
        """The current floor of the cabin."""

    def call(self, floor: int) -> int:
        """Move the cabin to a floor, and return the number of floors that it moved."""

    def ride(self, *floors: int) -> Iterator[str]:
        """Stop at these floors, and yield an announcement at each."""

    def logbook(self) -> List[str]:
        """Return the events since the last inspection."""


class LiftProxy(Lift, ProxyMembers, Protocol):
    """The same for clients, which have a proxy: it can be used in a with statement, and has a time limit."""
