"""Answer handshakes: the first message of each client, and what a client receives when it is accepted."""
from __future__ import annotations

import functools
import logging
from typing import Any, Callable, Optional, Tuple

from .. import callcontext, errors, protocol
from .._messages import handshake, replies
from .._messages.handshake import Challenged
from .._messages.out_of_band import options_for
from .._net.shared_memory import host_of, shared_with
from .._objects.members import Members
from .._objects.objects import ObjectTable
from .._wire import features
from ..protocol import ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from .decoding import Turns
from .error_log import HANDSHAKE
from .reply_encoding import DispatchOptions, ReplyEncoding

log = logging.getLogger("Pyro5.server.dispatch")

SHORT_HANDSHAKE_BYTES = 4096  # longer ones are decoded one at a time


class Moved(Exception):
    """Another process answers the handshake."""


class HandshakeReplies(ReplyEncoding):
    """The part of a dispatcher that answers handshakes. Thread-safe.

    Args:
        daemon: its documented method validateHandshake is called.

    Attributes:
        find_custom_get_metadata: returns the function that makes the metadata of an object for the handshake (called
            with the object id), or None to use the exposed members.
        move: called with a connection, its first message, the features that this announces, and the id of an object that
            does not exist; returns whether another process, which has the object, answers the handshake.
        gate: decides which clients are accepted before validateHandshake is called; None accepts all.
    """

    def __init__(self, daemon: Any, options: DispatchOptions, objects: ObjectTable) -> None:
        super().__init__(daemon, options)
        self.objects = objects
        self.find_custom_get_metadata: Callable[[], Optional[Callable[[str], Any]]] = lambda: None
        self.move: Callable[[Any, ReceivingMessage, Any, str], bool] = lambda *args: False  # there is one process
        self.gate: Any = None
        self._long_handshakes = Turns()

    def _answer_handshake(self, connection: Any, message: ReceivingMessage, correlation_id: bytes) -> Optional[SendingMessage]:
        serializer = None
        try:
            serializer = self._handshake_serializer(message)
            data = self._begin_handshake(connection, message, serializer, correlation_id)
            response = self._daemon.validateHandshake(connection, data)
            return self._accept_handshake(connection, message, serializer, response, correlation_id)
        except Moved:
            return None
        except Exception as x:  # validateHandshake of the program, and any error that malformed data causes
            return self._refuse_handshake(connection, message, serializer, x, correlation_id)

    def _handshake_serializer(self, message: ReceivingMessage) -> SerializerBase:
        """Return the serializer of a handshake. Raises ProtocolError if the message is another one."""
        if message.type != protocol.MSG_CONNECT:
            raise errors.ProtocolError("invalid message type %d: a connection begins with CONNECT (%d)"
                                       % (message.type, protocol.MSG_CONNECT))
        return self._serializer_for(message)

    def _begin_handshake(self, connection: Any, message: ReceivingMessage, serializer: SerializerBase,
                         correlation_id: bytes) -> Any:
        """Parse a handshake, and return the data that validateHandshake has to check."""
        # removed: the application sees the annotations that the application of the client has sent
        announced = message.annotations.pop(features.FEATURES_ANNOTATION, None)
        connection.features = features.parse(announced, "" if announced is None else host_of(connection.sock))
        if not serializer.has_dialects:
            connection.features = features.without_dialect(connection.features)
        # Without a gate, an annotation of this name belongs to the application.
        proof = None if self.gate is None else message.annotations.pop(handshake.AUTH_ANNOTATION, None)
        request = callcontext.Request()
        request.connection, request.peer_address = connection, connection.peer_address
        request.seq, request.flags, request.serializer_id = message.seq, message.flags, message.serializer_id
        request.annotations, request.correlation_id = dict(message.annotations), correlation_id
        callcontext.begin_request(request)
        object_id, data = self._parse_connect_request(message, serializer)
        if proof is None and object_id not in self.objects and self.move(connection, message, announced, object_id):
            raise Moved
        # Set before validateHandshake is called, which may look at it.
        connection.objectId = object_id
        if self.gate is not None:
            connection.server_proof = self.gate.authenticate(connection, proof, object_id)
        return data

    def _accept_handshake(self, connection: Any, message: ReceivingMessage, serializer: SerializerBase, response: Any,
                          correlation_id: bytes) -> SendingMessage:
        """Return the reply with what validateHandshake has returned, and mark the handshake as accepted."""
        payload = accepting_payload(connection, self.objects, self.find_custom_get_metadata(), serializer, response)
        annotations = self._annotations()
        if connection.features is not None:
            annotations = {**annotations, features.FEATURES_ANNOTATION: features.announcement(
                connection.features, host_of(connection.sock))}
        if self.gate is not None and connection.server_proof is not None:
            annotations = {**annotations, handshake.AUTH_ANNOTATION: connection.server_proof}
        reply = handshake.connect_accepted(message, serializer, payload, correlation_id, annotations, self._wire)
        connection.finish_handshake()
        connection.use_buffers(options_for(connection.features, shared_with(connection.features, is_client=False)))
        return reply

    def _refuse_handshake(self, connection: Any, message: ReceivingMessage, serializer: Optional[SerializerBase],
                          error: Exception, correlation_id: bytes) -> Optional[SendingMessage]:
        """Return the reply to a handshake that failed, and mark the connection as closing.

        Args:
            serializer: None if the message could not be decoded at all.
        """
        if isinstance(error, Challenged):
            # The client sends a second CONNECT message then, with its proof.
            connection.expect_another_handshake()
            return handshake.connect_refused(message, serializer, str(error), correlation_id, self._wire, error.annotation)
        connection.closing = True
        self.on_refusal(HANDSHAKE)
        if isinstance(error, errors.ConnectionClosedError):
            log.info("handshake with %s ended without an answer: %s", connection.peer_address, error)
            return None
        log.warning("handshake with %s refused: %s: %s", connection.peer_address, type(error).__name__,
                    errors.one_line(replies.text_of(error)))
        log.debug("the refused handshake", exc_info=error)
        return handshake.connect_refused(message if serializer else None, serializer, replies.text_of(error), correlation_id,
                                         self._wire)

    def _parse_connect_request(self, message: ReceivingMessage, serializer: SerializerBase) -> Tuple[str, Any]:
        """Parse the data of a handshake; long ones one at a time.

        Clients that have not finished their handshake are not trusted yet. However many of them send costly data, only
        one thread at a time decodes it, so the others serve established clients. The wait is bounded, because
        converters of the program may block.
        """
        if len(message.data) <= SHORT_HANDSHAKE_BYTES:
            return handshake.parse_connect_request(message, serializer)
        return self._long_handshakes.run(handshake.parse_connect_request, message, serializer)


