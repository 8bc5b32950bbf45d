"""What the control tool of the name server says about registrations: leases, members, and whether objects can be reached."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional

from .. import LazyModule, NamedTuple, errors
from .._client.lease_keeper import knows_leases
from .._values import plain

if TYPE_CHECKING:
    from .._naming import autoclean
else:
    autoclean = LazyModule(globals(), ".._naming.autoclean")

_UNKNOWN = object()  # the object was not checked, or its server did not answer in time


class State(NamedTuple):
    """Whether the objects of a name can be reached.

    Attributes:
        alive: None if that is not known.
        problem: why none of them can be reached, None if one can.
        members: URI -> the state of each member; empty for a name without members.
    """

    alive: Optional[bool]
    problem: Optional[str]
    members: Mapping[str, Any] = {}  # of States; never changed

    def text(self) -> str:
        return self.problem or ("alive" if self.alive else "not checked")

    def as_dict(self) -> Dict[str, Any]:
        """Return it as a dict, with the key members only if there are some."""
        members = {uri: member.as_dict() for uri, member in self.members.items()}
        return {"alive": self.alive, "problem": self.problem, **({"members": members} if members else {})}

    def subject(self, uri: Any) -> str:
        """Return what a line of a report is about: the URI of the name, or how many of its members can be reached."""
        if not self.members:
            return str(uri)
        return "%d of %d members" % (sum(bool(member.alive) for member in self.members.values()), len(self.members))


def leases_of(nameserver: Any, prefix: str) -> Dict[str, Dict[str, Any]]:
    """Return name -> dict with lease and members; empty for a name server of another release.

    Raises:
        ProtocolError: the name server sent something else.
    """
    if not knows_leases(nameserver):
        return {}
    found = nameserver.leases(prefix)
    # untrusted: check the exact types first, so that no code of the values' own classes runs
    if type(found) is not dict or not plain.is_texts([*found]) or not all(map(_is_entry, found.values())):
        raise errors.ProtocolError("the name server did not send leases, but %s" % plain.text_of(found))
    return found


def _is_entry(value: Any) -> bool:
    # Exactly these keys: others would be of a release that this tool does not know.
    if type(value) is not dict or not {"lease", "members"}.issuperset(value):
        return False
    members = value.get("members") or {}
    leases = [value.get("lease"), *(members.values() if type(members) is dict else [0])]
    return plain.is_texts([*members]) and all(each is None or _is_lease(each) for each in leases)


def _is_lease(value: Any) -> bool:
    # Numbers and texts only; they are formatted below.
    return (type(value) is dict and all(type(value.get(key)) in (int, float) for key in ("ttl", "left"))
            and type(value.get("holder")) is str and len(value) == 3)


def lease_lines(entry: Dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a listing about the lease and the members of a name."""
    if entry.get("lease"):
        yield "    lease: " + _lease_text(entry["lease"])
    # Sorted, so that two listings can be compared.
    for uri, lease in sorted((entry.get("members") or {}).items()):
        yield "    member: %s%s" % (uri, lease and ", lease: " + _lease_text(lease) or "")


def _lease_text(lease: Dict[str, Any]) -> str:
    text = "%g s, %.1f s left" % (lease["ttl"], lease["left"])
    return text + ", registered by " + lease["holder"] if lease["holder"] else text


def states(found: Dict[str, Any], leases: Dict[str, Dict[str, Any]]) -> Dict[str, State]:
    """Check the objects of all names, and all members of a name.

    Args:
        found: name -> (uri, metadata).
        leases: as `leases_of` returns them.
    """
    uris: Dict[str, List[str]] = {
        # A name without members stands for its only URI.
        name: sorted(leases.get(name, {}).get("members") or [str(uri)]) for name, (uri, _) in found.items()}
    # All at once: they are checked at the same time, so unreachable ones do not add up.
    problems = autoclean.problems_of((name, uri) for name, some in uris.items() for uri in some)
    result = {}
    for name, some in uris.items():
        each = {uri: _state(problems.get((name, uri), _UNKNOWN)) for uri in some}
        # One of them is enough for a client.
        best = max(each.values(), key=lambda state: (state.alive is True, state.alive is False))
        result[name] = best._replace(members=each if leases.get(name, {}).get("members") else {})
    return result


def _state(problem: Any) -> State:
    return State(None, None) if problem is _UNKNOWN else State(problem is None, problem)


def alive(found: Dict[str, Any], leases: Dict[str, Dict[str, Any]]) -> Dict[str, Any]:
    """Return those registrations whose objects can be reached, and those that cannot be checked."""
    # Those that cannot be checked stay: they are shown, not removed.
    dead = {name for name, state in states(found, leases).items() if state.alive is False}
    return {name: registration for name, registration in found.items() if name not in dead}
