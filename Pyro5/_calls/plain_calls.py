"""Answer plain calls: what `dispatch.Dispatcher` does for any request, in as few steps as possible for most of them.

Most requests of most programs are alike. They are small, carry no annotations but perhaps a deadline, and come from clients
that wait for each reply; they call an ordinary method, and the result is a number, a short text or a small container. On the
thread server, answering one takes 610 byte codes here with serpent, and 1 150 with message objects for request and reply.

A request that is anything else is left to the dispatcher, before anything has been done for it. From the moment on when the
call has begun, this does the same as the dispatcher, in the same order, and uses its methods for what is rare.
"""
from __future__ import annotations

import struct
import sys
from contextvars import copy_context
from typing import Any, Optional, Tuple, Union

from .. import NamedTuple, errors
from .._messages.requests import ARGUMENTS, Call, checked_call, no_call
from .._net import forks
from .._values.mismatch import CallMismatch
from .._wire import features
from ..callcontext import get_request, new_correlation_bytes
from ..configure import global_version
from ..protocol import (FLAGS_CORR_ID, HEADER_END, HEADER_SIZE, MSG_INVOKE, MSG_RESULT, PLAIN_HEADER, ReceivingMessage,
                        SendingMessage, header_begin)
from ..serializers import SerializerBase
from .decoding import SHORT_REQUEST_BYTES
from .dispatch import Dispatcher
from .reply_encoding import joined

_unpack, _pack = PLAIN_HEADER.unpack_from, PLAIN_HEADER.pack
_SHORT_BYTES = HEADER_SIZE + SHORT_REQUEST_BYTES


class _Form(NamedTuple):
    """What the plain requests of a client have in common, and their replies, as long as no setting changes."""

    version: int  # of the settings
    begin: bytes
    reply_begin: bytes
    serializer: SerializerBase
    flags: int


