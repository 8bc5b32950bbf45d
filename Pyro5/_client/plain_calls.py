"""Plain calls of proxies: what `Caller.call` does for any call, in as few steps as possible for most of them.

Most calls of most programs are alike: an ordinary method or an attribute, numbers, short texts and small containers as
arguments, no options but those of the proxy, and a connection that the thread has used before. With serpent, one of these
takes 550 byte codes here, and 1 150 otherwise.
"""
from __future__ import annotations

import time
from threading import get_ident
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from .. import LazyModule, NamedTuple, callcontext
from .._messages import limits, requests
from .._messages.limits import FREE_BYTES
from .._messages.requests import NUMBERS
from .._values import large_buffers
from .._wire import features
from .._wire.chunks import MIN_SHARED_BYTES
from .._wire.reader import RECEIVE_BYTES
from ..callcontext import NO_REQUEST, get_request, new_correlation_bytes
from ..configure import global_version
from ..protocol import (HEADER_END, JOIN_UP_TO_BYTES, MSG_INVOKE, MSG_RESULT, PLAIN_HEADER, check_size, header_begin,
                        message_buffers)
from ..serializers import SerializerBase
from ..socketutil import effective_timeout
from .call_options import get_options
from .connection import Connection
from .failures import request_error
from .link import Link

if TYPE_CHECKING:
    from .._values import unsendable
else:
    unsendable = LazyModule(globals(), ".._values.unsendable")

_pack = PLAIN_HEADER.pack
# How much of the timeout has passed when the request is sent: servers are told 4 999 ms of 5 s, as by other calls, and end
# late calls before the client closes the connection.
_UNTIL_SENT_SECONDS = 1e-6


NOT_MADE: Any = object()


class _Form(NamedTuple):
    """What plain calls over a connection have in common, until a setting or an option of the proxy changes."""

    mark: object  # of the link: another object after each of these changes
    is_usable: bool  # False: no call is plain
    fits_attempts: bool  # only attempts of calls that are repeated if they fail are plain
    serializer: SerializerBase  # the variant of that of the proxy for this server
    request_begin: bytes
    reply_begin: bytes
    annotations: bytes  # of requests: the timeout of the proxy, as their deadline
    max_payload: int  # in bytes, of requests that are sent in one piece
    shared: Any  # the memory that both peers share, None if they do not


def _new_form(link: Link, connection: Connection) -> _Form:
    """Return the form of the plain calls over a connection."""
    mark = link.options_mark  # first: if another thread changes something meanwhile, the next call makes another form
    max_size, timeout = link.wire.max_size, effective_timeout(link.timeout)
    # Not toward servers of other releases, which may answer without a correlation id; not if one receive may return more than
    # max_size; not with less than a millisecond, which may pass before the request is sent: that has an error of its own.
    is_usable = (connection.features is not None and link.is_plain and not 0 < max_size < RECEIVE_BYTES
                 and not link.raw_response and (timeout is None or timeout >= 0.001))
    repeats = link.retry is not None or bool(link.max_retries)
    annotations = (b"" if timeout is None or features.DEADLINES not in (connection.features or ())
                   else features.deadline_chunk(timeout - _UNTIL_SENT_SECONDS))
    serializer = link.serializer.for_dialect(connection.dialect)
    number = serializer.serializer_id
    return _Form(mark, is_usable and not repeats, is_usable and repeats, serializer,
                 header_begin(MSG_INVOKE, number), header_begin(MSG_RESULT, number), annotations,
                 min(max_size or JOIN_UP_TO_BYTES, JOIN_UP_TO_BYTES) - len(annotations),
                 None if connection.buffers is None else connection.buffers.shared)


