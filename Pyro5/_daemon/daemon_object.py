"""The daemon's own remote object, ``Pyro.Daemon``."""
from __future__ import annotations

import functools
import uuid
from typing import Any, Dict, List, Optional

from .. import callcontext, config, errors, serializers
from .._calls.call_accounts import visible_rows
from .._calls.deferred import Deferred
from .._net.offered_sockets import host_of, offered_connection, offered_sockets
from .._objects.descriptions import describe
from .._objects.exposure import expose, oneway
from .._objects.permissions import refused_members
from .._processes.reports import health_of, report
from .._values import unsendable
from ..constants import DAEMON_NAME, NAMESERVER_NAME
from ..protocol import FLAGS_ONEWAY

_END: Any = object()


def _unlisted(method: Any) -> Any:
    """Mark a method that clients can call, though it is not in the list of methods that they get: other releases lack it."""
    method._pyroUnlisted = True
    return method


def _newer(method: Any) -> Any:
    """Mark a method that is in the list of methods for clients of this release only: other releases lack it."""
    method._pyroNewer = True
    return method


def _deferring(method: Any) -> Any:
    """Mark a method that may return a Deferred, and run beside other calls of its connection."""
    method._pyroDeferring = method._pyroConcurrent = True
    return method


def _quick(method: Any) -> Any:
    """Mark a method that never waits."""
    method._pyroNonblocking = True
    return method


