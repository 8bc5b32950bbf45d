"""The context of the call that is being made or served: ``current_context``.

All fields are stored in context variables, so each thread and each asyncio task sees its own values, and a copied
context (``contextvars.copy_context()``, as used by oneway calls) keeps the values it was copied with. Assigning a field
is therefore never visible elsewhere. (The fields that the server sets for every request are one immutable tuple in one
variable, because setting a variable takes a tenth of a microsecond.) The dicts themselves are ordinary objects: where a
context was inherited (by a task, or by a thread on a free-threaded Python), assign a new dict instead of changing an
existing one.

The two directions of annotations are kept apart:

====================  =========================================  ==========================================
role                  sends                                      received
====================  =========================================  ==========================================
client (a proxy)      the annotations that the user assigned     ``response_annotations`` of the last reply
server (a daemon)     the response annotations the method set    ``annotations`` of the request being served
====================  =========================================  ==========================================

A method that is being served and calls another object has both roles: the annotations of its own client are not
passed on, and those of the other object's reply are not part of its own reply. Only the correlation id
is passed on.
"""
from __future__ import annotations

import os
import struct
import threading
import time
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple, Union

from . import LazyModule, errors

if TYPE_CHECKING:
    import uuid
else:
    uuid = LazyModule(globals(), "uuid")

Annotations = Dict[str, Any]
CORRELATIONS_AT_ONCE = 256  # one system call per id would take half a microsecond each
_IDS = struct.Struct("16s" * CORRELATIONS_AT_ONCE)
# Of a UUID, the upper half of byte 6 is the version, the upper two bits of byte 8 are the variant.
_VERSION = bytes([byte & 0x0F | 0x40 for byte in range(256)])
_VARIANT = bytes([byte & 0x3F | 0x80 for byte in range(256)])

# The request being served: the connection, its peer's address, sequence number, flags, serializer id, annotations, and the
# RunningCall of the daemon (None for a handshake).
Request = Tuple[Any, ...]
# A tuple is set with one assignment, and reading a field of it is cheap; an object with attributes takes longer to
# make.
_CLIENT, _ADDRESS, _SEQ, _FLAGS, _SERIALIZER, _ANNOTATIONS, CALL = range(7)
request_fields: ContextVar[Request] = ContextVar("Pyro5.request", default=(None, None, 0, 0, 0, None, None))
# Bytes as received, converted to a UUID when a program reads it: most never do.
_correlation: ContextVar[Union[bytes, uuid.UUID, None]] = ContextVar("Pyro5.correlation", default=None)
_assigned: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_assigned", default=None)
_response: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_of_response", default=None)
_received: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_received", default=None)
# Bound methods: each saves two of the seven byte codes of a look at the variable, of which a request needs several. The second
# returns the annotations that the method being served has set, None if it has set none.
_get_assigned, get_response, _get_received = _assigned.get, _response.get, _received.get


_FIELDS = ("client", "client_sock_addr", "seq", "msg_flags", "serializer_id", "annotations", "response_annotations",
           "correlation_id")


class _ReceivedAnnotations(Dict[str, Any]):
    """Annotations in the result of to_global() that came with a request, and must not be sent on."""