def call_plainly(link: Link, method: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]],
                 is_attempt: bool = False) -> Any:
    """Call a method if the call is a plain one, and return its result. Otherwise return NOT_MADE: nothing has been done.

    Args:
        is_attempt: the caller repeats the call if it fails, as the proxy demands.

    Raises the same as `Caller.call`.
    """
    may_be_long = False
    if (kwargs or not NUMBERS.issuperset(map(type, args))) and not requests.are_plain(args, kwargs):
        may_be_long = _are_flat(link.serializer, args, kwargs)
        if not may_be_long:
            return NOT_MADE
    ident, pool, request = get_ident(), link.pool, get_request()
    connection = pool.by_thread.get(ident)
    # After a fork, the version of the settings is another one, so connections of the parent are not used.
    if connection is None or link.settings_version != global_version.number:
        return NOT_MADE
    form = connection.form
    if form is None or form.mark is not link.options_mark:
        form = connection.form = _new_form(link, connection)
    # What `Link.acquire_ready` and `Caller.call` look at.
    if (not (form.is_usable or is_attempt and form.fits_attempts) or pool.waiters or method in link.oneway
            or get_options() is not None or request is not NO_REQUEST and (request.call is not None or request.assigned)
            or large_buffers.current.outgoing is not None or not connection.lock.acquire(False)):
        return NOT_MADE
    connection.user = ident
    try:
        if (connection.mid_exchange or connection.late or link.abandoned_streams or link.exclusive is not None
                or form.shared is not None and form.shared.offer is not None):
            return NOT_MADE
        # A new correlation id, unless the program has set one: servers recognize nested calls by it, and can cancel this one.
        connection.call_id = new_correlation_bytes() if request is NO_REQUEST else callcontext.correlation_or_new()
        return _exchange(link, connection, form, method, args, kwargs, may_be_long)
    finally:
        # As in Caller.unlock().
        if connection is not link.connection:
            connection.idle_since = time.monotonic()
        connection.user = 0
        connection.lock.release()
        if pool.waiters:
            pool.hand_over()


def _are_flat(serializer: SerializerBase, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bool:
    """Return whether the arguments are numbers, texts, and bytes objects that are sent in the payload."""
    return not kwargs and all([type(value) in NUMBERS or type(value) is str or type(value) is bytes and (
        serializer.sends_bytes_uncopied and len(value) < MIN_SHARED_BYTES) for value in args])


def _exchange(link: Link, connection: Connection, form: _Form, method: str, args: Sequence[Any],
              kwargs: Optional[Mapping[str, Any]], may_be_long: bool) -> Any:
    """Make a plain call over a connection that is locked for it."""
    _, _, _, serializer, request_begin, reply_begin, annotations, max_payload, _ = form
    pool = link.pool
    correlation_id: Any = connection.call_id
    seq = pool.seq = (pool.seq + 1) & 0xFFFF
    payload: Any = b""
    try:
        # The first may return several pieces.
        payload = (serializer.call_payload if may_be_long else serializer.dumpsCall)(link.object_id, method, args, kwargs)
        size = len(payload)
        if may_be_long or size > max_payload:
            if type(payload) is list:
                size = sum(map(len, payload))
                payload = payload if size > JOIN_UP_TO_BYTES else b"".join(payload)
            elif type(payload) is not bytes:
                unsendable.check_payload(payload, serializer, "dumpsCall")
            check_size(len(annotations) + size, link.wire.max_size)
        header = _pack(request_begin, seq, size << 32 | len(annotations), correlation_id, HEADER_END) + annotations
    except Exception as x:
        wrong = unsendable.wrong_payload(payload, serializer, "dumpsCall")
        raise request_error(link.bound_uri, wrong or x, serializer, method, args, kwargs)  # noqa: B904  # it sets the cause
    try:
        reply: Any
        if size > JOIN_UP_TO_BYTES:
            reply = connection.large_round_trip(message_buffers(header, payload, size), seq, reply_begin, correlation_id,
                                                method)
        else:
            reply = connection.plain_round_trip(header + payload, seq, reply_begin, correlation_id, method)
        if type(reply) is not bytes:
            return link.result_of(reply, connection, serializer)
        callcontext.set_received_response({})
        if len(reply) > FREE_BYTES:
            limits.check_data(reply, 0, serializer, limits.REPLY_FACTOR)
        return serializer.loads(reply)
    except BaseException as x:
        link.call_failed(connection, x, seq, None)
        wrong = None if type(payload) is bytes else unsendable.wrong_payload(payload, serializer, "dumpsCall")
        if wrong is not None:
            raise request_error(link.bound_uri, wrong, serializer, method, args, kwargs) from x
        raise
