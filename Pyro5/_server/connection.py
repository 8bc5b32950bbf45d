"""One client's connection, as the server sees it: incremental reading, buffered writing, and what belongs to the client.

A connection has one owner at a time, the loop or one worker thread; only the owner calls its methods.
"""
from __future__ import annotations

import contextlib
import logging
import select
import selectors
import socket
import struct
import sys
import time
from collections import deque
from typing import Any, Callable, Deque, Iterator, List, Optional, Sequence

from .. import errors, protocol
from .._net import busy_poll
from .._wire.reader import INFLATED_RATIO, RECEIVE_BYTES, MessageReader
from ..configure import global_version
from ..protocol import MAX_SCATTERED_BUFFERS, Buffer, ReceivingMessage, SendingMessage
from ..socketutil import SocketConnection, events_wanted, is_timeout

log = logging.getLogger("Pyro5.server.connection")

_DONT_WAIT = getattr(socket, "MSG_DONTWAIT", 0)  # sending never waits, whatever receiving does
# After its handshake a connection shares the account of new ones for so long: longer than a costly request waits behind
# those of other new ones (with 2 seconds, 20 clients that connect again for each request left others a third of their calls).
NEW_SECONDS = 5.0
SECONDS_PER_BYTE = 1e-6  # what it takes to read costly values
# What the first step of a TLS handshake takes (with an RSA key of 4096 bits): handshakes that are further on come before it.
TLS_HELLO_SECONDS = 0.005
# So many times MAX_HANDSHAKE_SIZE may the annotations of an introduction have: older clients send those of the first call.
HANDSHAKE_ANNOTATIONS = 16
# What a compressed handshake may always become, in bytes, and how many times its size as sent: it costs time to decode.
HANDSHAKE_INFLATED, HANDSHAKE_INFLATED_RATIO = 16384, 8
FLUSH_STEP_BYTES = 256 * 1024
FLUSH_STEPS = 8
# A batch that takes long looks whether its sender is still there: after so many seconds, and then after so many calls.
LOOK_SECONDS, LOOK_STEPS = 0.02, 8
# What a poll reports when the other side is closed; 0 where the system cannot tell.
_HUNG_UP = getattr(select, "POLLRDHUP", 0) and select.POLLRDHUP | select.POLLHUP | select.POLLERR


