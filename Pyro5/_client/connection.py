"""
One connection of a client: connect, shake hands, send requests and wait for their replies.

This module knows neither proxies nor their rules. It translates what sockets report into this library's own errors,
once: a timeout into TimeoutError, an ended or broken connection into ConnectionClosedError, an address where nobody
answers into CommunicationError.
"""
from __future__ import annotations

import logging
import socket
import time
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from .. import callcontext, config, errors, protocol, socketutil
from .._net import busy_poll, tls
from .._wire import calls, handshake
from .._wire.calls import WireOptions
from .._wire.reader import RECEIVE_BYTES, MessageReader
from .._wire.uri import URI
from ..protocol import MAX_SCATTERED_BUFFERS, Buffer, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase

__all__ = ["Connection", "open_connection"]

log = logging.getLogger("Pyro5.connection")

REPLY_INFLATED = 16  # times MAX_INFLATED_SIZE: clients choose their servers, servers do not choose their clients
SEND_STEP_BYTES = 1024 * 1024  # a timeout counts for every step of a large message, not for all of it


class Connection(socketutil.SocketConnection):
    """
    A connection to one remote object; used by one thread at a time.

    Args:
        target: text that names the object and where it is, for messages.
        max_size: the largest message to accept, in bytes (0: any).
        keep_open: the socket belongs to somebody else; leave it open.

    Attributes:
        in_doubt: an exchange was not completed, so what arrives next may be the reply to an earlier request. Such a
            connection must not be used again.
    """

    def __init__(self, sock: socket.socket, target: str, max_size: int = 0, keep_open: bool = False) -> None:
        super().__init__(sock, keep_open=keep_open)
        self.target = target
        self.in_doubt = False
        self._reader = MessageReader(max_size, max_inflated=REPLY_INFLATED * (config.MAX_INFLATED_SIZE or 0))
        self._incoming = busy_poll.receiver_for(sock)  # what the first bytes of a reply are received from
        self._scatters = hasattr(sock, "sendmsg") and not hasattr(sock, "getpeercert")  # a TLS socket cannot
        self._log_wire = bool(config.LOGWIRE)
        self._deadline: Optional[float] = None  # of the handshake

    def read_settings(self, max_size: int) -> None:
        """Use the settings as they are now, and this limit, from the next message on."""
        self._reader.max_size = max_size
        self._reader.max_inflated = REPLY_INFLATED * (config.MAX_INFLATED_SIZE or 0)
        self._log_wire = bool(config.LOGWIRE)
        self._incoming = busy_poll.receiver_for(self.sock, self._incoming)

    def handshake(self, serializer: SerializerBase, seq: int, object_id: str, value: Any,
                  wire: WireOptions) -> Tuple[Any, Optional[Mapping[str, Any]]]:
        """
        Introduce the client to the server. All of it together may take as long as the timeout of the connection.

        Returns:
            the server's handshake value, and the metadata of the object (None if the server left it out).

        Raises:
            CommunicationError: the server refused, or what it answered is not understood.
        """
        request = handshake.connect_request(serializer, seq, object_id, value, wire)
        timeout = self.sock.gettimeout()
        self._deadline = None if timeout is None else time.monotonic() + timeout
        try:
            reply = self._exchange(request, None)
        except errors.ConnectionClosedError as x:
            x.args = ("%s (%s)" % (x, self._handshake_hint()),)
            raise
        except errors.TimeoutError as x:
            x.args = ("%s (the server did not answer the handshake: does its request loop run?)" % x,)
            raise
        finally:
            self._deadline = None
        callcontext.set_received_response(reply.annotations)
        try:
            result = handshake.parse_connect_reply(reply)
        except errors.CommunicationError as x:
            errors.add_context(x, self._activity(None))
            raise
        self.in_doubt = False
        return result

    def round_trip(self, request: SendingMessage, method: str) -> ReceivingMessage:
        """
        Send a request and wait for its reply.

        Args:
            method: what the request calls; only used for messages.

        Raises:
            TimeoutError: no answer in time.
            ConnectionClosedError: the connection ended before the reply was complete.
            ProtocolError: what arrived is not the reply to this request.
        """
        reply = self._exchange(request, method)
        if (reply.type != protocol.MSG_RESULT or reply.seq != request.seq
                or reply.serializer_id != request.serializer_id):
            raise self._mismatch(request, reply, method)
        self.in_doubt = False
        return reply

    def send_only(self, request: SendingMessage, method: str) -> None:
        """Send a request that gets no reply; raises as `round_trip`."""
        self.in_doubt = True
        try:
            self._send(request)
        except OSError as x:
            raise socketutil.communication_error(self._activity(method), x) from x
        self.in_doubt = False

    def send_if_ready(self, request: SendingMessage) -> bool:
        """
        Send a small request that gets no reply if the network takes it at once. Never waits; not for use during an exchange.

        Returns:
            False if nothing was sent. If the network took a part only, the connection is in doubt afterwards.
        """
        data = b"".join(request.buffers)
        timeout = self.sock.gettimeout()
        self.in_doubt = True
        try:
            self.sock.settimeout(0)
            try:
                sent = self.sock.send(data)
            finally:
                self.sock.settimeout(timeout)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return False
        # TLS wants the same data again when it could not take it, so that such a connection stays in doubt
        self.in_doubt = sent != len(data) and (sent != 0 or hasattr(self.sock, "getpeercert"))
        return sent == len(data)

    def call(self, serializer: SerializerBase, seq: int, object_id: str, method: str, args: Sequence[Any],
             wire: WireOptions) -> Any:
        """Call a method of an object and give its result; raises as `round_trip`, and what the method raised."""
        request = calls.invoke_request(serializer, seq, 0, object_id, method, args, {}, wire)
        return calls.parse_reply(self.round_trip(request, method), serializer)

    @property
    def receiving(self) -> Tuple[int, int]:
        """How many bytes of a large reply are there, and how many it has; 0 of 0 at other times. Any thread may look."""
        return self._reader.body_progress

    def abandon(self) -> None:
        """Let go of a connection that this process inherited by a fork: its use by the parent goes on undisturbed."""
        if not self.keep_open:
            self.sock.close()

    def _exchange(self, request: SendingMessage, method: Optional[str]) -> ReceivingMessage:
        self.in_doubt = True
        reader = self._reader
        try:
            if len(request.buffers) == 1 and not self._log_wire:
                self.sock.sendall(request.buffers[0])
            else:
                self._send(request)
            if not reader.receive_from(self._incoming):
                raise EOFError
            reply = reader.next_message() or self._receive_rest()
        except OSError as x:
            raise socketutil.communication_error(self._activity(method), x) from x
        except EOFError as x:
            raise socketutil.communication_error(self._activity(method), None) from x
        except errors.MessageTooLargeError as x:  # the server's limit is a MessageTooLargeError
            raise errors.ProtocolError("%s: %s" % (self._activity(method), x)) from None
        except errors.ProtocolError as x:
            errors.add_context(x, self._activity(method))
            raise
        if self._log_wire:
            protocol.log_wiredata(log, "received from %s" % self.target, reply)
        return reply

    def _handshake_hint(self) -> str:
        if hasattr(self.sock, "getpeercert"):
            return "does the server ask for a certificate of the client (SSL_CLIENTCERT), and trust the one it gets?"
        return "if the server uses TLS, switch the setting SSL on here too"

    def _activity(self, method: Optional[str]) -> str:
        return "calling %s of %s" % (method, self.target) if method else "connecting to %s" % self.target

    def _mismatch(self, request: SendingMessage, reply: ReceivingMessage, method: str) -> errors.ProtocolError:
        activity = self._activity(method)
        if reply.type != protocol.MSG_RESULT:
            return errors.ProtocolError("%s: the reply is a message of type %d, expected %d"
                                        % (activity, reply.type, protocol.MSG_RESULT))
        if reply.seq != request.seq:
            return errors.ProtocolError("%s: reply out of sync, its sequence number is %d, expected %d"
                                        % (activity, reply.seq, request.seq))
        return errors.SerializeError("%s: the reply uses serializer %d, the request used %d"
                                     % (activity, reply.serializer_id, request.serializer_id))

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
        if self._scatters and len(buffers) <= MAX_SCATTERED_BUFFERS:
            sent = self.sock.sendmsg(buffers)
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(min(sent, len(view)), len(view), SEND_STEP_BYTES):
                self.sock.sendall(view[start:start + SEND_STEP_BYTES])
            sent = max(sent - len(view), 0)

    def _receive_rest(self) -> ReceivingMessage:
        """Receive a message that did not come in one piece."""
        timeout = self.sock.gettimeout()
        try:
            message = None
            while message is None:
                message = self._receive_step(timeout)
            return message
        finally:
            if timeout is not None:
                self.sock.settimeout(timeout)

    def _receive_step(self, timeout: Optional[float]) -> Optional[ReceivingMessage]:
        """Receive as much as fits one buffer, in the time allowed: a sender that dribbles is as bad as a silent one.

        The whole of a handshake has no more time than one step: anyone can answer a broadcast, and then send slowly.
        """
        deadline = self._deadline
        if deadline is None and timeout is not None:
            deadline = time.monotonic() + timeout
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