class CallContext:
    """The current call, as seen by the calling thread or task. It has no state of its own: use ``current_context``."""

    __slots__ = ()

    @property
    def client(self) -> Any:
        """The connection (``socketutil.SocketConnection``) of the client being served; None outside of a request."""
        return request_fields.get()[_CLIENT]

    @client.setter
    def client(self, connection: Any) -> None:
        # For tests and programs that simulate a call; daemons set all fields at once.
        _assign(_CLIENT, connection)

    @property
    def client_sock_addr(self) -> Any:
        """The socket address of the client being served; still known when a oneway call outlives its connection."""
        return request_fields.get()[_ADDRESS]

    @client_sock_addr.setter
    def client_sock_addr(self, address: Any) -> None:
        _assign(_ADDRESS, address)

    @property
    def seq(self) -> int:
        """Sequence number of the request being served."""
        return int(request_fields.get()[_SEQ])

    @seq.setter
    def seq(self, number: int) -> None:
        _assign(_SEQ, number)

    @property
    def msg_flags(self) -> int:
        """Flags of the request being served, see the FLAGS constants of ``protocol``."""
        return int(request_fields.get()[_FLAGS])

    @msg_flags.setter
    def msg_flags(self, flags: int) -> None:
        _assign(_FLAGS, flags)

    @property
    def serializer_id(self) -> int:
        """Number of the serializer that the request being served was encoded with."""
        return int(request_fields.get()[_SERIALIZER])

    @serializer_id.setter
    def serializer_id(self, number: int) -> None:
        _assign(_SERIALIZER, number)

    @property
    def annotations(self) -> Annotations:
        """Four-character id -> bytes. The assigned annotations, which are sent with the next requests of a proxy; if none were
        assigned while a request is being served, the annotations of that request (these are never sent on).
        """
        current = _assigned.get()
        # Of the request: only for reading. Assigned ones take precedence, since the program wants to send them.
        if current is None:
            current = request_fields.get()[_ANNOTATIONS]
        if current is None:
            # Stored, so that items which the program adds to it are sent.
            current = {}
            _assigned.set(current)
        return current

    @annotations.setter
    def annotations(self, annotations: Annotations) -> None:
        _assigned.set(annotations)

    @property
    def response_annotations(self) -> Annotations:
        """Four-character id -> bytes. After a call: the annotations of its reply. Otherwise, in a method being served: those
        of its own reply; assign a dict or add items. Assigning also discards those of the last reply.
        """
        # One property for two things, as in 5.x: a reply that was received is shown until the program assigns annotations.
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
        # Otherwise the annotations of the last reply would be shown instead of the assigned ones.
        _received.set(None)

    @property
    def correlation_id(self) -> Optional[uuid.UUID]:
        """Identifies a chain of calls: sent with every request, available to the methods that serve it, and passed on by their
        calls.

        Raises:
            TypeError: a value other than a ``uuid.UUID`` or None is assigned.
        """
        value = _correlation.get()
        if isinstance(value, bytes):
            value = uuid.UUID(bytes=value)
            _correlation.set(value)  # once, since programs log it several times
        return value

    @correlation_id.setter
    def correlation_id(self, value: Optional[uuid.UUID]) -> None:
        if value is not None and not isinstance(value, uuid.UUID):
            # Checked here, where the mistake is, and not when a call is encoded.
            raise TypeError("correlation_id must be a uuid.UUID or None, not %s" % type(value).__name__)
        _correlation.set(value)

    @property
    def user(self) -> Optional[str]:
        """The name of the user that the client being served has proved to be; None for a client that has the key of the
        server, or has proved nothing."""
        # Read from the connection: it has proved it once, in the handshake.
        identity = getattr(request_fields.get()[_CLIENT], "identity", None)
        return None if identity is None else identity.user

    @property
    def roles(self) -> FrozenSet[str]:
        """The roles of the user of the client being served, as they are in the users file now; empty if there are none."""
        identity = getattr(request_fields.get()[_CLIENT], "identity", None)
        # Asked anew, so that roles that were taken away have no effect any more, even in connections that exist.
        return frozenset() if identity is None else identity.roles

    @property
    def deadline(self) -> Optional[float]:
        """The time (of ``time.monotonic()``) until which the client waits for the request being served; None if it did not
        say, as clients of other releases never do. Calls that the method makes with other proxies end by then too."""
        return call_deadline()

    def time_remaining(self) -> Optional[float]:
        """Return the seconds until ``deadline``, 0.0 if it has passed; None if there is no deadline."""
        deadline = call_deadline()
        return None if deadline is None else max(deadline - time.monotonic(), 0.0)

    @property
    def cancelled(self) -> threading.Event:
        """Set when the client does not wait for the request being served any more: its deadline has passed, the client has
        cancelled it, or the connection has ended (except for oneway calls). A method that takes long can wait for it, or ask
        it from time to time; ``is_set()`` looks at the connection when it is called. Outside of a request it is never set.
        """
        call = request_fields.get()[CALL]
        return threading.Event() if call is None else call.cancelled

    def check(self) -> None:
        """Raise an exception if the client does not wait for the request being served any more; else do nothing.

        Raises:
            TimeoutError: the deadline has passed.
            CancelledError: the client has cancelled the call, or its connection has ended.
        """
        call = request_fields.get()[CALL]
        # Without a call, for example in a test, there is no client that could have gone.
        if call is not None:
            call.check()

    def track_resource(self, resource: Any) -> None:
        """Call ``resource.close()`` when the connection of the client being served ends. The resource is only
        weakly referenced: tracking ends when there are no other references to it.

        Raises:
            PyroError: no client is being served.
        """
        # In the connection, because that is where the resources end.
        _require_client("track").tracked_resources.add(resource)

    def untrack_resource(self, resource: Any) -> None:
        """Stop tracking a resource; ignored if it is not tracked."""
        _require_client("untrack").tracked_resources.discard(resource)

    def to_global(self) -> Dict[str, Any]:
        """Return the values of all fields, by name: for from_global(), in a thread that continues the work of this call."""
        # The mark says that the annotations came from a client: otherwise calls in the other thread would send them on.
        values = {name: getattr(self, name) for name in _FIELDS}
        was_received = _assigned.get() is None and request_fields.get()[_ANNOTATIONS] is not None
        values["annotations"] = (_ReceivedAnnotations if was_received else dict)(values["annotations"])
        return values

    def from_global(self, values: Mapping[str, Any]) -> None:
        """Set all fields to values returned by to_global(), here or in another thread."""
        annotations = values["annotations"]
        # The RunningCall is left out: the other thread continues the work, but the call may have ended.
        was_received = isinstance(annotations, _ReceivedAnnotations)
        request_fields.set((values["client"], values["client_sock_addr"], values["seq"], values["msg_flags"],
                      values["serializer_id"], dict(annotations) if was_received else None, None))
        _assigned.set(None if was_received else dict(annotations))
        self.response_annotations = dict(values["response_annotations"])
        self.correlation_id = values["correlation_id"]

    def __repr__(self) -> str:
        return "<%s seq=%d client=%r correlation_id=%s>" % (
            type(self).__name__, self.seq, self.client_sock_addr, self.correlation_id)


