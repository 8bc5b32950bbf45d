"""What can be done with a lift, for those who write one and for those who call it. Nothing of this runs."""
from __future__ import annotations

from typing import Iterator, List, Protocol

from Pyro5.typed import ProxyMembers


class Lift(Protocol):
    @property
    def floor(self) -> int:
        """Where the cabin is."""

    def call(self, floor: int) -> int:
        """Bring the cabin to a floor, and give the number of floors that it had to go."""

    def ride(self, *floors: int) -> Iterator[str]:
        """Stop at these floors, and say something at each."""

    def logbook(self) -> List[str]:
        """Give what happened since the last inspection."""


class LiftProxy(Lift, ProxyMembers, Protocol):
    """The same for clients, which have a proxy: it can be used in a with statement, and has a time limit."""
