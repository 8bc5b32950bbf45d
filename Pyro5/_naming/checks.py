"""Checks of what clients pass to a name server, and their limits."""
from __future__ import annotations

import re
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Union

from .. import constants, errors
from .._values import plain
from .._values.uri import URI
from ..callcontext import current_context

# Limits of one registration: far more than programs need, and small enough that a few cannot exhaust the memory.
NAME_CHARS = 1000
URI_CHARS = 2000
TAG_CHARS = 1000
TAGS = 500
MEMBERS = 100               # of one name
MAX_SHOWN = 1 << 63  # of integers that appear in the texts of errors
TTL_SECONDS = 0.1, 31536000.0   # of a lease, at least and at most
LEASES_AT_ONCE = 1000       # in one request

# Control characters, line and paragraph separators, and lone surrogates: they would break lines in listings and
# logs, and not every storage can store them.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# The prefix of the name of an abstract Unix socket on Linux.
_ABSTRACT_SOCKET = "@./u:\0"


def checked_type(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise TypeError("%s must be a str, not %s" % (what, type(text).__name__))
    return text


def checked_text(text: str, what: str, most_chars: int) -> str:
    """Return the text after checking that it can be stored."""
    if not checked_type(text, what):
        raise ValueError("%s must not be empty" % what)
    if len(text) > most_chars:
        raise ValueError("%s has %d characters, at most %d are allowed" % (what, len(text), most_chars))
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        raise ValueError("%s must have no control characters, but has %a at position %d"
                         % (what, unprintable.group(), unprintable.start()))
    return text


def checked_uri(uri: Union[URI, str]) -> str:
    """Return the text of a uri after checking it."""
    if isinstance(uri, URI):
        uri = str(uri)
    if not isinstance(uri, str):
        raise TypeError("only URIs or strings can be registered")
    URI(uri)
    checked_text(uri.replace(_ABSTRACT_SOCKET, "@", 1), "uri", URI_CHARS)
    return uri


def _listed(tags: Optional[Iterable[str]], what: str) -> List[str]:
    if tags is None:
        return []
    # A client may send a proxy, which would open a connection when it is iterated.
    if type(tags) not in plain.COLLECTIONS and (is_called_by_client() or isinstance(tags, (str, bytes))):
        raise TypeError("%s must be a set or list of str, not %s" % (what, type(tags).__name__))
    return list(tags)


def tag_set(tags: Optional[Iterable[str]], what: str) -> FrozenSet[str]:
    """Return the set of metadata tags after checking their types; None means no tags."""
    return frozenset(checked_type(tag, "each tag of " + what) for tag in _listed(tags, what))


def searched_tags(tags: Optional[Iterable[str]], what: str) -> FrozenSet[str]:
    """Return the set of metadata tags to search for; None means no tags. The cost of a search grows with their number."""
    given = _listed(tags, what)
    # Checked before anything else: looking at a million tags would delay other clients.
    if len(given) > TAGS:
        raise ValueError("%s has %d tags, at most %d are allowed" % (what, len(given), TAGS))
    return tag_set(given, what)


def checked_tags(metadata: Optional[Iterable[str]]) -> FrozenSet[str]:
    """Return the set of metadata tags to store, after checking them; None means no tags."""
    tags = tag_set(metadata, "metadata")
    if len(tags) > TAGS:
        raise ValueError("metadata has %d tags, at most %d are allowed" % (len(tags), TAGS))
    for tag in tags:
        checked_text(tag, "each tag of metadata", TAG_CHARS)
    return tags


def is_called_by_client() -> bool:
    """Return whether this thread is serving a remote call, rather than running code of the process itself."""
    return current_context.client is not None


def require_not_own(name: str, done: str) -> None:
    if name == constants.NAMESERVER_NAME and is_called_by_client():
        raise errors.NamingError("the name server's own registration cannot be %s: %s" % (done, name))


def require_one_at_most(*criteria: Any) -> None:
    if sum(1 for criterion in criteria if criterion) > 1:
        raise ValueError("you can only filter on one thing at a time")


def checked_ttl(seconds: Optional[float]) -> Optional[float]:
    """Return the lifetime of a lease in seconds after checking it; None means no lease."""
    if seconds is None:
        return None
    if type(seconds) not in (int, float):
        raise TypeError("ttl must be a number of seconds, not %s" % type(seconds).__name__)
    if not TTL_SECONDS[0] <= seconds <= TTL_SECONDS[1]:  # nan is neither smaller nor larger than anything
        # Not formatted without a look: the text of an integer of a million digits takes minutes.
        shown = seconds if type(seconds) is float or abs(seconds) < MAX_SHOWN else "too large"
        raise ValueError("ttl is %s, it must be at least %s and at most %d seconds" % ((shown, *TTL_SECONDS)))
    return float(seconds)


def checked_revision(revision: Optional[int]) -> Optional[int]:
    """Return the revision that a registration must have, after checking its type; None means any."""
    if revision is not None and type(revision) is not int:
        raise TypeError("if_revision must be an int, not %s" % type(revision).__name__)
    if revision is not None and abs(revision) >= MAX_SHOWN:  # too large for any name, and it would be part of an error
        raise ValueError("if_revision is too large")
    return revision


def checked_lease_ids(leases: Mapping[str, str]) -> Dict[str, str]:
    """Return the names of leases by their ids, after checking their types and number."""
    # The exact type: a client may send a proxy, which would open a connection when it is read.
    if type(leases) is not dict:
        raise TypeError("leases must be a dict of lease id -> name, not %s" % type(leases).__name__)
    if len(leases) > LEASES_AT_ONCE:
        raise ValueError("there are %d leases, at most %d are allowed in a request" % (len(leases), LEASES_AT_ONCE))
    return {checked_type(lease_id, "lease id"): checked_type(name, "name") for lease_id, name in leases.items()}
