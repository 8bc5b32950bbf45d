"""One client's connection: a transport of the event loop, with the state that the other server types keep for a client.

Everything belongs to the thread of the event loop, except where stated.
"""
from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from typing import Any, Deque, List, Optional, Tuple

from .._calls.deferred import DeferredCall
from .._net import stream_sockets
from .._net.stream_sockets import set_keepalive
from .._net.tls_layer import TlsLayer
from .._net.tls_socket import TlsSocket
from .._server.connection import ServerConnection
from .._server.output import JOINED_BYTES, JOINED_REPLIES
from .._wire.reader import RECEIVE_BYTES
from ..protocol import Buffer, ReceivingMessage, SendingMessage

# Received bytes of further requests, kept while a call runs: with more, nothing is read from this client.
UNREAD_BYTES = 4 * RECEIVE_BYTES
# the value of `watched` that other servers have for an idle connection: its events are noticed at once
_READ = 1


class TransportSocket:
    """What programs can do with the socket of a transport: ask for addresses, options and the certificate of the client.

    Can be used by any thread.

    Args:
        tls: encrypts the connection; None: it is not encrypted.
        loop: the event loop that sends and receives.
    """

    def __init__(self, transport: Any, tls: Optional[TlsLayer], loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport = transport
        self._tls = tls
        self._sock = transport.get_extra_info("socket")
        self.family, self.type, self.proto = self._sock.family, self._sock.type, self._sock.proto
        self._own_address = self._sock.getsockname()
        self._peer_address = transport.get_extra_info("peername")
        # The number of a closed socket may belong to another file, so it is not asked for any more.
        self._is_closed = False

    def fileno(self) -> int:
        """Return the file descriptor, -1 once the connection has ended."""
        return -1 if self._is_closed else int(self._sock.fileno())

    def getsockname(self) -> Any:
        """Return the address of this end."""
        return self._own_address

    def getpeername(self) -> Any:
        """Return the address of the client."""
        return self._peer_address

    def getsockopt(self, *args: Any) -> Any:
        """Return a socket option."""
        return self._sock.getsockopt(*args)

    def setsockopt(self, *args: Any) -> None:
        """Set a socket option."""
        self._sock.setsockopt(*args)

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the certificate of the client, None without TLS."""
        return None if self._tls is None else self._tls.getpeercert(binary_form)

    def get_channel_binding(self, cb_type: str = "tls-unique") -> Optional[bytes]:
        """Return what identifies the TLS connection, as `ssl.SSLSocket.get_channel_binding`; None without TLS."""
        return None if self._tls is None else self._tls.get_channel_binding(cb_type)

    def gettimeout(self) -> float:
        """Return 0: the event loop never waits for one connection."""
        return 0.0

    def settimeout(self, seconds: Optional[float]) -> None:
        """Do nothing: the event loop never waits for one connection."""

    def shutdown(self, how: int) -> None:
        """End the connection, in both directions."""
        self.close()

    def close(self) -> None:
        """End the connection soon."""
        # Programs call this in any thread; the transport belongs to that of the loop.
        if not (self._is_closed or self._loop.is_closed()):
            try:
                self._loop.call_soon_threadsafe(self._transport.abort)
            except RuntimeError:
                return  # the loop was closed in this moment

    def mark_closed(self) -> None:
        """Note that the transport has closed the socket, whose number other files may have from now on."""
        self._is_closed = True

    def _refuse(self, *args: Any) -> Any:
        raise OSError("the event loop sends and receives on this connection")

    send = sendall = sendmsg = recv = recv_into = _refuse


class AsyncConnection(ServerConnection):
    """A client's connection. (See ServerConnection for more attributes.)

    Attributes:
        transport: sends and receives.
        is_working: a request is being handled: in the event loop by a task, or in a thread.
        is_reading: the event loop notices that the client disconnects.
        at_end: the client has closed its side; what was received before is still handled.
        handshake_task: the task of a validateHandshake() that is a coroutine function.
        handshake_error: why that was cancelled, if the client is to be told.
    """

    sock: Any

    def __init__(self, transport: Any, server: Any, tls: Optional[TlsLayer]) -> None:
        limits = server.current_limits()
        super().__init__(TransportSocket(transport, tls, server.event_loop), server, limits.message_bytes,  # type: ignore[arg-type]
                         limits.handshake_bytes, inflated_size=limits.inflated_bytes, tls=tls is not None)
        self.transport = transport
        self.tls = tls
        self.watched = _READ
        self.is_working = False
        self.is_pumped = False
        self.at_end = False
        self.handshake_task: Any = None
        self.handshake_error: Optional[Exception] = None
        self._can_write = True
        self.is_reading = True
        self._chunks: Deque[Tuple[float, bytes]] = deque()  # received, with the time, and not parsed yet
        self._unparsed_bytes = 0
        self._replies: List[Buffer] = []
        self._reply_bytes = 0
        set_keepalive(self.sock)

    # ------------------------------------------------------------ receiving

    def add_received(self, data: bytes) -> None:
        """Keep received bytes for fetch_message()."""
        # With the time, because the deadline of a request counts from its arrival, and it may wait for the one before.
        self._chunks.append((time.monotonic(), data))
        self._unparsed_bytes += len(data)

    def limit_reading(self) -> None:
        """Stop reading from the client while there are too many bytes for later requests, and read again when they are few."""
        too_many = self._unparsed_bytes > UNREAD_BYTES
        if too_many == self.is_reading and not self.transport.is_closing():
            # While a call runs, the socket is read anyhow: otherwise the loop would not notice that the client disconnects.
            self.is_reading = not too_many
            if too_many:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def read_on(self) -> None:
        """Read from the client again: what it sends is discarded."""
        if not self.is_reading and not self.transport.is_closing():
            self.transport.resume_reading()
        self.is_reading = True

    def fetch_message(self) -> bool:
        while not super().fetch_message():
            if not self._chunks:
                return False
            self._parse_chunk()
        return True

    def _parse_chunk(self) -> None:
        reader, self.is_plain = self.reader, False
        # The deadline of the next request counts from the arrival of its last part.
        self.waiting_since, data = self._chunks.popleft()
        self._unparsed_bytes -= len(data)
        if not reader.mid_body:
            reader.feed(data)
            return
        target = reader.get_buffer()
        count = min(len(target), len(data))
        target[:count] = data[:count]
        del target  # the buffer cannot grow while there is a view of it
        reader.received(count)
        if count < len(data):  # the rest belongs to the body, whose buffer has to grow, or to the next message
            self._chunks.appendleft((self.waiting_since, data[count:]))
            self._unparsed_bytes += len(data) - count

    def take_message(self) -> ReceivingMessage:
        """Return the message that fetch_message() has found."""
        message: Optional[ReceivingMessage] = self.pending
        self.pending = None
        if message is None:
            raise ValueError("no message has been received")
        return message

    @property
    def mid_message(self) -> bool:
        return bool(self._chunks) or super().mid_message

    @property
    def is_at_end(self) -> bool:
        """Whether the client has closed its side. Can be read by any thread."""
        return self.at_end or self.lost

    def peer_has_closed(self) -> bool:
        return self.is_at_end or bool(stream_sockets.peer_has_closed(self.sock))

    # ------------------------------------------------------------ sending

    def send_message(self, message: SendingMessage) -> None:
        """Send a message, together with others that follow before flush_replies() is called."""
        self.bytes_sent += message.size
        self._replies += message.buffers
        self._reply_bytes += message.size
        # Outside of pump() nothing follows that it could be sent together with.
        if self._reply_bytes > JOINED_BYTES or len(self._replies) >= JOINED_REPLIES or not self.is_pumped:
            self.flush_replies()

    def flush_replies(self) -> None:
        """Send the collected replies; what the network does not accept at once is sent by the transport later."""
        buffers, self._replies, self._reply_bytes = self._replies, [], 0
        if not buffers or self.transport.is_closing():
            return
        if self.tls is not None:
            for data in buffers:
                self.tls.encrypt(data)
            self.send_tls_output()
            return
        # Small ones in one send. A large one is not copied: it is nearly always the last of its message.
        small: List[Buffer] = []
        for data in buffers:
            if len(data) < JOINED_BYTES:
                small.append(data)
                continue
            if small:
                self.transport.write(b"".join(small))
                small = []
            self.transport.write(data)
        if small:
            self.transport.write(small[0] if len(small) == 1 else b"".join(small))

    def send_tls_output(self) -> None:
        """Send what TLS itself, or encrypted replies, have to send."""
        data = self.tls.output() if self.tls is not None else b""
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def set_writable(self, can_write: bool) -> None:
        """Note whether the client receives its replies; while it does not, no further requests are handled."""
        self._can_write = can_write

    @property
    def has_outgoing(self) -> bool:
        """Whether the client does not read its replies: no further request is handled then."""
        return not self._can_write

    @property
    def has_unsent(self) -> bool:
        """Whether anything is left to be sent."""
        return not self.transport.is_closing() and self.transport.get_write_buffer_size() > 0

    @property
    def buffered_bytes(self) -> int:
        """The number of bytes stored of partly received and partly sent messages."""
        unsent = 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()
        return int(self.reader.buffered_bytes + self._unparsed_bytes + unsent)

    # ------------------------------------------------------------ the end of calls, and of the connection

    def finish_deferred(self, reply: Optional[SendingMessage]) -> None:
        """Send the reply of a call, and continue with the connection. Can be called from any thread."""
        self.server.call_in_loop(self._finish, reply)

    def _finish(self, reply: Optional[SendingMessage]) -> None:
        self.deferred = None
        if reply is not None and not self.lost:
            self.send_message(reply)
        self.server.release(self)

    def finish_detached(self, call: DeferredCall, reply: Optional[SendingMessage]) -> None:
        """Store the reply of a call that ran beside others. Called by its task or thread; flush_detached() follows."""
        self.server.call_in_loop(self._finish_detached, call, reply)

    def _finish_detached(self, call: DeferredCall, reply: Optional[SendingMessage]) -> None:
        self._forget_detached(call)
        if reply is not None and not self.lost:
            self._replies += reply.buffers
            self._reply_bytes += reply.size

    def flush_detached(self) -> None:
        """Send the replies of calls that ran beside others. Can be called from any thread."""
        self.server.call_in_loop(self.server.pump, self)

    def resume(self) -> None:
        """Continue with a paused connection. Can be called from any thread."""
        self.server.call_in_loop(self.server.pump, self)

    def abandon(self) -> None:
        """Mark the connection as lost."""
        self.closing = self.lost = True

    def give_away(self) -> Any:
        sock = None
        self.flush_replies()
        if not (self.lost or self.at_end or self.has_unsent):
            self.transport.pause_reading()
            sock = socket.socket(fileno=os.dup(self.sock.fileno()))  # the transport closes its own file descriptor
            if self.tls is not None:
                # The transport has encrypted so far; from now on the socket does.
                sock = TlsSocket(sock, self.server.listener.ssl_context, True, state=self.tls.state)
        self.deferred = None
        self.abandon()
        self.server.release(self)
        return sock

    def close(self) -> None:
        """End the connection. Can be called from any thread."""
        # Already ended: the transport is gone, only what the program has attached is left.
        if self.dropped or self.ended or self.server.has_ended:
            self.free_tracked_resources()
            self.pyroInstances.clear()
        else:
            self.server.call_in_loop(self.server.drop, self)


class ConnectedSocket:
    """The connected socket that a daemon serves. It still belongs to the program: it is never closed here.

    Attributes:
        sock: that socket.
        location: what the daemon has in the place of an address.
        unreachable_reason, ssl_context: as those of a `Listener` without a port.

    Raises:
        OSError: it is not connected.
        ValueError: it is a TLS socket, which an event loop cannot use.
    """

    location = "./u:<<not-bound>>"
    unreachable_reason = ""
    ssl_context: Any = None

    def __init__(self, sock: socket.socket) -> None:
        sock.getpeername()
        if hasattr(sock, "pending"):
            raise ValueError("a daemon in an event loop cannot serve a connected TLS socket")
        self.sock = sock
        self._timeout = sock.gettimeout()
        self._is_in_use = False

    async def connect(self, loop: Any, make_protocol: Any) -> None:
        """Make the event loop serve the socket."""
        # A duplicate, which the transport closes. It shares the mode: neither blocks from now on.
        self.sock.setblocking(False)
        self._is_in_use = True
        await loop.create_connection(make_protocol, sock=self.sock.dup())

    @staticmethod
    def accept(connection: AsyncConnection) -> None:
        """Begin a connection without a handshake."""
        connection.claim_handshake()
        connection.finish_handshake()
        connection.keep_open = True

    def end(self) -> None:
        """Restore the timeout of the socket. Called when the event loop does not use it any more."""
        self._is_in_use = False
        self.close()

    def close(self) -> None:
        """Restore the timeout of the socket, unless the event loop still uses it."""
        if not self._is_in_use and self.sock.fileno() != -1:  # the program may have closed it
            self.sock.settimeout(self._timeout)
