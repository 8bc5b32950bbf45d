"""What a client receives when its handshake is accepted."""
from __future__ import annotations

import functools
from typing import Any, Callable, Optional

from .._messages import handshake
from .._objects.members import Members
from .._objects.objects import ObjectTable
from ..serializers import SerializerBase

__all__ = ["accepting_payload"]

MAX_KEPT_TEXT = 200  # characters of a handshake response that many clients may get: longer ones take much memory to keep


def accepting_payload(connection: Any, objects: ObjectTable, get_metadata: Optional[Callable[[str], Any]],
                      serializer: SerializerBase, response: Any) -> bytes:
    """Return the payload of the reply that accepts a client. Most clients of an object get the same one, so it is kept.

    Args:
        connection: its ``objectId`` is the object that the client connects to.
        get_metadata: returns the metadata of the object with this id; None: it is what the object exposes.
        response: what validateHandshake returned.
    """
    published = objects.get(connection.objectId)
    # A client without the feature must not see a key in the metadata that 5.x never sent.
    has_sessions = None if connection.features is None else objects.has_sessions(published)
    if get_metadata is not None:
        own = get_metadata(published.object_id)
        # The result belongs to the program, which may use the same dict again: a copy gets the additional key.
        if has_sessions is not None and type(own) is dict:
            own = {**own, "session": has_sessions}
        return handshake.accepted_payload(serializer, response, own)
    # A str is immutable and compares by value, so it can be part of the key of the cache. Other responses may change
    # between two clients.
    if type(response) is str and len(response) <= MAX_KEPT_TEXT:
        return _kept_payload(serializer, response, published.members, has_sessions)
    return handshake.accepted_payload(serializer, response, published.members.metadata_for(has_sessions))


# Saves serializing the metadata for each client. Members compare by value, so an object whose members have changed
# gets another entry.
@functools.lru_cache(maxsize=128)
def _kept_payload(serializer: SerializerBase, response: str, members: Members, has_sessions: Optional[bool]) -> bytes:
    return handshake.accepted_payload(serializer, response, members.metadata_for(has_sessions))