current_context = CallContext()


class _NewCorrelations:
    """Generates correlation ids for requests that came without one: random, so that they reveal nothing about other requests.

    Random bytes are read for many ids at a time, which costs a tenth of ``uuid.uuid4()``.
    """

    def __init__(self) -> None:
        self._ids: List[bytes] = []

    def renew(self) -> None:
        """Discard the stored ids, as a forked process must."""
        # A child that used the ids of its parent would give the same one to two calls.
        self._ids = []

    def next(self) -> bytes:
        """Return 16 random bytes."""
        ids = self._ids
        try:
            return ids.pop()  # atomic: two threads never get the same id
        except IndexError:
            new = _random_uuids()
            # The list may be refilled by two threads at once; then it is longer for a while.
            ids.extend(new[1:])
            return new[0]


def _random_uuids() -> Tuple[bytes, ...]:
    """Return the bytes of each of CORRELATIONS_AT_ONCE random UUIDs (version 4)."""
    # All at once: a loop over them would add a tenth of a microsecond to each call.
    block = bytearray(os.urandom(_IDS.size))
    block[6::16] = block[6::16].translate(_VERSION)
    block[8::16] = block[8::16].translate(_VARIANT)
    return _IDS.unpack(block)


_new_correlations = _NewCorrelations()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_correlations.renew)


# Returns a new correlation id, for a request without one. The bound method itself: a function would add 0.05 us to each call.
new_correlation_bytes = _new_correlations.next


def correlation_bytes() -> Optional[bytes]:
    """Return the 16 bytes of the current correlation id, None if there is none."""
    value = _correlation.get()
    return value if value is None or isinstance(value, bytes) else value.bytes


def correlation_or_new() -> bytes:
    """Return the 16 bytes of the current correlation id, or those of a new one if there is none."""
    value = _correlation.get()
    if value is None:
        return new_correlation_bytes()
    return value if isinstance(value, bytes) else value.bytes


def set_correlation_bytes(value: Optional[bytes]) -> None:
    """Set the current correlation id to 16 bytes, or to none."""
    _correlation.set(value)


def begin_request(request: Request, correlation_bytes: Optional[bytes]) -> None:
    """Set every field for a request that is about to run here, and clear everything of earlier requests and calls.

    Args:
        request: its annotations are a dict that the program may change.
    """
    request_fields.set(request)
    # None clears it: an id of the earlier request in this thread must not be passed on.
    _correlation.set(correlation_bytes)
    # Reading is several times cheaper than setting. One by one: a loop over the three takes twice as long.
    if _get_assigned() is not None:
        _assigned.set(None)
    if get_response() is not None:
        _response.set(None)
    if _get_received() is not None:
        _received.set(None)


def running_call() -> Any:
    """Return the RunningCall of the request being served, None if there is none."""
    return request_fields.get()[CALL]


def without_call() -> Context:
    """Return a copy of the context in which no request is being served: calls that are made there inherit no deadline."""
    context = copy_context()
    # The rest stays: the work may still ask for the client, and its calls carry the same correlation id.
    context.run(_assign, CALL, None)
    return context


def call_deadline() -> Optional[float]:
    """Return the monotonic time until which the client of the request being served waits, None if there is no limit."""
    call = request_fields.get()[CALL]
    return None if call is None else call.deadline


def call_trace() -> str:
    """Return the trace context that came with the request being served, empty if there is none."""
    call = request_fields.get()[CALL]
    return "" if call is None else str(getattr(call, "traceparent", ""))


def passes_nothing_on() -> bool:
    """Return whether calls that are made here get neither a deadline nor a trace context of a request being served."""
    call = request_fields.get()[CALL]
    return call is None or call.deadline is None and not getattr(call, "traceparent", "")


def _assign(index: int, value: Any) -> None:
    # a new tuple: contexts that were copied before share the old one
    request = list(request_fields.get())
    request[index] = value
    request_fields.set(tuple(request))


def outgoing_annotations() -> Annotations:
    """Return the annotations of a client's request: those assigned here, never those of a request being served."""
    return _assigned.get() or {}


def response_to_send() -> Annotations:
    """Return the annotations of a server's reply: those set by the method, never those received from a nested call."""
    return get_response() or {}


# Stores the annotations of a received reply (the dict itself, not a copy). A bound method, as `new_correlation_bytes`.
set_received_response: Callable[[Annotations], object] = _received.set


def _require_client(action: str) -> Any:
    client = request_fields.get()[_CLIENT]
    if client is None:
        # An error and no silence: a resource that is not tracked would never be closed.
        raise errors.PyroError("cannot %s a resource here: no client is being served in this thread or task" % action)
    return client
