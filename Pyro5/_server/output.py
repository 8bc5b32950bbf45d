"""The sending half of a client's connection: replies to requests that came together are sent together, and output is stored
while the network does not accept it.
"""
from __future__ import annotations

import logging
import selectors
import socket
import threading
from typing import Any, Callable, List

from .._net import stream_sockets
from ..protocol import MAX_SCATTERED_BUFFERS, Buffer, SendingMessage
from ..socketutil import SocketConnection, events_wanted, is_timeout

log = logging.getLogger("Pyro5.server.connection")

DONT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)  # sending never blocks, even if the socket has a timeout for receiving
# Output that is sent in one turn of the loop: a client that reads faster than it is sent would keep the loop otherwise.
FLUSH_STEP_BYTES = 256 * 1024
FLUSH_STEPS = 8
JOINED_BYTES = 64 * 1024  # replies are held, to be sent together, up to this size
# Replies in one send. With all of them in one, a client that keeps many calls in flight would wait while the server works, and
# the server while the client does. With 64 calls in flight, sends of 16 replies make 1.7 times as many calls as sends of 64;
# sends of 4 cost 20 % more processor time (`make bench`, "64 calls in flight").
JOINED_REPLIES = 16


class WritingConnection(SocketConnection):
    """A connection that stores its output. Only its owner, the loop or one worker, calls its methods, except where stated.

    When further requests have been received already, replies are held, and sent together: up to JOINED_REPLIES of them.
    Held replies can be sent by another thread, while the owner runs a method, see `shared_output.ReplyFlusher`.

    Attributes:
        is_shared: other threads than the owner may send. False for clients that wait for each reply: no lock is taken then.
        closing: no further request is read; the connection is closed when its output has been sent.
        has_tls: it is encrypted. Two threads must not use the socket at the same time then.
        lost: the client has disconnected, nothing can be sent any more.
        outgoing: the output that is waiting to be sent.
        bytes_received, bytes_sent: in messages.
        peer_address: the client's address, in the form of the socket module.
    """

    # A dict for the 50 attributes of a client's connection would take 1.2 KB more.
    __slots__ = ("is_shared", "bytes_received", "bytes_sent", "closing", "lost", "has_tls", "outgoing", "peer_address",
                 "_output_lock", "_held", "_held_bytes", "_uses_python_timeout", "_send_flags", "_system_timeout")

    def __init__(self, sock: socket.socket, keep_open: bool) -> None:
        super().__init__(sock, keep_open=keep_open)
        self.is_shared = False
        self.bytes_received = self.bytes_sent = 0
        self._output_lock = threading.Lock()  # guards the output (held and outgoing) if is_shared
        self._held: List[Buffer] = []
        self._held_bytes = 0
        self.closing = False
        self.lost = False
        # The ssl module supports timeouts of Python only; on a socket of the program (keep_open) no system option is changed.
        self.has_tls = hasattr(sock, "pending")
        self._uses_python_timeout = self.has_tls or keep_open
        self._send_flags = 0 if self._uses_python_timeout else DONT_WAIT
        self.outgoing: List[memoryview] = []  # not a deque: it has few elements, and takes 700 bytes without any
        self._system_timeout = 0.0
        try:
            self.peer_address: Any = sock.getpeername()
        except OSError:  # already disconnected; reading from it reports this
            self.peer_address = None

    def set_receive_timeout(self, seconds: float) -> None:
        """Make receiving block up to this time, for a worker; setTimeout() ends this.

        A timeout of Python's costs a poll() before each receive and each send. That of the system costs nothing, but
        the ssl module and some systems do not support it.
        """
        if self._uses_python_timeout:
            self.setTimeout(seconds)
            return
        # Set once per connection: the system keeps the option while the socket switches between blocking and non-blocking.
        if self._system_timeout != seconds:
            self._system_timeout = seconds
            self._uses_python_timeout = not stream_sockets.set_system_receive_timeout(self.sock, seconds)
        self.setTimeout(seconds if self._uses_python_timeout else None)

    @property
    def has_outgoing(self) -> bool:
        """Whether output is waiting to be sent."""
        return bool(self.outgoing)

    def send_message(self, message: SendingMessage) -> None:
        """Send what the network accepts at once, and store the rest for flush(). Blocks at most for the (short)
        timeout of the socket.

        Raises:
            OSError: the connection is lost.
        """
        self.bytes_sent += message.size
        if not self.is_shared:
            self._send_buffers(message.buffers, message.size)
            return
        holds = not self.closing and self.has_next_request()
        with self._output_lock:
            self._hold_locked(message)
            if not holds or len(self._held) >= JOINED_REPLIES or self._held_bytes > JOINED_BYTES:
                self._send_held_locked()
                return
            is_first = len(self._held) == len(message.buffers)
        if is_first:
            self.watch_held()

    def has_next_request(self) -> bool:
        """Return whether the next request has been received already. Overridden by connections that receive."""
        return False

    def watch_held(self) -> None:
        """Make another thread send what is held if this takes long. Overridden by connections of a server."""

    def _hold_locked(self, message: SendingMessage) -> None:
        self._held += message.buffers
        self._held_bytes += message.size

    def _send_held_locked(self) -> None:
        held, size = self._held, self._held_bytes
        if not held or self.lost:
            return
        self._held, self._held_bytes = [], 0
        self._send_buffers([b"".join(held)] if len(held) > 1 and size <= 2 * JOINED_BYTES else held, size)

    def send_held(self) -> None:
        """Send what is held. May be called by other threads than the owner, which calls it before it receives.

        Raises:
            OSError: the connection is lost.
        """
        if self.is_shared:
            with self._output_lock:
                self._send_held_locked()

    def _send_buffers(self, buffers: List[Buffer], size: int) -> None:
        if len(buffers) > MAX_SCATTERED_BUFFERS:
            # One send cannot have more buffers. The last one, often the largest, is not copied.
            buffers = [b"".join(buffers[:-1]), buffers[-1]]
        sent = 0
        if not self.outgoing:  # else older output goes first
            # Several buffers in one system call: two calls would be two packets with TCP_NODELAY, and wake the client twice.
            sent = self.write(buffers[0]) if len(buffers) == 1 else self._write_all_at_once(buffers)
        if sent < size:
            self.store(buffers, sent)

    def store(self, buffers: List[Buffer], sent: int) -> None:
        """Store what is left to send after the first `sent` bytes."""
        # Views: what remains of a large reply is not copied after every partial send.
        self.outgoing.extend([memoryview(_lasting(buffer)) for buffer in _remainder(buffers, sent)])

    def abandon(self) -> None:
        """Mark the connection as lost, and discard its output."""
        self.closing = self.lost = True
        with self._output_lock:
            self.outgoing.clear()
            self._held, self._held_bytes = [], 0

    def flush(self) -> bool:
        """Send more of the stored output, up to a limit, so that a fast reader does not delay other clients.

        Returns:
            whether all of it was sent.

        Raises:
            OSError: the connection is lost.
        """
        with self._output_lock:
            outgoing = self.outgoing
            for _ in range(FLUSH_STEPS):
                if not outgoing:
                    break
                first = outgoing[0]
                # The slice of a view copies nothing.
                sent = self.write(first[:FLUSH_STEP_BYTES])  # after a partial failure, TLS needs the same bytes again
                if sent == len(first):
                    del outgoing[0]
                elif sent:
                    outgoing[0] = first[sent:]
                else:
                    break  # the network accepts no more; the selector reports when it does
            return not outgoing

    def flush_until(self, step_seconds: float, stopping: Callable[[], bool]) -> None:
        """Block until all output is sent, stopping() returns True (it is called after every step), or the connection is lost.
        """
        try:
            self.setTimeout(step_seconds)
            while not (self.flush() or stopping()):
                log.debug("still sending to %s", self.peer_address)
            self.setTimeout(0)
        except OSError as x:
            log.debug("connection with %s lost: %s", self.peer_address, x)
            self.abandon()

    def write(self, data: Buffer) -> int:
        """Send what the network accepts at once; return its size in bytes. Raises OSError if the connection is lost."""
        try:
            return self.sock.send(data, self._send_flags)
        except OSError as x:
            if is_timeout(x) or events_wanted(x, selectors.EVENT_WRITE):
                return 0
            raise

    def _write_all_at_once(self, buffers: List[Buffer]) -> int:
        if self.has_tls or not hasattr(self.sock, "sendmsg"):  # TLS and Windows have no scatter write
            return 0
        try:
            return self.sock.sendmsg(buffers, (), self._send_flags)
        except OSError as x:
            if is_timeout(x) or events_wanted(x, selectors.EVENT_WRITE):
                return 0
            raise


def _lasting(data: Buffer) -> Buffer:
    """Return a buffer that does not change before it is sent: a copy of one that belongs to an object of the program."""
    owner = data.obj if isinstance(data, memoryview) else data
    return data if isinstance(owner, bytes) else bytes(data)


def _remainder(buffers: List[Buffer], sent: int) -> List[Buffer]:
    """Return what is left to send after the first `sent` bytes."""
    rest: List[Buffer] = []
    for data in buffers:
        if sent >= len(data):
            sent -= len(data)
        else:
            rest.append(memoryview(data)[sent:])
            sent = 0
    return rest
