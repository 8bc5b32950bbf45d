"""
What is known about the call that is being made or served: ``current_context``.

Every field is a context variable of its own, so each thread and each asyncio task sees its own values, and a copied
context (``contextvars.copy_context()``, as oneway calls use) keeps the values it was copied with. Assigning a field
therefore never shows anywhere else. The dicts themselves are ordinary objects: where a context was inherited (by a
task, or by a thread on a free-threaded Python) assign a new dict instead of changing one that was there before.

Two directions meet here and are kept apart:

====================  =========================================  ==========================================
who                   sends                                      received
====================  =========================================  ==========================================
client (a proxy)      the annotations that the user assigned     ``response_annotations`` of the last reply
server (a daemon)     the response annotations the method set    ``annotations`` of the request being served
====================  =========================================  ==========================================

A method that is being served and calls another object is both at once: what it received from its client is not
passed on, and what it received from the other object does not end up in its own reply. Only the correlation id
travels along.
"""
from __future__ import annotations

import uuid
from contextvars import ContextVar
from typing import Any, Dict, Optional, Union

from . import errors

Annotations = Dict[str, Any]

_client: ContextVar[Any] = ContextVar("Pyro5.client", default=None)
_client_sock_addr: ContextVar[Any] = ContextVar("Pyro5.client_sock_addr", default=None)
_seq: ContextVar[int] = ContextVar("Pyro5.seq", default=0)
_msg_flags: ContextVar[int] = ContextVar("Pyro5.msg_flags", default=0)
_serializer_id: ContextVar[int] = ContextVar("Pyro5.serializer_id", default=0)
_correlation: ContextVar[Union[bytes, uuid.UUID, None]] = ContextVar("Pyro5.correlation", default=None)
_assigned: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_assigned", default=None)
_request: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_of_request", default=None)
_response: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_of_response", default=None)
_received: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_received", default=None)


class CallContext:
    """The current call, as seen from the thread or task that asks. Has no state of its own: use ``current_context``."""

    __slots__ = ()

    @property
    def client(self) -> Any:
        """The connection (``socketutil.SocketConnection``) of the client being served; None if nobody is."""
        return _client.get()

    @client.setter
    def client(self, connection: Any) -> None:
        _client.set(connection)

    @property
    def client_sock_addr(self) -> Any:
        """The socket address of the client being served; still known when a oneway call outlives its connection."""
        return _client_sock_addr.get()

    @client_sock_addr.setter
    def client_sock_addr(self, address: Any) -> None:
        _client_sock_addr.set(address)

    @property
    def seq(self) -> int:
        """Sequence number of the request being served."""
        return _seq.get()

    @seq.setter
    def seq(self, number: int) -> None:
        _seq.set(number)

    @property
    def msg_flags(self) -> int:
        """Flags of the request being served, see the FLAGS constants of ``protocol``."""
        return _msg_flags.get()

    @msg_flags.setter
    def msg_flags(self, flags: int) -> None:
        _msg_flags.set(flags)

    @property
    def serializer_id(self) -> int:
        """Number of the serializer that the request being served was written with."""
        return _serializer_id.get()

    @serializer_id.setter
    def serializer_id(self, number: int) -> None:
        _serializer_id.set(number)

    @property
    def annotations(self) -> Annotations:
        """
        Four-character id -> bytes. What was assigned here, which the next requests of a proxy carry; if nothing was,
        and a request is being served, the annotations that came with that request (these are never sent on).
        """
        current = _assigned.get()
        if current is None:
            current = _request.get()
        if current is None:
            current = {}
            _assigned.set(current)
        return current

    @annotations.setter
    def annotations(self, annotations: Annotations) -> None:
        _assigned.set(annotations)

    @property
    def response_annotations(self) -> Annotations:
        """
        Four-character id -> bytes. After a call was made: what its reply carried. Else, in a method being served: what
        its reply will carry; assign a dict or add items. Assigning also forgets what the last reply carried.
        """
        current = _received.get()
        if current is None:
            current = _response.get()
        if current is None:
            current = {}
            _response.set(current)
        return current

    @response_annotations.setter
    def response_annotations(self, annotations: Annotations) -> None:
        _response.set(annotations)
        _received.set(None)

    @property
    def correlation_id(self) -> Optional[uuid.UUID]:
        """
        Identifies a chain of calls: sent with every request, found here by the methods that serve it, and sent on.

        Raises:
            TypeError: when something else than a ``uuid.UUID`` or None is assigned.
        """
        value = _correlation.get()
        if isinstance(value, bytes):
            value = uuid.UUID(bytes=value)
            _correlation.set(value)
        return value

    @correlation_id.setter
    def correlation_id(self, value: Optional[uuid.UUID]) -> None:
        if value is not None and not isinstance(value, uuid.UUID):
            raise TypeError("correlation_id must be a uuid.UUID or None, not %s" % type(value).__name__)
        _correlation.set(value)

    def track_resource(self, resource: Any) -> None:
        """
        Have ``resource.close()`` called when the connection of the client being served goes away. The resource is only
        weakly referenced: it is forgotten when nothing else holds it.

        Raises:
            PyroError: no client is being served.
        """
        _require_client("track").tracked_resources.add(resource)

    def untrack_resource(self, resource: Any) -> None:
        """Undo track_resource; nothing happens if the resource is not tracked."""
        _require_client("untrack").tracked_resources.discard(resource)

    def __repr__(self) -> str:
        return "<%s seq=%d client=%r correlation_id=%s>" % (
            type(self).__name__, self.seq, self.client_sock_addr, self.correlation_id)


current_context = CallContext()


def correlation_bytes() -> Optional[bytes]:
    """Give the 16 bytes of the current correlation id, None if there is none."""
    value = _correlation.get()
    return value.bytes if isinstance(value, uuid.UUID) else value


def begin_request(client: Any, client_sock_addr: Any, seq: int, msg_flags: int, serializer_id: int,
                  annotations: Annotations, correlation_bytes: Optional[bytes]) -> None:
    """Set every field for a request that is about to run here; nothing of an earlier request or call remains."""
    _client.set(client)
    _client_sock_addr.set(client_sock_addr)
    _seq.set(seq)
    _msg_flags.set(msg_flags)
    _serializer_id.set(serializer_id)
    _correlation.set(correlation_bytes)
    _assigned.set(None)
    _request.set(dict(annotations))
    _response.set(None)
    _received.set(None)


def outgoing_annotations() -> Annotations:
    """Give what a client's request must carry: the annotations assigned here, never those of a request being served."""
    return _assigned.get() or {}


def response_to_send() -> Annotations:
    """Give what a server's reply must carry: what the method set, never what it received from a nested call."""
    return _response.get() or {}


def set_received_response(annotations: Annotations) -> None:
    """Keep the annotations of a reply that just came in (the dict itself, not a copy)."""
    _received.set(annotations)


def _require_client(action: str) -> Any:
    client = _client.get()
    if client is None:
        raise errors.PyroError("cannot %s a resource here: no client is being served in this thread or task" % action)
    return client