@expose
class DaemonObject:
    """The methods of a daemon that clients can call, as the object ``Pyro.Daemon``."""

    def __init__(self, daemon: Any) -> None:
        self.daemon = daemon

    @_quick
    def registered(self) -> List[str]:
        """Return the ids of all objects that are registered in this daemon."""
        ids: List[str] = self.daemon._objects.ids()
        return ids

    @_quick
    def ping(self) -> None:
        """Do nothing. A call that returns shows that the daemon is running."""

    @_quick
    def info(self) -> str:
        """Return a line of text that describes the daemon."""
        return "%s bound on %s, NAT %s, %d objects registered. Servertype: %r" % (
            DAEMON_NAME, self.daemon.locationStr, self.daemon.natLocationStr, len(self.daemon._objects.ids()),
            self.daemon.transportServer)

    @_quick
    def get_metadata(self, objectId: str, *, descriptions: bool = False) -> Dict[str, Any]:
        """Return the names of the exposed methods, of the oneway methods among them, and of the exposed attributes of
        an object.

        Args:
            descriptions: also return their signatures and docstrings, and the names of those that this client may not use
                ("refused"), with the key "descriptions"; older releases do not have this.

        Raises:
            DaemonError: no object is registered with this id.
        """
        _check_text(objectId, "objectId")
        published = self.daemon._objects.get(objectId)
        client = callcontext.current_context.client
        more: Dict[str, Any] = {}
        if descriptions:
            refused = refused_members(self.daemon._dispatcher.gate, client, published, objectId)
            found = describe(published.target, published.members)
            more["descriptions"] = {**found, "refused": refused} if refused else found
        knows_newer = client is None or getattr(client, "features", None) is not None
        newer = published.members.newer if knows_newer else frozenset()
        metadata = published.members.metadata()
        return {**metadata, "methods": metadata["methods"] | newer, **more}

    @_newer
    def stats(self) -> Dict[str, Any]:
        """Return what this daemon has counted since it was created, see Daemon.statistics. If there are rules for roles, only
        the methods that the client may call are in it.
        """
        found = report(self.daemon)
        dispatcher, client = self.daemon._dispatcher, callcontext.current_context.client
        return {**found, "objects": visible_rows(found["objects"], dispatcher.gate, client, self.daemon._objects)}

    @_newer
    @_quick
    def health(self, objectId: str = "") -> str:
        """Return ``SERVING`` or ``NOT_SERVING``, for an object or, without an id, for the daemon. An object that is not
        registered is not served.
        """
        _check_text(objectId, "objectId")
        return health_of(self.daemon, objectId)

    @_deferring
    def get_next_stream_item(self, streamId: str, most: Optional[int] = None) -> Any:
        """Return the next item of an item stream.

        Args:
            most: return up to this number of items together: ``[items, whether these are the last]``. There are fewer
                if they are large, or take long to create; an exception that occurs after some items is raised by the
                next call. Daemons of other releases do not accept this argument. (It is not a separate method, because
                that would change the metadata of this object.)

        Raises:
            StopIteration: there are no more items.
            PyroError: the stream does not exist (any more).
        """
        _check_text(streamId, "streamId")
        context = callcontext.current_context
        if most is not None and (type(most) is not int or most < 1):
            raise ValueError("the number of items must be an int of at least 1")
        # Bound now: the items may be read in an event loop, where the context of this request is not current.
        size_of = functools.partial(_size, context.serializer_id)
        # The connection that asks, not the one that opened the stream: a client may continue after a reconnect.
        streams, client = self.daemon._streams, context.client
        items = streams.find_asynchronous(streamId, client)
        if items is not None:
            return Deferred(_read, (streams, streamId, items, most, size_of), {}, _raise_at_end)
        if most is None:  # a client of 5.x, or one that wants a single item: the item itself is the reply
            return streams.next_item(streamId, client)
        return streams.next_items(streamId, client, most, size_of)

    def close_stream(self, streamId: str) -> None:
        """Close an item stream, or do nothing if it does not exist."""
        _check_text(streamId, "streamId")
        self.daemon._streams.close(streamId)
        if self.daemon._siblings is not None:
            self.daemon._siblings.tell("close stream", streamId)

    @_unlisted
    @_quick
    def acquire_object(self, objectId: str) -> None:
        """Refuse the calls of all other connections to an object, until release_object is called or this connection ends.

        Raises:
            BusyError: another connection has acquired the object; or calls of others are still running, but no more begin:
                try again, or call release_object.
            DaemonError: no object is registered with this id.
            SecurityError: it is the object of the daemon or of the name server, which all clients need, or the setting
                EXCLUSIVE_USE is off.
        """
        _check_text(objectId, "objectId")
        if callcontext.current_context.msg_flags & FLAGS_ONEWAY:
            # A oneway call can outlive its connection, whose end would not release the object then.
            raise errors.DaemonError("an object cannot be acquired by a oneway call")
        if self.daemon._siblings is not None:
            raise errors.DaemonError("'%s' cannot be used exclusively: this daemon has several processes, and each has a copy"
                                     % objectId)
        if objectId in (DAEMON_NAME, NAMESERVER_NAME) or not config.EXCLUSIVE_USE:
            raise errors.SecurityError("'%s' cannot be used exclusively%s" % (
                objectId, "" if config.EXCLUSIVE_USE else ": the setting EXCLUSIVE_USE of the server is off"))
        self.daemon._objects.get(objectId)  # raises if there is none: else a client could reserve ids without a limit
        self.daemon._dispatcher.exclusive.acquire(objectId, callcontext.current_context.client,
                                                     callcontext.correlation_bytes())

    @_unlisted
    @_quick
    def release_object(self, objectId: str) -> None:
        """End what acquire_object began; ignored if this connection has not acquired the object."""
        _check_text(objectId, "objectId")
        self.daemon._dispatcher.exclusive.release(objectId, callcontext.current_context.client)

    @_unlisted
    @_quick
    def offer_connection(self, secret: str) -> None:
        """Make this connection one over which proxies here call objects of the client. No other request follows on it.

        Args:
            secret: known only to the client; the name in the URIs of its objects is made from it.

        Raises:
            DaemonError: there are too many of these connections, or this one cannot be used for it.
        """
        _check_text(secret, "secret")
        connection, host = callcontext.current_context.client, host_of(secret)
        if connection.keep_open or connection.detached or connection.deferred is not None:
            raise errors.DaemonError("this connection cannot be used for callbacks")
        offered_sockets.expect(host, self.daemon.transportServer.limits.connections)
        connection.deferred = offered_connection(connection, host)

    @oneway
    @_unlisted
    @_quick
    def cancel(self, correlationId: str, seq: Optional[int] = None) -> None:
        """Set ``current_context.cancelled`` for the calls with this correlation id that this daemon is running, on any
        connection, and close the item streams that they opened. One that is still on its way is not started.

        Args:
            correlationId: the text of a UUID.
            seq: only the call that has this sequence number.
        """
        _check_text(correlationId, "correlationId")
        if seq is not None and type(seq) is not int:
            raise TypeError("seq must be an int or None, not %s" % type(seq).__name__)
        # A number of any length would be stored until the call arrives.
        if seq is not None and not 0 <= seq <= 0xFFFF:
            raise ValueError("seq must be from 0 to 65535")
        # Raises ValueError for a text that is no UUID, before anything is stored for it.
        number = uuid.UUID(correlationId).bytes
        self.daemon._dispatcher.running.cancel(number, seq)
        # A stream outlives the call that opened it: cancelling the call has to stop the stream, too.
        self.daemon._streams.cancel(number, seq)
        if self.daemon._siblings is not None:
            # The connection of this request can be one with another process than that of the call.
            self.daemon._siblings.tell("cancel", [number.hex(), seq])


def _size(serializer_id: int, item: Any) -> int:
    return len(unsendable.dumped(serializers.get_serializer_by_id(serializer_id), item))


async def _read(streams: Any, stream_id: str, items: Any, most: Optional[int], size_of: Any) -> Any:
    """Return what get_next_stream_item returns for an asynchronous iterator; _END at its end."""
    try:
        found, is_last = await items.read(most, size_of)
    except Exception:
        streams.forget(stream_id)  # a failed generator cannot be resumed, so the stream is useless
        raise
    if is_last:
        streams.forget(stream_id)
    if not found:
        return _END
    return found[0] if most is None else (found, is_last)


def _raise_at_end(result: Any) -> Any:
    # A coroutine cannot raise StopIteration.
    if result is _END:
        raise StopIteration
    return result


def _check_text(value: Any, what: str) -> None:
    """Raise TypeError unless the value is exactly a str: methods of a value from a client must not be called before
    its type is known.
    """
    if type(value) is not str:
        raise TypeError("%s must be a str, not %s" % (what, type(value).__name__))


# The name by which 5.x knows this class: programs compare it, and tracebacks show it.
DaemonObject.__module__ = "Pyro5.server"
