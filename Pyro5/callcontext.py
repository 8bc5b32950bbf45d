"""The context of the call that is being made or served: ``current_context``.

All fields are stored in context variables, so each thread and each asyncio task sees its own values, and a copied context
(``contextvars.copy_context()``, as used by oneway calls) keeps the values it was copied with. Assigning a field is therefore
never visible elsewhere. (The fields are attributes of one object, which is replaced when one of them is assigned: setting a
variable for each takes a tenth of a microsecond.) The dicts themselves are ordinary objects: where a context was inherited (by
a task, or by a thread on a free-threaded Python), assign a new dict instead of changing an existing one.

The two directions of annotations are kept apart:

====================  =========================================  ==========================================
role                  sends                                      received
====================  =========================================  ==========================================
client (a proxy)      the annotations that the user assigned     ``response_annotations`` of the last reply
server (a daemon)     the response annotations the method set    ``annotations`` of the request being served
====================  =========================================  ==========================================

A method that is being served and calls another object has both roles: the annotations of its own client are not passed on, and
those of the other object's reply are not part of its own reply. Only the correlation id is passed on.
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

    Annotations = Dict[str, Any]
else:
    uuid = LazyModule(globals(), "uuid")
    Annotations = Any  # programs may import it

CORRELATIONS_AT_ONCE = 256  # one system call per id would take half a microsecond each
_IDS = struct.Struct("16s" * CORRELATIONS_AT_ONCE)
# Of a UUID, the upper half of byte 6 is the version, the upper two bits of byte 8 are the variant.
_VERSION = bytes(range(0x40, 0x50)) * 16
_VARIANT = bytes(range(0x80, 0xC0)) * 4


class Request:
    """What is known of the request being served, and what was assigned here. With the values of the class: nothing.

    An object that is in a context is not changed: others may have been copied from it.

    Attributes:
        connection: that of the client.
        peer_address: of its socket.
        seq, flags, serializer_id: from the header of the request.
        annotations: those that came with it; the program may change the dict.
        correlation_id: 16 bytes, or the UUID that the program has assigned.
        call: the RunningCall of the daemon; None for a handshake.
        assigned: the annotations to send with requests; None: none were assigned.
        response: the annotations that the method has set for the reply; None: none.
    """

    connection: Any = None
    peer_address: Any = None
    seq = flags = serializer_id = 0
    annotations: Optional[Annotations] = None
    correlation_id: Union[bytes, uuid.UUID, None] = None
    call: Any = None
    assigned: Optional[Annotations] = None
    response: Optional[Annotations] = None


_REQUEST_FIELDS = ("connection", "peer_address", "seq", "flags", "serializer_id", "annotations", "correlation_id", "call",
                   "assigned", "response")
NO_REQUEST = Request()  # where nothing is being served, and nothing was assigned. It is never changed
_request: ContextVar[Request] = ContextVar("Pyro5.request", default=NO_REQUEST)
_received: ContextVar[Optional[Annotations]] = ContextVar("Pyro5.annotations_received", default=None)
# A bound method: it saves two of the seven byte codes of a look at the variable, of which a request needs several.
get_request = _request.get

_FIELDS = ("client", "client_sock_addr", "seq", "msg_flags", "serializer_id", "annotations", "response_annotations",
           "correlation_id")


class _ReceivedAnnotations(dict):  # type: ignore[type-arg]  # Dict[str, Any] takes longer to import
    """Annotations in the result of to_global() that came with a request, and must not be sent on."""


def _field(name: str, doc: str) -> Any:
    """Return a property that reads and assigns one field of the request being served."""
    return property(lambda context: getattr(get_request(), name), lambda context, value: _assign(name, value), doc=doc)


class CallContext:
    """The current call, as seen by the calling thread or task. It has no state of its own: use ``current_context``."""

    __slots__ = ()

    # Assigned by tests, and by programs that simulate a call; daemons set all of them at once.
    client: Any = _field("connection", "The connection (``socketutil.SocketConnection``) of the client being served; None "
                                       "outside of a request.")
    client_sock_addr: Any = _field("peer_address", "The socket address of the client being served; still known when a oneway "
                                                   "call outlives its connection.")
    seq: int = _field("seq", "Sequence number of the request being served.")
    msg_flags: int = _field("flags", "Flags of the request being served, see the FLAGS constants of ``protocol``.")
    serializer_id: int = _field("serializer_id", "Number of the serializer that the request being served was encoded with.")

    @property
    def annotations(self) -> Annotations:
        """Four-character id -> bytes. The assigned annotations, which are sent with the next requests of a proxy; if none were
        assigned while a request is being served, the annotations of that request (these are never sent on).
        """
        request = get_request()
        current = request.assigned
        # Of the request: only for reading. Assigned ones take precedence, since the program wants to send them.
        if current is None:
            current = request.annotations
        if current is None:
            # Stored, so that items which the program adds to it are sent.
            current = {}
            _assign("assigned", current)
        return current

    @annotations.setter
    def annotations(self, annotations: Annotations) -> None:
        _assign("assigned", annotations)

    @property
    def response_annotations(self) -> Annotations:
        """Four-character id -> bytes. After a call: the annotations of its reply. Otherwise, in a method being served: those
        of its own reply; assign a dict or add items. Assigning also discards those of the last reply.
        """
        # One property for two things, as in 5.x: a reply that was received is shown until the program assigns annotations.
        current = _received.get()
        if current is None:
            current = get_request().response
        if current is None:
            current = {}
            _assign("response", current)
        return current

    @response_annotations.setter
    def response_annotations(self, annotations: Annotations) -> None:
        _assign("response", annotations)
        # Otherwise the annotations of the last reply would be shown instead of the assigned ones.
        _received.set(None)

    @property
    def correlation_id(self) -> Optional[uuid.UUID]:
        """Identifies a chain of calls: sent with every request, available to the methods that serve it, and passed on by their
        calls.

        Raises:
            TypeError: a value other than a ``uuid.UUID`` or None is assigned.
        """
        value = get_request().correlation_id
        # Stored as bytes, because most programs never ask.
        return uuid.UUID(bytes=value) if isinstance(value, bytes) else value

    @correlation_id.setter
    def correlation_id(self, value: Optional[uuid.UUID]) -> None:
        if value is not None and not isinstance(value, uuid.UUID):
            # Checked here, where the mistake is, and not when a call is encoded.
            raise TypeError("correlation_id must be a uuid.UUID or None, not %s" % type(value).__name__)
        _assign("correlation_id", value)

    @property
    def user(self) -> Optional[str]:
        """The name of the user that the client being served has proved to be; None for a client that has the key of the
        server, or has proved nothing."""
        # Read from the connection: it has proved it once, in the handshake.
        identity = getattr(get_request().connection, "identity", None)
        return None if identity is None else identity.user

    @property
    def roles(self) -> FrozenSet[str]:
        """The roles of the user of the client being served, as they are in the users file now; empty if there are none."""
        identity = getattr(get_request().connection, "identity", None)
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
        call = get_request().call
        return threading.Event() if call is None else call.cancelled

    def check(self) -> None:
        """Raise an exception if the client does not wait for the request being served any more; else do nothing.

        Raises:
            TimeoutError: the deadline has passed.
            CancelledError: the client has cancelled the call, or its connection has ended.
        """
        call = get_request().call
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
        request = get_request()
        was_received = request.assigned is None and request.annotations is not None
        values["annotations"] = (_ReceivedAnnotations if was_received else dict)(values["annotations"])
        return values

    def from_global(self, values: Mapping[str, Any]) -> None:
        """Set all fields to values returned by to_global(), here or in another thread."""
        annotations = values["annotations"]
        # The RunningCall is left out: the other thread continues the work, but the call may have ended.
        was_received = isinstance(annotations, _ReceivedAnnotations)
        request = Request()
        request.connection, request.peer_address, request.seq = values["client"], values["client_sock_addr"], values["seq"]
        request.flags, request.serializer_id = values["msg_flags"], values["serializer_id"]
        if was_received:
            request.annotations = dict(annotations)
        else:
            request.assigned = dict(annotations)
        begin_request(request)
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
    value = get_request().correlation_id
    return value if value is None or isinstance(value, bytes) else value.bytes


def correlation_or_new() -> bytes:
    """Return the 16 bytes of the current correlation id, or those of a new one if there is none."""
    value = get_request().correlation_id
    if value is None:
        return new_correlation_bytes()
    return value if isinstance(value, bytes) else value.bytes


def set_correlation_bytes(value: Optional[bytes]) -> None:
    """Set the current correlation id to 16 bytes, or to none."""
    _assign("correlation_id", value)


def begin_request(request: Request) -> None:
    """Set every field for a request that is about to run here: nothing of earlier requests and calls is left."""
    _request.set(request)
    if _received.get() is not None:  # reading is several times cheaper than setting
        _received.set(None)


def running_call() -> Any:
    """Return the RunningCall of the request being served, None if there is none."""
    return get_request().call


def without_call() -> Context:
    """Return a copy of the context in which no request is being served: calls that are made there inherit no deadline."""
    context = copy_context()
    # The rest stays: the work may still ask for the client, and its calls carry the same correlation id.
    context.run(_assign, "call", None)
    return context


def call_deadline() -> Optional[float]:
    """Return the monotonic time until which the client of the request being served waits, None if there is no limit."""
    call = get_request().call
    return None if call is None else call.deadline


def call_trace() -> str:
    """Return the trace context that came with the request being served, empty if there is none."""
    call = get_request().call
    return "" if call is None else str(getattr(call, "traceparent", ""))


def passes_nothing_on() -> bool:
    """Return whether calls that are made here get neither a deadline nor a trace context of a request being served."""
    call = get_request().call
    return call is None or call.deadline is None and not getattr(call, "traceparent", "")


def _assign(name: str, value: Any) -> None:
    # a new object: contexts that were copied before share the old one
    request, changed = get_request(), Request()
    for each in _REQUEST_FIELDS:
        setattr(changed, each, getattr(request, each))
    setattr(changed, name, value)
    _request.set(changed)


def outgoing_annotations() -> Annotations:
    """Return the annotations of a client's request: those assigned here, never those of a request being served."""
    return get_request().assigned or {}


def response_to_send() -> Annotations:
    """Return the annotations of a server's reply: those set by the method, never those received from a nested call."""
    return get_request().response or {}


# Stores the annotations of a received reply (the dict itself, not a copy). A bound method, as `new_correlation_bytes`.
set_received_response: Callable[[Annotations], object] = _received.set


def _require_client(action: str) -> Any:
    client = get_request().connection
    if client is None:
        # An error and no silence: a resource that is not tracked would never be closed.
        raise errors.PyroError("cannot %s a resource here: no client is being served in this thread or task" % action)
    return client
