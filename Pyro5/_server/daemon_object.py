"""The daemon's own remote object, ``Pyro.Daemon``."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

from .. import callcontext, serializers
from ..constants import DAEMON_NAME
from .descriptions import describe
from .exposure import expose

__all__ = ["DaemonObject"]


@expose
class DaemonObject:
    """What a daemon itself offers to clients, as the object ``Pyro.Daemon``."""

    def __init__(self, daemon: Any) -> None:
        self.daemon = daemon

    def registered(self) -> List[str]:
        """Give the ids of all objects that are registered in this daemon."""
        ids: List[str] = self.daemon._objects.ids()
        return ids

    def ping(self) -> None:
        """Do nothing: that the call returns tells that the daemon is there."""

    def info(self) -> str:
        """Describe the daemon in a line of text."""
        return "%s bound on %s, NAT %s, %d objects registered. Servertype: %r" % (
            DAEMON_NAME, self.daemon.locationStr, self.daemon.natLocationStr, len(self.daemon._objects.ids()),
            self.daemon.transportServer)

    def get_metadata(self, objectId: str, *, descriptions: bool = False) -> Dict[str, Any]:
        """Give the exposed methods, the oneway methods among them, and the exposed attributes of an object.

        Args:
            descriptions: give their signatures and docstrings too, under the key of this name; older releases have none.

        Raises:
            DaemonError: no object is registered with this id.
        """
        _check_text(objectId, "objectId")
        published = self.daemon._objects.get(objectId)
        more = {"descriptions": describe(published.target, published.members)} if descriptions else {}
        return {**published.members.metadata(), **more}

    def get_next_stream_item(self, streamId: str, most: Optional[int] = None) -> Any:
        """Give the next item of an item stream.

        Args:
            most: give up to so many items instead, together: ``[items, whether these are the last]``.  There are fewer when
                they are large, or take long to be made; an exception that comes after some is kept for the next call.
                (Daemons of other releases do not take this; a method of another name would change their metadata.)

        Raises:
            StopIteration: there are no more items.
            PyroError: there is no such stream (any more).
        """
        _check_text(streamId, "streamId")
        context = callcontext.current_context
        if most is None:
            return self.daemon._streams.next_item(streamId, context.client)
        if type(most) is not int or most < 1:
            raise ValueError("the number of items must be an int of at least 1")
        serializer = serializers.get_serializer_by_id(context.serializer_id)
        return self.daemon._streams.next_items(streamId, context.client, most, lambda item: len(serializer.dumps(item)))

    def close_stream(self, streamId: str) -> None:
        """Free an item stream; an unknown one is left alone."""
        _check_text(streamId, "streamId")
        self.daemon._streams.close(streamId)


def _check_text(value: Any, what: str) -> None:
    """Raise TypeError for anything but a text: a value from a client is not used before its exact type is known."""
    if type(value) is not str:
        raise TypeError("%s must be a str, not %s" % (what, type(value).__name__))


DaemonObject.__module__ = "Pyro5.server"
