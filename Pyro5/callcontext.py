"""
What is known about the call that is being made or served: ``current_context``.

All fields are kept in context variables, so each thread and each asyncio task sees its own values, and a copied
context (``contextvars.copy_context()``, as oneway calls use) keeps the values it was copied with. Assigning a field
therefore never shows anywhere else. (What the server sets for every request is one immutable tuple in one variable:
setting a variable costs a tenth of a microsecond.) The dicts themselves are ordinary objects: where a context was inherited
(by a task, or by a thread on a free-threaded Python) assign a new dict instead of changing one that was there before.

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

import os
import uuid
from contextvars import ContextVar
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from . import errors

Annotations = Dict[str, Any]
CORRELATIONS_AT_ONCE = 256  # a call of the system for each takes half a microsecond

# What is being served: the connection, its peer's address, sequence number, flags, serializer id, annotations.
_Request = Tuple[Any, ...]
_CLIENT, _ADDRESS, _SEQ, _FLAGS, _SERIALIZER, _ANNOTATIONS = range(6)
_request: ContextVar[_Request] = ContextVar("Pyro5.request", default=(None, None, 0, 0, 0, None))
_correlation: ContextVar[Union[bytes, uuid.UUID, None]] = ContextVar("Pyro5.correlation", default=None)
_assigned: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_assigned", default=None)
_response: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_of_response", default=None)
_received: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_received", default=None)
_USERS = (_assigned, _response, _received)


_FIELDS = ("client", "client_sock_addr", "seq", "msg_flags", "serializer_id", "annotations", "response_annotations",
           "correlation_id")


class _ReceivedAnnotations(Dict[str, Any]):
    """Annotations, in what to_global() returns, that came with a request, and so are not to be sent on."""


class CallContext:
    """The current call, as seen from the thread or task that asks. Has no state of its own: use ``current_context``."""

    __slots__ = ()

    @property
    def client(self) -> Any:
        """The connection (``socketutil.SocketConnection``) of the client being served; None if nobody is."""
        return _request.get()[_CLIENT]

    @client.setter
    def client(self, connection: Any) -> None:
        _assign(_CLIENT, connection)

    @property
    def client_sock_addr(self) -> Any:
        """The socket address of the client being served; still known when a oneway call outlives its connection."""
        return _request.get()[_ADDRESS]

    @client_sock_addr.setter
    def client_sock_addr(self, address: Any) -> None:
        _assign(_ADDRESS, address)

    @property
    def seq(self) -> int:
        """Sequence number of the request being served."""
        return int(_request.get()[_SEQ])

    @seq.setter
    def seq(self, number: int) -> None:
        _assign(_SEQ, number)

    @property
    def msg_flags(self) -> int:
        """Flags of the request being served, see the FLAGS constants of ``protocol``."""
        return int(_request.get()[_FLAGS])

    @msg_flags.setter
    def msg_flags(self, flags: int) -> None:
        _assign(_FLAGS, flags)

    @property
    def serializer_id(self) -> int:
        """Number of the serializer that the request being served was written with."""
        return int(_request.get()[_SERIALIZER])

    @serializer_id.setter
    def serializer_id(self, number: int) -> None:
        _assign(_SERIALIZER, number)

    @property
    def annotations(self) -> Annotations:
        """
        Four-character id -> bytes. What was assigned here, which the next requests of a proxy carry; if nothing was,
        and a request is being served, the annotations that came with that request (these are never sent on).
        """
        current = _assigned.get()
        if current is None:
            current = _request.get()[_ANNOTATIONS]
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

    def to_global(self) -> Dict[str, Any]:
        """Return the values of all fields, by name: for from_global(), in a thread that goes on with the work of this call."""
        values = {name: getattr(self, name) for name in _FIELDS}
        was_received = _assigned.get() is None and _request.get()[_ANNOTATIONS] is not None
        values["annotations"] = (_ReceivedAnnotations if was_received else dict)(values["annotations"])
        return values

    def from_global(self, values: Mapping[str, Any]) -> None:
        """Set all fields to values that to_global() returned, here or in another thread."""
        annotations = values["annotations"]
        was_received = isinstance(annotations, _ReceivedAnnotations)
        _request.set((values["client"], values["client_sock_addr"], values["seq"], values["msg_flags"],
                      values["serializer_id"], dict(annotations) if was_received else None))
        _assigned.set(None if was_received else dict(annotations))
        self.response_annotations = dict(values["response_annotations"])
        self.correlation_id = values["correlation_id"]

    def __repr__(self) -> str:
        return "<%s seq=%d client=%r correlation_id=%s>" % (
            type(self).__name__, self.seq, self.client_sock_addr, self.correlation_id)


current_context = CallContext()


class _NewCorrelations:
    """
    Makes correlation ids for requests that came without one: random, so that they tell nothing about other requests.

    The system is asked for many at a time: they cost a tenth of what ``uuid.uuid4()`` costs.
    """

    def __init__(self) -> None:
        self._ids: List[bytes] = []

    def renew(self) -> None:
        """Forget what is in store, as a forked process must."""
        self._ids = []

    def next(self) -> bytes:
        """Return 16 random bytes."""
        ids = self._ids
        try:
            return ids.pop()  # atomic: no two threads get the same one
        except IndexError:
            block = _random_uuids(CORRELATIONS_AT_ONCE)
            ids.extend([block[start:start + 16] for start in range(16, len(block), 16)])
            return block[:16]


def _random_uuids(count: int) -> bytes:
    """Return the bytes of ``count`` random UUIDs (version 4), one after the other."""
    block = bytearray(os.urandom(16 * count))
    # byte 6 has the version in its upper half, byte 8 the variant in its upper two bits
    block[6::16] = bytes([byte & 0x0F | 0x40 for byte in block[6::16]])
    block[8::16] = bytes([byte & 0x3F | 0x80 for byte in block[8::16]])
    return bytes(block)


_new_correlations = _NewCorrelations()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_correlations.renew)


def new_correlation_bytes() -> bytes:
    """Make a new correlation id, for a request that came without one."""
    return _new_correlations.next()


def correlation_bytes() -> Optional[bytes]:
    """Give the 16 bytes of the current correlation id, None if there is none."""
    value = _correlation.get()
    return value.bytes if isinstance(value, uuid.UUID) else value


def begin_request(client: Any, client_sock_addr: Any, seq: int, msg_flags: int, serializer_id: int,
                  annotations: Annotations, correlation_bytes: Optional[bytes]) -> None:
    """Set every field for a request that is about to run here; nothing of an earlier request or call remains."""
    _request.set((client, client_sock_addr, seq, msg_flags, serializer_id, dict(annotations)))
    _correlation.set(correlation_bytes)
    for variable in _USERS:
        if variable.get() is not None:  # reading is several times cheaper than setting
            variable.set(None)


def _assign(index: int, value: Any) -> None:
    request = list(_request.get())
    request[index] = value
    _request.set(tuple(request))


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
    client = _request.get()[_CLIENT]
    if client is None:
        raise errors.PyroError("cannot %s a resource here: no client is being served in this thread or task" % action)
    return client
