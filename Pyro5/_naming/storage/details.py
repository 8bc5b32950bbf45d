"""What a registration has besides its uri and tags: a lease, and further members. As text, for storages that keep it."""
from __future__ import annotations

import json
from typing import Any, List, NamedTuple, Optional, Tuple

__all__ = ["NO_DETAILS", "Details", "Lease", "Member", "from_text", "to_text"]


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