class ServerConnection(SocketConnection):
    """A client's connection.

    Attributes:
        server: the socket server that it belongs to.
        handshake_done: the client's handshake was accepted (or none is needed).
        closing: no further request is taken; the connection ends when what is to be sent has left.
        lost: the client is gone, nothing can be sent any more.
        gone: the loop has forgotten it.
        watched: the events that the loop waits for, 0 while a worker owns the connection.
        oneway_calls: how many oneway calls of the client are under way; oneway_full: too many; paused: until some of them
            are done, nothing is read.
        tls_handshake: the TLS handshake is still going on.
        loop_seconds: what the client has had of the loop's time.
        counts_as_large: it is one of the few that may keep workers busy with large requests now.
        worker: the thread that the calls of this client run in, see workers.Worker.
        suspended_batch: a batch whose execution is interrupted, see batches.Batch.
        peer_address: where the client is, as the socket module gives it.
    """

    def __init__(self, sock: socket.socket, server: Any, max_size: int, handshake_size: int = 0, *,
                 inflated_size: int = 0, handshake_done: bool = False, keep_open: bool = False, tls: bool = False) -> None:
        super().__init__(sock, keep_open=keep_open)
        self.server = server
        self.handshake_done = handshake_done
        self._is_new, self._new_until = not handshake_done, 0.0
        self.closing = False
        self.lost = False
        self.gone = False
        self._unmet, self._unended = [True], [True]  # tokens: whoever takes one, by an atomic pop, has the claim
        self.watched = 0
        self.loop_seconds = 0.0
        self.worker: Any = None
        self.counts_as_large = False
        self.oneway_calls = 0
        self.oneway_full = self.paused = False
        self.tls_handshake = tls
        self._system_timeout = 0.0
        self._own_timeout = hasattr(sock, "pending") or keep_open
        self._send_flags = 0 if self._own_timeout else _DONT_WAIT
        self._incoming: Any = None  # what receive_soon() receives from
        self._max_size, self._max_inflated = max_size, inflated_size
        self._reader = MessageReader(max_size, max_inflated=inflated_size)
        if not handshake_done and handshake_size:
            self._reader.max_size, self._reader.size_setting = handshake_size, "MAX_HANDSHAKE_SIZE"
            self._reader.free_annotations = HANDSHAKE_ANNOTATIONS * handshake_size
            self._reader.max_inflated, self._reader.inflated_ratio = HANDSHAKE_INFLATED, HANDSHAKE_INFLATED_RATIO
        self._settings_version = global_version.number
        self._unreadable: Optional[errors.ProtocolError] = None
        self._pending: Optional[ReceivingMessage] = None
        self.suspended_batch: Any = None
        self._outgoing: Deque[memoryview] = deque()
        try:
            self.peer_address: Any = sock.getpeername()
        except OSError:  # it is gone already; reading from it will tell
            self.peer_address = None

    @classmethod
    def accepted(cls, sock: socket.socket, server: Any) -> ServerConnection:
        """Make the connection of a client that a server has just accepted."""
        limits = server.current_limits()
        return cls(sock, server, limits.message_bytes, limits.handshake_bytes, inflated_size=limits.inflated_bytes,
                   tls=hasattr(sock, "pending"))

    def finish_handshake(self) -> None:
        """The handshake was accepted: messages may have their full size from now on."""
        self.handshake_done = True
        self._new_until = time.monotonic() + NEW_SECONDS
        self._reader.max_size, self._reader.size_setting = self._max_size, "MAX_MESSAGE_SIZE"
        self._reader.free_annotations = 0
        self._reader.max_inflated, self._reader.inflated_ratio = self._max_inflated, INFLATED_RATIO

    def _read_settings(self) -> None:
        """Use the limits that the settings make now, from the next message on."""
        version = global_version.number
        limits = self.server.current_limits()
        self._max_size, self._max_inflated = limits.message_bytes, limits.inflated_bytes
        if self.handshake_done:
            self._reader.max_size, self._reader.max_inflated = self._max_size, self._max_inflated
        self._incoming = None  # SPINNING may be another one
        self._settings_version = version

    def resume(self) -> None:
        """Go on with a paused connection.  May be called in any thread."""
        self.server.park(self)

    @property
    def ended(self) -> bool:
        """What belongs to its end (user code among it) was run, or is run just now."""
        return not self._unended

    @property
    def loop_account(self) -> Any:
        """The account that the loop's time for this connection is charged to.

        All connections that have not finished their handshake share one, and all that have just finished it share another:
        connections cost a client nothing, so one that makes a new one for each costly request must not get ahead of those that
        stay connected, and one that begins many handshakes not ahead of those whose handshake is done.
        """
        if not self._is_new:
            return self
        if not self.handshake_done:
            return self.server.handshake_account
        if time.monotonic() <= self._new_until:
            return self.server.new_account
        self._is_new = False
        return self

    @property
    def keeps_worker(self) -> bool:
        """Whether the thread that is bound to this connection stays so: it was let in, and has not ended."""
        return self.handshake_done and bool(self._unended)

    @property
    def has_reserved_worker(self) -> bool:
        """Whether a thread is reserved for this connection."""
        worker = self.worker
        return worker is not None and worker.reserved and worker.owner is self

    @property
    def has_resources(self) -> bool:
        """Whether something of the user's is to be freed at its end."""
        return bool(self.pyroInstances or self._tracked_resources)

    @property
    def is_left(self) -> bool:
        """Whether the client has closed its side, and all that it sent was received.  Any thread may ask.  False where that
        takes waiting: over TLS, with a timeout of Python's, and on systems that cannot look without waiting."""
        if self._own_timeout or not _DONT_WAIT or self.sock.gettimeout():
            return False
        try:
            return not self.sock.recv(1, socket.MSG_PEEK | _DONT_WAIT)
        except OSError as x:
            return not (is_timeout(x) or isinstance(x, (BlockingIOError, InterruptedError)))

    def has_hung_up(self) -> bool:
        """Return whether the client has closed its side, whatever is still to be received; over TLS too."""
        if not _HUNG_UP:
            return self.is_left
        poll = select.poll()
        poll.register(self.sock, _HUNG_UP)
        return bool(poll.poll(0))

    def pieces_of(self, steps: Sequence[Any], needs_client: bool) -> Iterator[Optional[Sequence[Any]]]:
        """Return the steps of a request in sequences of a few, and None where other clients have to be served first.

        Args:
            needs_client: stop, and abandon the connection, when the client has disconnected: the results would be lost, and a
                small request can ask for very much work.
        """
        look_at = time.monotonic() + LOOK_SECONDS
        for start in range(0, len(steps), LOOK_STEPS):
            if start and time.monotonic() > look_at:
                if needs_client and self.has_hung_up():
                    log.info("the client at %s has gone after %d of %d calls of a batch: the others are not run",
                             self.peer_address, start, len(steps))
                    self.abandon()
                    return
                if self.server.interrupts_batches and self.server.turn_is_over():
                    yield None
                look_at = time.monotonic() + LOOK_SECONDS
            yield steps[start:start + LOOK_STEPS]

    def suspend(self, message: ReceivingMessage, batch: Any) -> None:
        """Keep a batch whose execution is interrupted; its message is the next one to be handled."""
        self._pending, self.suspended_batch = message, batch

    def claim_end(self) -> bool:
        """Tell whether the caller shall run what belongs to the end: one caller only, in whichever thread."""
        return _claim(self._unended)

    def claim_introduction(self) -> bool:
        """Tell whether the caller may answer the client's introduction, or part with it instead: one caller only, in
        whichever thread."""
        return _claim(self._unmet)

    def on_ready(self, events: int) -> None:
        """Called by the loop when the socket is ready for some of the watched events."""
        self.server.connection_ready(self, events)

    def close(self) -> None:
        """End the connection.  As long as the loop has to do with it this only cuts it off: the loop does the rest."""
        if self.gone or self.ended or self.keep_open:
            super().close()
            return
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def wait_at_most(self, seconds: float) -> None:
        """Let receiving wait, for a worker; setTimeout() is the end of that.

        A timeout of Python's costs a poll() before each receive and each send.  That of the system costs nothing, but
        the ssl module, and some systems, cannot have it.
        """
        if self._own_timeout:
            self.setTimeout(seconds)
            return
        if self._system_timeout != seconds:
            self._system_timeout = seconds
            self._own_timeout = not _set_system_timeout(self.sock, seconds)
        self.setTimeout(seconds if self._own_timeout else None)

    # ------------------------------------------------------------ reading

    @property
    def mid_message(self) -> bool:
        """Whether part of a message is in and the rest is still to come."""
        return self._reader.mid_message

    @property
    def large_bytes(self) -> int:
        """The size of the message that is coming, or is at hand and did not come in one piece; 0 for smaller ones."""
        if self._pending is None:
            return self._reader.announced_bytes
        size = self._pending.memory_bytes
        return size if size > RECEIVE_BYTES else 0

    @property
    def expected_seconds(self) -> float:
        """How long the message that is coming may keep the loop busy, at the least: it is served after those that ask for
        less."""
        if self.tls_handshake and not self.loop_seconds:
            return TLS_HELLO_SECONDS
        return self._reader.announced_bytes * SECONDS_PER_BYTE

    @property
    def buffered_bytes(self) -> int:
        """How many bytes are kept of what is received or sent in part."""
        return self._reader.buffered_bytes + sum(map(len, self._outgoing))

    @property
    def refused_message(self) -> Optional[ReceivingMessage]:
        """The message whose header was sound but that could not be taken in, see MessageReader.refused."""
        return self._reader.refused

    def refuse_message(self) -> None:
        """Discard the message that is at hand; refused_message is the one, from now on."""
        self._reader.refused, self._pending = self._pending, None

    def receive(self) -> bool:
        """Receive once; False if the client has closed its side.

        Raises:
            OSError: nothing is there now (see events_wanted and is_timeout), or the connection is lost.
        """
        return self._reader.receive_from(self.sock) > 0

    def receive_soon(self) -> bool:
        """Receive once what is due in a moment, for a worker; as receive() otherwise."""
        if self._incoming is None:
            self._incoming = self.sock if self._own_timeout else busy_poll.receiver_for(self.sock)
        return self._reader.receive_from(self._incoming) > 0

    def has_hidden_bytes(self) -> bool:
        """Whether bytes wait inside the TLS layer, where a selector does not see them."""
        pending = getattr(self.sock, "pending", None)
        return pending is not None and pending() > 0

    def fetch_message(self) -> bool:
        """Take the next whole message out of what was received, for take_message(); False if there is none.

        Raises:
            ProtocolError: the stream cannot be read any further; every further call raises the same again.
        """
        if global_version.number != self._settings_version:
            self._read_settings()
        if self._unreadable is None and self._pending is None:  # else a worker has given it back
            try:
                self._pending = self._reader.next_message()
            except errors.ProtocolError as x:
                self._unreadable = type(x)(str(x))  # not x itself: its traceback would keep all that was received
        if self._unreadable is not None:
            raise self._unreadable
        return self._pending is not None

    def take_message(self) -> ReceivingMessage:
        """Give the message that is to be handled now; if none is at hand, wait until one arrives.

        Raises:
            CommunicationError: the connection was lost, or what came is no message.
        """
        message, self._pending = self._pending, None
        if message is None:
            message = protocol.recv_stub(self, None, self._max_size)
        return message

    # ------------------------------------------------------------ writing

    @property
    def has_outgoing(self) -> bool:
        """Whether something is still to be sent."""
        return bool(self._outgoing)

    def send_message(self, message: SendingMessage) -> None:
        """Send what the network takes at once and keep the rest for flush().  Never waits for a slow reader longer than
        the socket's own (short) timeout.

        Raises:
            OSError: the connection is lost.
        """
        buffers = message.buffers
        if len(buffers) > MAX_SCATTERED_BUFFERS:
            buffers = [b"".join(buffers[:-1]), buffers[-1]]
        if not self._outgoing:
            if len(buffers) == 1:
                sent = self._write(buffers[0])
                if sent == len(buffers[0]):
                    return
            else:
                sent = self._write_all_at_once(buffers)
            buffers = _remainder(buffers, sent)
        self._outgoing.extend(map(memoryview, buffers))

    def abandon(self) -> None:
        """The client is gone, or must go without an answer: nothing more is sent."""
        self.closing = self.lost = True
        self._outgoing.clear()

    def flush(self) -> bool:
        """Send more of what is kept, but only so much that a reader who takes it all keeps nobody waiting for long.

        Returns:
            whether nothing is left.

        Raises:
            OSError: the connection is lost.
        """
        outgoing = self._outgoing
        for _ in range(FLUSH_STEPS):
            if not outgoing:
                break
            first = outgoing[0]
            sent = self._write(first[:FLUSH_STEP_BYTES])  # TLS wants the same bytes again if it could not send them
            if sent == len(first):
                outgoing.popleft()
            elif sent:
                outgoing[0] = first[sent:]
            else:
                break
        return not outgoing

    def flush_until(self, step_seconds: float, stopping: Callable[[], bool]) -> None:
        """Wait until everything is sent, stopping() gives True (it is asked as often as that), or the client is gone."""
        try:
            self.setTimeout(step_seconds)
            while not (self.flush() or stopping()):
                log.debug("still sending to %s", self.peer_address)
            self.setTimeout(0)
        except OSError as x:
            log.debug("connection with %s lost: %s", self.peer_address, x)
            self.abandon()

    def _write(self, data: Buffer) -> int:
        try:
            return self.sock.send(data, self._send_flags)
        except OSError as x:
            if is_timeout(x) or events_wanted(x, selectors.EVENT_WRITE):
                return 0
            raise

    def _write_all_at_once(self, buffers: List[Buffer]) -> int:
        if hasattr(self.sock, "pending") or not hasattr(self.sock, "sendmsg"):  # TLS, Windows: no scatter write
            return 0
        try:
            return self.sock.sendmsg(buffers, (), self._send_flags)
        except OSError as x:
            if is_timeout(x) or events_wanted(x, selectors.EVENT_WRITE):
                return 0
            raise


def _claim(token: List[bool]) -> bool:
    """Take the token; False if somebody else has."""
    try:
        return token.pop()
    except IndexError:
        return False


def _remainder(buffers: List[Buffer], sent: int) -> List[Buffer]:
    """Give what is left to send when the first `sent` bytes have left."""
    rest: List[Buffer] = []
    for data in buffers:
        if sent >= len(data):
            sent -= len(data)
        else:
            rest.append(memoryview(data)[sent:])
            sent = 0
    return rest


def _set_system_timeout(sock: socket.socket, seconds: float) -> bool:
    """Let receiving from a blocking socket raise BlockingIOError after so long; False if that is not to be had here."""
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32:  # a struct timeval is something else there
        return False
    timeval = struct.pack("@ll", int(seconds), int(seconds % 1 * 1000000))
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    except OSError:
        return False
    return True
