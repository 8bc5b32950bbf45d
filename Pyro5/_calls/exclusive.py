"""Exclusive use of objects: one client acquires an object, the calls of all others are refused until it releases it."""
from __future__ import annotations

import threading
from typing import Any, Dict, List, Optional

from .. import errors
from .running_calls import RunningCalls

RETRY_SECONDS = 0.1  # after which refused clients should try again; each attempt costs the server a call


class _Holder:
    """The connection that has acquired an object, and how many times."""

    __slots__ = ("connection", "depth")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.depth = 0  # until no calls of other clients are running


class ExclusiveUse:
    """Which connection has acquired which object. Thread-safe.

    Clients do not wait in the server, where each would occupy a thread: they are told to try again.

    Args:
        running: the calls that are being run: one that a call of the holder has caused is not refused.

    Attributes:
        holders: by object id. Empty while no object is acquired: callers of `check` test this first, which is all that a call
            then costs.
    """

    def __init__(self, running: RunningCalls) -> None:
        self._running = running
        self._lock = threading.Lock()  # guards changes of holders
        self.holders: Dict[str, _Holder] = {}

    def acquire(self, object_id: str, connection: Any, correlation_id: Optional[bytes] = None) -> None:
        """Reserve an object for a connection. Each further call for the same connection needs a `release` of its own.

        While calls of other clients are running, the object is reserved, but not acquired: no new ones begin, and the client
        has to try again, or to release it.

        Args:
            correlation_id: calls of other connections that have this one, too, have led to this call: they cannot end before.

        Raises:
            BusyError: another connection has acquired it, or calls are still running.
        """
        with self._lock:
            holder = self.holders.get(object_id)
            if holder is None:
                holder = self.holders[object_id] = _Holder(connection)
            elif holder.connection is not connection:
                raise _busy(object_id)
            # A call says which object it is for before it looks at `holders`, and this does the reverse: one sees the other.
            if not holder.depth and self._running.has_calls_of_others(object_id, connection, correlation_id):
                raise _busy(object_id, "is reserved, but calls of other clients are still running")
            holder.depth += 1

    def release(self, object_id: str, connection: Any) -> None:
        """End the reservation of an object; ignored if the connection has none."""
        with self._lock:
            holder = self.holders.get(object_id)
            if holder is not None and holder.connection is connection:
                holder.depth -= 1
                if holder.depth <= 0:
                    del self.holders[object_id]

    def client_gone(self, connection: Any) -> None:
        """End all reservations of a connection."""
        # A copy of the matching ids, because the dict must not change while it is iterated.
        with self._lock:
            held: List[str] = [object_id for object_id, holder in self.holders.items() if holder.connection is connection]
            for object_id in held:
                del self.holders[object_id]

    def check(self, object_id: str, connection: Any, correlation_id: bytes) -> None:
        """Check that a connection may call an object.

        Raises:
            BusyError: another connection has acquired it.
        """
        # Without the lock: a call that is checked at the moment of acquire() may be seen as before or after it.
        holder = self.holders.get(object_id)
        if holder is None or holder.connection is connection:
            return
        # A method that the holder calls may call other servers, which call back here: refusing these would lock the
        # holder out of its own object.
        if not self._running.is_running(holder.connection, correlation_id):  # else it belongs to a call of the holder
            raise _busy(object_id)


def _busy(object_id: str, reason: str = "is in exclusive use by another client") -> errors.BusyError:
    error = errors.BusyError("object '%s' %s; try again later" % (object_id, reason), retry_after=RETRY_SECONDS)
    error.__dict__["is_refusal"] = True  # see note_origin()
    return error


def note_origin(error: Exception) -> None:
    """Note in a BusyError that is about to be sent whether a method raised it: the client must not repeat the call then."""
    if type(error) is errors.BusyError and not error.__dict__.pop("is_refusal", False):
        error.started = True