MAX_KEPT_TEXT = 200  # characters of a handshake response that many clients may get: longer ones take much memory to keep


def accepting_payload(connection: Any, objects: ObjectTable, get_metadata: Optional[Callable[[str], Any]],
                      serializer: SerializerBase, response: Any) -> bytes:
    """Return the payload of the reply that accepts a client. Most clients of an object get the same one, so it is kept.

    Args:
        connection: its ``objectId`` is the object that the client connects to.
        get_metadata: returns the metadata of the object with this id; None: it is what the object exposes.
        response: what validateHandshake returned.
    """
    published = objects.get(connection.objectId)
    # A client without the feature must not see a key in the metadata that 5.x never sent.
    has_sessions = None if connection.features is None else objects.has_sessions(published)
    if get_metadata is not None:
        own = get_metadata(published.object_id)
        # The result belongs to the program, which may use the same dict again: a copy gets the additional key.
        if has_sessions is not None and type(own) is dict:
            own = {**own, "session": has_sessions}
        return handshake.accepted_payload(serializer, response, own)
    # A str is immutable and compares by value, so it can be part of the key of the cache. Other responses may change
    # between two clients.
    if type(response) is str and len(response) <= MAX_KEPT_TEXT:
        return _kept_payload(serializer, response, published.members, has_sessions)
    return handshake.accepted_payload(serializer, response, published.members.metadata_for(has_sessions))


# Saves serializing the metadata for each client. Members compare by value, so an object whose members have changed
# gets another entry.
@functools.lru_cache(maxsize=128)
def _kept_payload(serializer: SerializerBase, response: str, members: Members, has_sessions: Optional[bool]) -> bytes:
    return handshake.accepted_payload(serializer, response, members.metadata_for(has_sessions))
