"""The part of a dispatcher that replies have in common: their serializers, annotations and tracebacks."""
from __future__ import annotations

import logging
import sys
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

from .. import NamedTuple, callcontext, errors, serializers
from .._messages import handshake, replies
from .._messages.replies import ReplyTo
from .._messages.requests import WireOptions
from .._values.large_buffers import has_no_buffers
from .._wire import features
from .._wire.chunks import MIN_SHARED_BYTES
from ..callcontext import get_request
from ..protocol import COMPRESS_ABOVE_BYTES, JOIN_UP_TO_BYTES, Payload, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from .error_log import HANDSHAKE, INVALID
from .exclusive import note_origin

log = logging.getLogger("Pyro5.server.dispatch")

_NUMBERS = frozenset((type(None), bool, int, float))
_CONTAINERS = frozenset((list, tuple, dict))
_TEXTS = frozenset((str, bytes))
SHORT_TEXT = 1000  # characters or bytes: less than what is sent beside the payload. The length of the payload counts as well


class DispatchOptions(NamedTuple):
    """The settings that a `Dispatcher` uses, see `Dispatcher.set_options`."""

    wire: WireOptions
    accepted_serializers: List[str]
    streaming: bool
    detailed_traceback: bool
    log_wire: bool
    statistics: int = 0  # the number of methods that are counted apart from each other, 0: nothing is counted
    stall_seconds: float = 0.0  # after which a call that still runs is logged, 0: never


def correlation_of(message: ReceivingMessage) -> bytes:
    """Return the correlation id of a message, a new one if it has none."""
    return message.corr_bytes or callcontext.new_correlation_bytes()


def joined(from_method: Optional[Dict[str, Any]], own: Dict[str, Any]) -> Dict[str, Any]:
    """Return the annotations that a method has set, updated by those of the daemon."""
    # A new dict only if both have annotations: most daemons have none.
    return {**(from_method or {}), **own} if own else from_method or {}


class AcceptedSerializers(Dict[Tuple[int, Optional[FrozenSet[str]]], SerializerBase]):
    """Serializers by their number and the features of the peer (None in a handshake). Thread-safe.

    Filled as they are asked for, so that a call costs one lookup. Several threads may find the same one: they store the same
    value.

    Args:
        names: of this package's serializers that are accepted.
    """

    def __init__(self, names: List[str]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, key: Tuple[int, Optional[FrozenSet[str]]]) -> SerializerBase:
        """Find a serializer when it is first asked for. Raises SerializeError, see `ReplyEncoding._serializer_for`."""
        serializer_id, peer = key
        serializer = serializers.get_serializer_by_id(serializer_id)
        # a serializer that the program has added is accepted without being in the setting
        if serializer.name not in self._names and serializers.is_own(serializer):
            raise errors.SerializeError(
                "serializer '%s' is not accepted by this server; use one of: %s (its setting SERIALIZERS_ACCEPTED)"
                % (serializer.name, ", ".join(self._names)))
        serializer = serializer.for_dialect(features.dialect_of(peer))
        if peer is not None and features.TEXT_BYTES in peer:
            serializer = serializer.with_text_bytes()
        self[key] = serializer
        return serializer


