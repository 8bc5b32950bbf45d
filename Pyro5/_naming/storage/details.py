"""What a registration has besides its uri and tags: a lease, and further members. As text, for storages that keep it.

Storages that several name servers use at the same time report changes of all this.
"""
from __future__ import annotations

import json
from typing import Any, Callable, ContextManager, Dict, List, Optional, Set, Tuple

from ... import NamedTuple
from . import Registration, StorageWithDetails


class Lease(NamedTuple):
    """The lease of a registration, or of a member: it ends unless it is renewed in time."""

    lease_id: str
    ttl: float      # seconds from each renewal until it ends
    holder: str     # address of the client that registered it, for error texts


class Member(NamedTuple):
    """One of several objects that are registered under the same name."""

    uri: str
    lease: Optional[Lease]


class Details(NamedTuple):
    """The lease of a name that a single object has; or the members of a name that several objects have."""

    lease: Optional[Lease] = None
    members: Tuple[Member, ...] = ()

    def leases(self) -> List[Lease]:
        """Return all leases."""
        found = [self.lease, *(member.lease for member in self.members)]
        return [lease for lease in found if lease is not None]


NO_DETAILS = Details()


def to_text(uri: str, details: Details) -> Optional[str]:
    """Return the text for a storage; None if there is nothing to store.

    Args:
        uri: that of the registration. It is stored too: programs that do not know leases may replace the registration alone.
    """
    if details == NO_DETAILS:
        return None
    return json.dumps([uri, details.lease, details.members], separators=(",", ":"))


def from_text(uri: str, text: str) -> Details:
    """Return the details in a text of a storage. They are empty if they belong to another uri, or cannot be parsed."""
    try:
        stored_uri, lease, members = json.loads(text)
        details = Details(_lease(lease), tuple(Member(str(member_uri), _lease(each)) for member_uri, each in members))
    except (ValueError, TypeError):
        return NO_DETAILS
    return details if stored_uri == uri else NO_DETAILS


def _lease(state: Any) -> Optional[Lease]:
    if state is None:
        return None
    lease_id, ttl, holder = state
    return Lease(str(lease_id), float(ttl), str(holder))


class Change(NamedTuple):
    """A change of a name, made by any of the name servers."""

    name: str
    old: Optional[Registration]     # None: it was not registered before
    new: Optional[Registration]     # None: it was removed, or its lease has ended
    details: Details
    revision: int


class SharedStorage(StorageWithDetails):
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
