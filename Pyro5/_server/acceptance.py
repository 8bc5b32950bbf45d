"""What a client receives when its handshake is accepted."""
from __future__ import annotations

import functools
from typing import Any, Callable, Optional

from .._messages import handshake
from ..serializers import SerializerBase
from .exposure import Members
from .objects import ObjectTable

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
    has_sessions = None if connection.features is None else objects.has_sessions(published)
    if get_metadata is not None:
        own = get_metadata(published.object_id)
        if has_sessions is not None and type(own) is dict:
            own = {**own, "session": has_sessions}
        return handshake.accepted_payload(serializer, response, own)
    if type(response) is str and len(response) <= MAX_KEPT_TEXT:
        return _kept_payload(serializer, response, published.members, has_sessions)
    return handshake.accepted_payload(serializer, response, published.members.metadata_for(has_sessions))


@functools.lru_cache(maxsize=128)
def _kept_payload(serializer: SerializerBase, response: str, members: Members, has_sessions: Optional[bool]) -> bytes:
    return handshake.accepted_payload(serializer, response, members.metadata_for(has_sessions))