class PlainCalls:
    """Answers the plain calls of a daemon. Thread-safe.

    Args:
        daemon: its methods handleRequest and annotations are respected, whenever they are replaced.
        handle_request: what its method handleRequest is unless the program has replaced it.
    """

    def __init__(self, daemon: Any, dispatcher: Dispatcher, handle_request: Any) -> None:
        self._daemon, self._handle_request = daemon, handle_request
        self._dispatcher = dispatcher
        self._version = -1  # of the settings, see set_options
        self._max_bytes = 0

    def set_options(self, version: int) -> None:
        """Use the options that the dispatcher has from now on, which are those of this version of the settings."""
        options = self._dispatcher.options
        self._max_bytes = HEADER_SIZE + (options.wire.max_size or sys.maxsize)
        self._version = -1 if options.log_wire or options.stall_seconds > 0 else version

    def answer(self, connection: Any, data: bytes, large: Optional[bytes] = None) -> bool:
        """Answer a request if it is a plain one, and send the reply. Otherwise return False: nothing has been done.

        Args:
            connection: its attribute is_plain is set, and is cleared if something is left to do. What its requests have in
                common is stored in it.
            data: what has been received; or the header alone.
            large: the payload that belongs to the header, of a size that is accepted.

        Raises:
            OSError: the connection is lost.
            BaseException: a method raised SystemExit, KeyboardInterrupt or GeneratorExit.
        """
        try:
            begin, seq, sizes, correlation_id, end = _unpack(data)
        except struct.error:
            return False  # not even a header
        form = connection.form
        if form is None or form.version != global_version.number or form.begin != begin:
            form = self._new_form(connection, begin)
        size = len(data) if large is None else HEADER_SIZE + len(large)  # as it was received
        if (form is None or end != HEADER_END or size > self._max_bytes
                or self._daemon.handleRequest != self._handle_request):
            return False
        left: Optional[float] = None
        if large is None:
            if sizes != size - HEADER_SIZE << 32:  # it has annotations, or is no message
                data, left = _without_deadline(connection, data)
                if left is None:
                    return False
            if size > _SHORT_BYTES:
                large = data[HEADER_SIZE:]  # decoded as those that have arrived apart from their header
        if not form.flags:
            correlation_id = new_correlation_bytes()
        number = forks.number
        # As in Dispatcher.answer(): variables that this request sets do not reach the next one.
        reply = copy_context().run(self._call, connection, form, seq, correlation_id, data, large, size, left)
        if forks.number != number:
            raise SystemExit(0)  # as in Daemon.handleRequest()
        if type(reply) is bytes:
            # As send_message(), whose calls would take 40 byte codes more.
            size = len(reply)
            connection.bytes_sent += size
            sent = connection.write(reply)
            if sent < size:
                connection.store([reply], sent)
                connection.is_plain = False
            return True
        if reply is not None:
            connection.send_message(reply)
        connection.is_plain = connection.stays_plain
        return True

    def _new_form(self, connection: Any, begin: bytes) -> Optional[_Form]:
        """Return the form of the plain requests of a client, which begin like this. None: they are no plain ones, or a setting
        has changed.
        """
        version, serializer_id = self._version, begin[7]
        if not connection.settings_version == version == global_version.number:
            return None
        for flags in (0, FLAGS_CORR_ID):
            if begin == header_begin(MSG_INVOKE, serializer_id, flags):
                try:
                    serializer = self._dispatcher.serializers[serializer_id, connection.features]
                except errors.SerializeError:
                    return None  # the dispatcher refuses it
                form = _Form(version, begin, header_begin(MSG_RESULT, serializer_id), serializer, flags)
                connection.form = form
                return form
        return None

    def _call(self, connection: Any, form: _Form, seq: int, correlation_id: bytes, data: bytes,
              large: Optional[bytes], size: int, left: Optional[float]) -> Union[bytes, SendingMessage, None]:
        """Run a call, and return its reply; None if it is sent later. Runs in a context of its own."""
        call: Any = None
        dispatcher, serializer = self._dispatcher, form.serializer
        running = dispatcher.running.begin_plain(connection, seq, form.flags, serializer.serializer_id, correlation_id, size,
                                                 left)
        try:
            object_id, method, args, kwargs = (serializer.loadsCall(data[HEADER_SIZE:]) if large is None
                                               else dispatcher.decoder.parse_long(large, serializer))
            if not (type(kwargs) is dict and type(args) in ARGUMENTS and type(object_id) is str and type(method) is str):
                call = checked_call(object_id, method, args, kwargs)
                return dispatcher.answer_call(connection, _message(data, large), call, serializer, running)
            call = object_id, method, args, kwargs  # from here on, errors are those of this call
            running.method = method
            running.object_id = object_id  # before the look at `holders`, see ExclusiveUse.acquire
            # The object last, as answer_call() does: a call that was cancelled ends in the same way if it does not exist.
            if (running.reason or dispatcher.exclusive.holders or dispatcher.gate is not None
                    or (published := dispatcher.objects.by_id[object_id]).members.roles
                    or not dispatcher.runs_at_once or method not in published.direct):
                return dispatcher.answer_call(connection, _message(data, large), Call(*call), serializer, running)
            instance = published.fixed_instance
            function = getattr(published.instance_for(connection) if instance is None else instance, method)
            try:
                value = function(*args, **kwargs)
            except Exception as x:
                dispatcher.call_error_handler(connection, function, args, kwargs, x)
                raise
            from_method, own = get_request().response, self._daemon.annotations()
            payload = None if from_method or own else dispatcher.plain_payload(running, serializer, value)
            if type(payload) is bytes and len(payload) <= dispatcher.small_size:
                return _pack(form.reply_begin, seq, len(payload) << 32, correlation_id, HEADER_END) + payload
            return dispatcher.any_reply(running, serializer, value, payload, joined(from_method, own))
        except Exception as x:  # user code, and any error that malformed data causes
            error: Exception = dispatcher.decoder.named(x) if isinstance(x, CallMismatch) else x
            frames = x.__traceback__
            if call is None and isinstance(x, (TypeError, ValueError)) and frames is not None and frames.tb_next is None:
                error = no_call(serializer, x)  # raised here: what loadsCall() has returned could not be unpacked
            return dispatcher.error_reply(connection, _message(data, large), correlation_id, call and Call(*call), error)
        finally:
            if not running.runs_elsewhere:
                dispatcher.running.end(running)


def _without_deadline(connection: Any, data: bytes) -> Tuple[bytes, Optional[float]]:
    """Return a request without its deadline, and the seconds that it has left; None if it has others, or is no message."""
    begin, seq, sizes, correlation_id, end = _unpack(data)
    size, payload_at = sizes >> 32, HEADER_SIZE + (sizes & 0xFFFFFFFF)
    if payload_at + size != len(data) or features.DEADLINES not in (connection.features or ()):
        return data, None
    left = features.parse_deadline_chunk(data[HEADER_SIZE:payload_at])
    return _pack(begin, seq, size << 32, correlation_id, end) + data[payload_at:], left


def _message(data: bytes, large: Optional[bytes]) -> ReceivingMessage:
    return ReceivingMessage(data, data[HEADER_SIZE:] if large is None else large)