class ReplyEncoding:
    """Encodes replies. Thread-safe.

    Args:
        daemon: its documented method annotations is called.

    Attributes:
        on_refusal: called with the reason when a client is refused, see error_log.
    """

    def __init__(self, daemon: Any, options: DispatchOptions) -> None:
        self._daemon = daemon
        self.on_refusal: Callable[[str], None] = lambda reason: None
        self._use_options(options)

    def _use_options(self, options: DispatchOptions) -> None:
        self.options = options
        self._wire = max_size, compress = options.wire
        # The size of payloads that are sent as they are, and of those that are joined with their header.
        self.plain_size = min(max_size or sys.maxsize, COMPRESS_ABOVE_BYTES if compress else sys.maxsize)
        self.small_size = min(self.plain_size, JOIN_UP_TO_BYTES)
        self.serializers = AcceptedSerializers(options.accepted_serializers)

    def _serializer_for(self, message: ReceivingMessage, peer: Optional[FrozenSet[str]] = None) -> SerializerBase:
        """Return the serializer of a message, before any of its payload is decoded.

        Args:
            peer: the features of the peer; None for a handshake, in which they are not known yet.

        Raises:
            SerializeError: the serializer is unknown, not installed, or not accepted by this server.
        """
        return self.serializers[message.serializer_id, peer]

    def plain_payload(self, call: Any, serializer: SerializerBase, value: Any) -> Optional[Payload]:
        """Return the serialized result of a call, None if some of it may have to be sent beside the payload, or it is more
        than a value.

        Raises the error to send if it cannot be sent, see `replies.unsent_result`.
        """
        kind = type(value)
        try:
            if (kind in _NUMBERS or kind in _TEXTS and len(value) <= SHORT_TEXT
                    or kind in _CONTAINERS and has_no_buffers(value)):
                return serializer.dumps(value)
            if kind is str or kind is bytes and (serializer.sends_bytes_uncopied and len(value) < MIN_SHARED_BYTES
                                                 and not self._wire.compress):
                return serializer.value_payload(value)  # saves 90 byte codes of the general way
            return None
        except Exception as x:  # raised by the serializer, or by a converter of the program
            raise replies.unsent_result(x, value, serializer, "%s.%s" % (call.object_id, call.method)) from x

    def _annotations(self) -> Dict[str, Any]:
        """Return the annotations of a reply: those that the method set, updated by those of the daemon."""
        return joined(get_request().response, self._own_annotations())

    def _own_annotations(self) -> Dict[str, Any]:
        own: Dict[str, Any] = self._daemon.annotations()
        return own

    def _exception_reply(self, connection: Any, message: ReceivingMessage, correlation_id: bytes, error: Exception,
                         traceback_lines: Optional[List[str]] = None) -> SendingMessage:
        try:
            serializer = self._serializer_for(message, connection.features)
        except errors.SerializeError:
            serializer = self._serializer_for_refusal(message)
        try:
            annotations = self._own_annotations()
        # Also for errors: programs send session ids and the like with each reply.
        except Exception:  # annotations() of the program failed: the client still gets the first error
            log.exception("Daemon.annotations failed")
            annotations = {}
        to = ReplyTo(message.seq, serializer, correlation_id, annotations, self._wire)
        note_origin(error)
        return replies.exception_reply(to, error, self._traceback(error) if traceback_lines is None else traceback_lines)

    def build_refusal(self, connection: Any, error: errors.ProtocolError) -> Optional[SendingMessage]:
        """Build the reply for a client whose data cannot be parsed any further; None if no reply is possible."""
        correlation_id = callcontext.new_correlation_bytes()
        if error.retry_after is None:  # else the server is full, which is counted where it is noticed
            self.on_refusal(INVALID if connection.handshake_done else HANDSHAKE)
        if not connection.handshake_done:
            return handshake.connect_refused(None, None, str(error), correlation_id, self._wire,
                                             retry_after=error.retry_after)
        refused = connection.refused_message
        if refused is None:
            return None
        return self._exception_reply(connection, refused, correlation_id, error)

    @staticmethod
    def _serializer_for_refusal(message: ReceivingMessage) -> SerializerBase:
        """Return the serializer to encode a refusal in: that of the message if it is installed, although it is not
        accepted (encoding is safe), else marshal.
        """
        try:
            return serializers.get_serializer_by_id(message.serializer_id)
        except errors.SerializeError:
            return serializers.get_serializer("marshal")

    def _traceback(self, error: BaseException) -> List[str]:
        detailed = self.options.detailed_traceback
        tb = errors.without_own_frames(error.__traceback__)
        try:
            # The traceback of the other server is part of the text; without it, the client would see only the last
            # hop.
            if replies.remote_traceback(error):  # from another server: include its traceback
                return errors.get_pyro_traceback(type(error), error, tb, detailed)
            return errors.format_traceback(type(error), error, tb, detailed)
        except Exception as x:  # reading attributes and the text of an exception runs user code
            return ["%s; its traceback cannot be shown (%s)\n" % (type(error).__name__, type(x).__name__)]
