"""A connection of a client: perform the handshake, send requests and receive their replies.

This module does not know about proxies. It is the only place of the client that translates the errors of sockets: a timeout
into TimeoutError, a closed or broken connection into ConnectionClosedError, an address that cannot be reached into
CommunicationError.
"""
from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any, Callable, FrozenSet, List, Mapping, Optional, Sequence, Set, Tuple, Union

from .. import callcontext, config, errors, protocol, socketutil
from .._auth import client_exchange
from .._messages import handshake, replies, requests
from .._messages.out_of_band import BufferOptions, options_for
from .._messages.requests import WireOptions
from .._net import busy_poll, stream_sockets
from .._net.shared_memory import host_of, shared_with
from .._wire import features
from .._wire.reader import RECEIVE_BYTES, MessageReader
from ..protocol import (HEADER_END, HEADER_SIZE, MAX_SCATTERED_BUFFERS, MSG_RESULT, PLAIN_HEADER, Buffer, ReceivingMessage,
                        SendingMessage)
from ..serializers import SerializerBase
from .call_options import earlier
from .failures import handshake_hint

log = logging.getLogger("Pyro5.connection")

# Limit of a decompressed reply, in multiples of MAX_INFLATED_SIZE. Higher than that of requests: a client chooses the server
# that it connects to, a server does not choose its clients.
REPLY_INFLATED_FACTOR = 16
_ANY_SIZE = 0xFFFFFFFF  # the largest size that a header can announce
_pack = PLAIN_HEADER.pack
SEND_STEP_BYTES = 1024 * 1024  # the timeout applies to each step of a large message, not to the whole message