def open_connection(uri: URI, timeout: Optional[float], max_size: int = 0) -> Connection:
    """
    Connect to the location of a PYRO uri, with TLS if the configuration says so. There is no handshake yet.

    Args:
        timeout: in seconds, for connecting and for every operation later on; None is no limit.
        max_size: the largest message to accept, in bytes (0: any).

    Raises:
        TimeoutError: nobody answered in time.
        CommunicationError: nobody is there, or the TLS handshake failed.
    """
    address = uri.sockname or (uri.host, uri.port)
    tls_context = tls.client_context() if config.SSL else None
    try:
        sock = socketutil.create_socket(connect=address, timeout=timeout, ipv6=None, sslContext=tls_context)
    except OSError as x:
        hint = _hint(x)
        text = "cannot connect to %s: %s%s" % (uri, _reason(x), " (%s)" % hint if hint else "")
        error_class = errors.TimeoutError if socketutil.is_timeout(x) else errors.CommunicationError
        raise error_class(text) from (x.__cause__ or x)  # the one between adds only the address, which the text has
    return Connection(sock, str(uri), max_size)


def _reason(error: OSError) -> str:
    """Give the system's own words; the address, which create_socket adds to them, is in the uri already."""
    cause = error.__cause__
    if isinstance(error, socket.gaierror) or not isinstance(cause, OSError):
        cause = error
    return cause.strerror or str(cause)


def _hint(error: OSError) -> str:
    """Say what may help; nothing if the error does so itself."""
    if isinstance(error, socket.gaierror):
        return ""
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return "is the server running, and is this where it listens?"
    if config.SSL:
        return "does the server use TLS, and do the certificates fit? See the setting SSL_CACERTS"
    return "is the server running, and can this machine reach it?"
