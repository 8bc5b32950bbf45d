"""The contract of storages that several name servers use at the same time."""
from __future__ import annotations

from typing import Any, Callable, ContextManager, Dict, List, NamedTuple, Optional, Set

from . import Registration, Storage
from .details import Details, Lease

__all__ = ["Change", "SharedStorage"]


class Change(NamedTuple):
    """A change of a name, made by any of the name servers."""

    name: str
    old: Optional[Registration]     # None: it was not registered before
    new: Optional[Registration]     # None: it was removed, or its lease has ended
    details: Details
    revision: int


class SharedStorage(Storage):
    """A storage that reports all changes, its own and those of other name servers, in one order; and that ends leases.

    An operation that is passed to `patiently` only records changes. They are made when it has returned, and it is called
    again if another name server was faster.
    """

    is_shared = True

    @property
    def revisions(self) -> Dict[str, int]:
        """The revisions of all registrations. The caller does not change it."""
        raise NotImplementedError

    @property
    def last_revision(self) -> int:
        """The revision of the last change that this thread has made."""
        raise NotImplementedError

    def stale_seconds(self) -> Optional[float]:
        """Return for how long the other name servers' changes have not been seen, so that lookups may be stale; None if they
        are seen.
        """
        raise NotImplementedError

    def subscribe(self, lock: ContextManager[Any], listener: Callable[[List[Change]], None]) -> None:
        """Call a function for all further changes, in any thread.

        Args:
            lock: held while changes are applied to the storage, and while the function is called; reentrant.
        """
        raise NotImplementedError

    def unsubscribe(self) -> None:
        """Call no function any more."""
        raise NotImplementedError

    def renew(self, leases: List[Lease]) -> Set[str]:
        """Renew leases; return the ids of those that do not exist any more."""
        raise NotImplementedError