class Connection(socketutil.SocketConnection):
    """A connection to one remote object. Not thread-safe: one thread uses it at a time.

    Args:
        target: the name and location of the object, for the texts of errors and logs.
        max_size: size of the largest message to accept, in bytes; 0 is no limit.
        keep_open: leave the socket open in `close`, because the program that passed it in owns it.

    Attributes:
        mid_exchange: whether an exchange has begun and is not complete. If an exception ends the exchange this remains set:
            the next bytes to arrive may be the reply to the earlier request, so the connection must not be used again.
        reply_is_due: whether the request of the exchange was sent completely.
        features: the features that the server uses, see _wire.features; None for a server of another release.
        dialect: of payloads, see SerializerBase.for_dialect.
        buffers: how large buffers may be sent, see _messages.out_of_band.
        form: what the plain calls over this connection have in common, see plain_calls.call_plainly; None: not known yet.
        lock: held by the thread that uses the connection, from the request until the reply is complete.
        user: identifier of the thread that holds the lock; 0 while none does, and for a moment after it was acquired.
        call_id: correlation id of the call in flight, or of the last one.
        deadline: monotonic time by which the exchange has to end; None: only the timeout of the socket applies.
        late: sequence numbers of calls that were given up. Their replies still arrive, and are discarded.
        streams: ids of the item streams that were opened over this connection and are not exhausted.
        idle_since: monotonic time of the last use; only kept for the further connections of a shared proxy.
        is_suspect: whether another connection to the server was lost since this one was used.
        generation: how often the proxy was connected before.
        exclusive_blocks: how many blocks are using the object exclusively over this connection.
    """

    def __init__(self, sock: socket.socket, target: str, max_size: int = 0, keep_open: bool = False) -> None:
        super().__init__(sock, keep_open=keep_open)
        self.target = target
        self.mid_exchange = False
        self.reply_is_due = False
        self.features: Optional[FrozenSet[str]] = None
        self.dialect = 0
        self.buffers: Optional[BufferOptions] = None
        self.form: Any = None
        self.lock = threading.Lock()
        self.user = 0
        self.call_id: Optional[bytes] = None
        self.deadline: Optional[float] = None
        self.late: Set[int] = set()
        self.streams: Set[str] = set()  # not a count: finalizers change it, too, and each change of a set is atomic
        self.idle_since = 0.0
        self.is_suspect = False
        self.generation = 0
        self.exclusive_blocks = 0
        self._reader = MessageReader(max_size, max_inflated=REPLY_INFLATED_FACTOR * (config.MAX_INFLATED_SIZE or 0))
        # The first bytes of a reply are received from here: the socket, or an object that polls it before it blocks.
        self._incoming = busy_poll.receiver_for(sock, is_client=True)
        self._can_scatter = hasattr(sock, "sendmsg") and not hasattr(sock, "getpeercert")  # TLS sockets have no sendmsg
        self._log_wire = bool(config.LOGWIRE)

    def read_settings(self, max_size: int) -> None:
        """Apply the current settings, and this limit in bytes, from the next message on."""
        self._reader.max_size = max_size
        self._reader.max_inflated = REPLY_INFLATED_FACTOR * (config.MAX_INFLATED_SIZE or 0)
        self._log_wire = bool(config.LOGWIRE)
        self._incoming = busy_poll.receiver_for(self.sock, self._incoming, is_client=True)

    def handshake(self, serializer: SerializerBase, seq: int, object_id: str, value: Any, wire: WireOptions,
                  dialect: bool = True, extra: Sequence[str] = ()) -> Tuple[Any, Optional[Mapping[str, Any]]]:
        """Perform the handshake. The timeout of the connection is the limit of all of it together.

        Args:
            value: application data for the server's `Daemon.validateHandshake`.
            dialect, extra: see handshake.connect_request.

        Returns:
            The handshake response of the server, and the metadata of the object (None if the server did not send it).

        Raises:
            CommunicationError: the server refused the connection, or its answer cannot be parsed.
        """
        proofs = client_exchange(object_id, self.sock, self.target, handshake.has_secrets(value))
        host = host_of(self.sock)
        proof = None if proofs is None else proofs.hello
        timeout = self.sock.gettimeout()
        self.deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                reply = self._exchange(handshake.connect_request(
                    serializer, seq, object_id, value, wire, dialect, proof=proof, host=host, extra=extra,
                    withholds=proofs is not None and proofs.withholds), None)
                proof = None if proofs is None else proofs.answer_to(reply)
                if proof is None:
                    break
        except errors.ConnectionClosedError as x:
            # A server that ends the connection here sends no reason: most often one side uses TLS and the other does not.
            x.args = ("%s (%s)" % (x, handshake_hint(hasattr(self.sock, "getpeercert"))),)
            raise
        except errors.TimeoutError as x:
            x.args = ("%s (the server did not answer the handshake: is its request loop running?)" % x,)
            raise
        finally:
            self.deadline = None
        # The features are removed: the application sees the annotations that the application of the server has sent.
        self.features = features.parse(reply.annotations.pop(features.FEATURES_ANNOTATION, None), host)
        self.dialect = features.dialect_of(self.features)
        server_proof = None if proofs is None else reply.annotations.pop(handshake.AUTH_ANNOTATION, None)
        self.buffers = options_for(self.features, shared_with(self.features, is_client=True))
        if self.buffers is not None:
            self._reader.has_chunks, self._reader.shared = True, self.buffers.shared
        # before the reply is parsed: a refusal carries annotations as well
        callcontext.set_received_response(reply.annotations)
        try:
            result = handshake.parse_connect_reply(reply)
        except errors.CommunicationError as x:
            errors.add_context(x, self._activity(None))
            raise
        if proofs is not None:
            proofs.finish(server_proof)
        self.mid_exchange = False
        return result

    def round_trip(self, request: SendingMessage, method: str) -> ReceivingMessage:
        """Send a request, wait for its reply, and return it.

        Args:
            method: the name of the called method, for the texts of errors.

        Raises:
            TimeoutError: the reply did not arrive in time.
            ConnectionClosedError: the connection was closed before the reply was complete.
            ProtocolError: the message that arrived is not the reply to this request.
        """
        return self._awaited(self._exchange(request, method), request.seq, request.serializer_id, method)

    def plain_round_trip(self, request: bytes, seq: int, reply_begin: bytes, correlation_id: bytes,
                         method: str) -> Union[bytes, ReceivingMessage]:
        """Do the same as `round_trip` for an encoded request, which is not logged.

        Returns:
            the payload of a reply that arrives in one receive, or is one of several large ones, and is an ordinary result,
            which begins with `reply_begin` (see protocol.PLAIN_HEADER); otherwise the reply.
        """
        reader = self._reader
        # Something else has been received already, or it is probably a large one.
        if reader.position or reader.expects_large:
            return self.large_round_trip([request], seq, reply_begin, correlation_id, method)
        self.mid_exchange = True
        try:
            self.sock.sendall(request)
            data: bytes = self._incoming.recv(RECEIVE_BYTES)
        except OSError as x:
            raise socketutil.communication_error(self._activity(method), x) from x
        # The whole header of this reply is known, so one comparison is enough instead of a ReceivingMessage: saves 300 byte
        # codes. The mask is for less data than a header, which never matches.
        if data.startswith(_pack(reply_begin, seq, (len(data) - HEADER_SIZE & _ANY_SIZE) << 32, correlation_id, HEADER_END)):
            self.mid_exchange = False
            return data[HEADER_SIZE:]
        if not data:
            raise socketutil.communication_error(self._activity(method), None) from EOFError()
        reader.feed(data)
        return self._awaited(self._exchange(None, method, True), seq, reply_begin[7], method)

    def large_round_trip(self, request: List[Buffer], seq: int, reply_begin: bytes, correlation_id: bytes,
                         method: str) -> Union[bytes, ReceivingMessage]:
        """Do the same as `plain_round_trip` for a request in pieces, or one before a reply that is probably a large one."""
        reader = self._reader
        if reader.position or not (reader.expects_large and self._can_scatter):
            return self._awaited(self._exchange(request, method), seq, reply_begin[7], method)
        self.mid_exchange = True
        try:
            self._send_large(request)
            data, large = reader.receive_large(self._incoming, self.sock, self._has_no_timeout)
        except OSError as x:
            raise socketutil.communication_error(self._activity(method), x) from x
        if large is None:
            reader.feed(data)
            return self._awaited(self._exchange(None, method, True), seq, reply_begin[7], method)
        if data == _pack(reply_begin, seq, len(large) << 32, correlation_id, HEADER_END):
            self.mid_exchange = False
            return large
        return self._awaited(ReceivingMessage(data, large), seq, reply_begin[7], method)

    def _awaited(self, reply: ReceivingMessage, seq: int, serializer_id: int, method: str) -> ReceivingMessage:
        """Return the first message that is the awaited reply: this one, or one that follows late replies."""
        # An unexpected reply has another sequence number. The caller then closes the connection: mid_exchange is still set.
        while reply.type != MSG_RESULT or reply.seq != seq or reply.serializer_id != serializer_id:
            if not (reply.type == MSG_RESULT and reply.seq in self.late):
                raise self._mismatch(reply, seq, serializer_id, method)
            self.late.discard(reply.seq)
            reply = self._exchange(None, method)
        self.mid_exchange = False
        return reply

    def round_trip_until(self, deadline: float, request: SendingMessage, method: str,
                         replaces_timeout: bool = False) -> ReceivingMessage:
        """Do the same as `round_trip`, but end at this monotonic time at the latest.

        Args:
            replaces_timeout: whether the timeout of the connection does not apply.
        """
        # Anything that fails here fails before the first byte is sent, so that the call may be repeated.
        try:
            timeout = self.sock.gettimeout()
            left = _seconds_left(deadline)
            self.sock.settimeout(left if timeout is None or replaces_timeout else min(left, timeout))
        except OSError as x:  # the deadline has passed, or another thread has closed the connection
            raise errors.not_sent(socketutil.communication_error(self._activity(method), x)) from None
        try:
            self.deadline = deadline
            return self.round_trip(request, method)
        finally:
            self.deadline = None
            with contextlib.suppress(OSError):  # closed by another thread
                self.sock.settimeout(timeout)

    def send_oneway(self, request: SendingMessage, method: str) -> None:
        """Send a request that has no reply. Raises the same exceptions as `round_trip`."""
        self.mid_exchange = True
        try:
            self._send(request)
        except OSError as x:
            raise socketutil.communication_error(self._activity(method), x) from x
        self.mid_exchange = False

    def send_if_ready(self, request: SendingMessage) -> bool:
        """Send a small request that has no reply, if that is possible without blocking. Must not be called during an exchange.

        Returns:
            Whether all of it was sent. If only a part of it was sent, mid_exchange is set, and the connection is unusable.
        """
        # Non-blocking mode for one send. A finalizer may have interrupted this thread anywhere, but not during an exchange
        # (mid_exchange is checked by the caller), so no other code relies on the timeout now.
        data = b"".join(request.buffers)
        timeout = self.sock.gettimeout()
        self.mid_exchange = True
        try:
            self.sock.settimeout(0)
            try:
                sent = self.sock.send(data)
            finally:
                self.sock.settimeout(timeout)
        except (BlockingIOError, InterruptedError):  # nothing was sent, and the connection can be used as before
            sent = 0
        except OSError:
            return False
        # A TLS socket that could not send expects exactly the same data in the next call, so it cannot be used for other data.
        self.mid_exchange = sent != len(data) and (sent != 0 or hasattr(self.sock, "getpeercert"))
        return sent == len(data)

    def call(self, serializer: SerializerBase, seq: int, object_id: str, method: str, args: Sequence[Any],
             wire: WireOptions) -> Any:
        """Call a method and return its result. Raises the exceptions of `round_trip`, and the one that the method raised."""
        serializer = serializer.for_dialect(self.dialect)
        request = requests.invoke_request(serializer, seq, 0, object_id, method, args, {}, wire)
        return replies.parse_reply(self.round_trip(request, method), serializer)

    @property
    def receiving(self) -> Tuple[int, int]:
        """The bytes received of a large reply, and its size in bytes; (0, 0) at other times. Any thread may read this."""
        return self._reader.body_progress

    def admit_replies(self, admit: Callable[[int], object]) -> None:
        """Call a function with the size of each large reply before memory is allocated for it; its exception ends the call."""
        self._reader.admit = admit

    def peer_has_closed(self) -> bool:
        """Return whether the server has closed the connection, as far as the system can tell."""
        try:
            return bool(stream_sockets.peer_has_closed(self.sock))
        except (OSError, ValueError):  # closed on this side
            return True

    def close(self) -> None:
        """Close the socket, and free the memory that is shared with the server. Any thread may call this."""
        self.buffers = self._reader.shared = None
        super().close()

    def close_inherited(self) -> None:
        """Close the descriptor of a connection that was inherited by a fork; the parent process can still use its own."""
        if not self.keep_open:
            self.sock.close()  # without shutdown(), which would end the connection for the parent process as well

    def _exchange(self, request: Union[SendingMessage, List[Buffer], None], method: Optional[str],
                  has_begun: bool = False) -> ReceivingMessage:
        """Send a request, and receive a message; without a request, the next message after the late reply to another call, or
        the message of which a part has been received (has_begun).
        """
        reader = self._reader
        reply = None
        try:
            if request is not None:
                # Set before the first byte is sent. The caller clears it when the reply was checked: any exception leaves it.
                self.mid_exchange, self.reply_is_due = True, False
                if isinstance(request, list):
                    self._send_large(request)
                else:
                    self._send(request)
                self.reply_is_due = True
            if request is None or self.late:
                reply = reader.next_message()  # it may have arrived together with a late one
            # Most replies arrive in one receive. Only the others need a deadline, which costs a system call per receive.
            if reply is None and reader.expects_large and self._can_scatter and self.deadline is None:
                data, large = reader.receive_large(self._incoming, self.sock, self._has_no_timeout)
                if large is None:
                    reader.feed(data)
                else:
                    reply = ReceivingMessage(data, large)
            elif reply is None and (not has_begun or self._has_no_timeout()) and not reader.receive_from(self._incoming):
                raise EOFError
            reply = reply or reader.next_message() or self._receive_rest()
        except OSError as x:
            raise socketutil.communication_error(self._activity(method), x) from x
        except EOFError as x:
            raise socketutil.communication_error(self._activity(method), None) from x
        except errors.MessageTooLargeError as x:  # a MessageTooLargeError means the limit of the server, this is ours
            raise errors.ProtocolError("%s: %s" % (self._activity(method), x)) from None
        except errors.ProtocolError as x:
            errors.add_context(x, self._activity(method))
            raise
        if self._log_wire:
            protocol.log_wiredata(log, "received from %s" % self.target, reply)
        return reply

    def _activity(self, method: Optional[str]) -> str:
        return "calling %s of %s" % (method, self.target) if method else "connecting to %s" % self.target

    def _mismatch(self, reply: ReceivingMessage, seq: int, serializer_id: int, method: str) -> errors.ProtocolError:
        activity = self._activity(method)
        if reply.type != MSG_RESULT:
            return errors.ProtocolError("%s: the reply is a message of type %d, expected %d"
                                        % (activity, reply.type, MSG_RESULT))
        if reply.seq != seq:
            return errors.ProtocolError("%s: reply out of sync, its sequence number is %d, expected %d"
                                        % (activity, reply.seq, seq))
        return errors.SerializeError("%s: the reply uses serializer %d, the request used %d"
                                     % (activity, reply.serializer_id, serializer_id))

    def _send(self, request: SendingMessage) -> None:
        if self._log_wire:
            protocol.log_wiredata(log, "sending to %s" % self.target, request)
        buffers = request.buffers
        if len(buffers) == 1:
            self.sock.sendall(buffers[0])
        else:
            self._send_large(buffers)

    def _send_large(self, buffers: List[Buffer]) -> None:
        sent = 0
        # one system call without joining the buffers; it may send only a part, the loop sends the rest
        if self._can_scatter:
            sent = self.sock.sendmsg(buffers[:MAX_SCATTERED_BUFFERS])
            if sent == sum(map(len, buffers)):
                return  # of 100 KB nearly always all; saves 130 byte codes
        # In steps: the timeout of a socket applies to the whole of sendall(), also while a slow network makes progress.
        for buffer in buffers:
            view = memoryview(buffer)
            # What sendmsg() has sent is skipped, which may end within a buffer.
            for start in range(min(sent, len(view)), len(view), SEND_STEP_BYTES):
                if self.deadline is not None:
                    self.sock.settimeout(_seconds_left(self.deadline))
                self.sock.sendall(view[start:start + SEND_STEP_BYTES])
            sent = max(sent - len(view), 0)

    def _has_no_timeout(self) -> bool:
        """Return whether the client may wait for each part of a reply: the timeout applies to all of it, see _receive_step."""
        return self.sock.gettimeout() is None

    def _receive_rest(self) -> ReceivingMessage:
        """Receive the rest of a message of which the first receive returned only a part."""
        timeout = self.sock.gettimeout()
        try:
            message = None
            while message is None:
                message = self._receive_step(timeout)
            return message
        finally:
            if timeout is not None:
                self.sock.settimeout(timeout)  # _receive_step() has shortened it

    def _receive_step(self, timeout: Optional[float]) -> Optional[ReceivingMessage]:
        """Receive up to RECEIVE_BYTES, and return the message if it is complete.

        The timeout applies to the whole step, and during a handshake to the whole handshake. If it applied to each receive, a
        server that sends a byte now and then could block the client for ever; and any host can answer a broadcast.
        """
        deadline = self.deadline
        # The timeout applies to each step, so that a large reply over a slow network may take longer in total.
        if timeout is not None:
            deadline = earlier(deadline, time.monotonic() + timeout)
        received_bytes = 0
        message = None
        while message is None and received_bytes < RECEIVE_BYTES:
            if deadline is not None:
                self.sock.settimeout(_seconds_left(deadline))
            count = self._reader.receive_from(self.sock)
            if not count:
                raise EOFError
            received_bytes += count
            message = self._reader.next_message()
        return message


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    return left
