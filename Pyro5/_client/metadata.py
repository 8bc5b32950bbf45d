"""What a server says about an object when a client connects to it."""
from __future__ import annotations

from typing import Any, NamedTuple, Set

from .. import errors
from .._values import plain

__all__ = ["Metadata", "parse_metadata"]

_NAMES = ("methods", "oneway", "attrs")


class Metadata(NamedTuple):
    """The names that an object exposes, and how it may be called."""

    methods: Set[str]
    oneway: Set[str]
    attrs: Set[str]
    idempotent: Set[str]
    session: bool  # whether each connection may have an instance of its own, as is assumed of other releases


def parse_metadata(metadata: Any, uri: Any) -> Metadata:
    """Return the metadata of an object as received.

    Raises:
        ProtocolError: the metadata cannot be used.
        PyroError: the object exposes nothing.
    """
    # nothing is used before its exact type is known: it came over the network
    if type(metadata) is not dict or not all([plain.is_texts(metadata.get(key)) for key in _NAMES]):
        raise errors.ProtocolError("the server sent malformed metadata of '%s': %s" % (uri, plain.text_of(metadata)))
    methods, oneway, attrs = (set(metadata[key]) for key in _NAMES)
    if not methods and not attrs:
        raise errors.PyroError("remote object '%s' doesn't expose any methods or attributes. Did you forget setting "
                               "@expose on them?" % uri)
    idempotent = metadata.get("idempotent")
    # Only a server of this library sends the last two. Without them, the safe assumption is made: not idempotent,
    # with sessions.
    return Metadata(methods, oneway, attrs, set(idempotent or ()) if plain.is_texts(idempotent) else set(),
                    metadata.get("session") is not False)
