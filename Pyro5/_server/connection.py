"""One client's connection in the server: incremental reading, and the state of the client.

A connection has one owner at a time, the loop or one worker thread. Only the owner calls its methods, except where stated.
"""
from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any, Callable, FrozenSet, Iterator, List, Optional, Sequence, Tuple

from .. import errors, protocol
from .._calls import batch_pieces
from .._calls.deferred import SHUTTING_DOWN
from .._calls.item_requests import ItemRequest, is_repeated
from .._net import busy_poll, stream_sockets, tls_guard
from .._wire import features
from .._wire.reader import INFLATED_RATIO, RECEIVE_BYTES, MessageReader
from ..configure import global_version
from ..protocol import ReceivingMessage, SendingMessage
from ..socketutil import is_timeout
from .detached import DetachedCalls
from .output import DONT_WAIT

log = logging.getLogger("Pyro5.server.connection")

# After its handshake a connection shares the account of new ones for so long: longer than a costly request waits behind
# those of other new ones (with 2 seconds, 20 clients that connect again for each request left others a third of their calls).
NEW_SECONDS = 5.0
SECONDS_PER_BYTE = 1e-6  # an estimate of the time to deserialize costly values
# The annotations of a handshake may have this many times MAX_HANDSHAKE_SIZE: older clients send those of the first call.
HANDSHAKE_ANNOTATIONS_FACTOR = 16
# The decompressed size that a handshake may have in any case, and as a multiple of its compressed size: decoding takes time.
HANDSHAKE_INFLATED, HANDSHAKE_INFLATED_RATIO = 16384, 8


class ServerConnection(DetachedCalls):
    """A client's connection. (See WritingConnection for sending, and more attributes.)

    Attributes:
        server: the socket server that it belongs to.
        handshake_done: the client's handshake was accepted (or none is needed).
        features: the features that the client announced in the handshake, see _wire.features; None: it has another release.
        buffers: how large buffers may be sent, see _messages.out_of_band.
        waiting_since: when its next request was noticed (monotonic seconds); 0 if a thread was there to read it at once.
        reader: parses what it receives. Only its owner, the loop or one worker, uses it.
        pending: the message that was received and is not handled yet, None if there is none.
        is_plain: nothing has been received behind the last message, whose only annotation may be a deadline; when it has been
            answered, nothing is left to send or to do. The client has finished its handshake and waits for each reply; there
            is no TLS layer. False if not all of this is known.
        settings_version, form: of the settings that are applied to it; what its plain requests have in common, see PlainCalls.
        dropped: the loop has removed it.
        watched: the events that the loop waits for, 0 while a worker owns the connection.
        oneway_calls: the number of unfinished oneway calls of the client.
        oneway_full: these are too many, or too large.
        paused: nothing is read until some of them are done.
        tls_handshake: the TLS handshake is not finished.
        auth_pending: the challenge that the client has to answer with its next message.
        identity: who the client has proved to be, see _auth.gate.Identity.
        server_proof: what proves the identity of the server to the client.
        loop_seconds: the time of the loop that the client has used.
        usual_seconds: about the time that its last requests took in the loop.
        shared_seconds, waits_at: see FairOrder.
        is_postponed: the received message is handled after those of other clients.
        counts_as_large: it is one of the few connections whose large requests may keep workers busy now.
        worker: the thread in which the calls of this client run, see workers.Worker.
        suspended_batch: a batch whose execution is interrupted, see batches.Batch.
        deferred: the call of an async method that is to be run, or is running; its task owns the connection then.
        item_request: the last request for an item of a stream that is read in an event loop, None if there was none.
    """

    __slots__ = ("server", "handshake_done", "features", "buffers", "waiting_since", "dropped", "watched", "loop_seconds",
                 "usual_seconds", "shared_seconds", "waits_at", "is_postponed", "auth_pending", "identity", "server_proof",
                 "worker", "counts_as_large", "oneway_calls", "oneway_full", "paused", "tls_handshake", "settings_version",
                 "form", "pending", "suspended_batch", "deferred", "item_request", "is_plain", "_is_new", "_new_until",
                 "_handshake_tokens", "_end_tokens", "_handshake_seconds", "_incoming", "_source", "_max_size",
                 "_max_inflated", "reader", "_parse_error")

    def __init__(self, sock: socket.socket, server: Any, max_size: int, handshake_size: int = 0, *,
                 inflated_size: int = 0, handshake_done: bool = False, keep_open: bool = False, tls: bool = False) -> None:
        super().__init__(sock, keep_open=keep_open)
        self.server = server
        self.handshake_done = handshake_done
        self.features: Optional[FrozenSet[str]] = None
        self.buffers: Any = None
        self.form: Any = None
        self.waiting_since = 0.0
        # A connection that needs no handshake is one of the program, and never shares the account of new clients.
        self._is_new, self._new_until = not handshake_done, 0.0
        self.dropped = self.is_postponed = self.counts_as_large = self.is_plain = False
        # Tokens: pop() of a list is atomic, so exactly one thread gets each of them, without a lock.
        self._handshake_tokens, self._end_tokens = [True], [True]
        self.watched = self.oneway_calls = 0
        self.loop_seconds = self.usual_seconds = self.shared_seconds = 0.0
        self.waits_at: Optional[float] = None
        self._handshake_seconds: Optional[float] = None  # the part of it that was charged before the handshake was done
        self.auth_pending: Any = None
        self.identity: Any = None
        self.server_proof: Optional[bytes] = None
        self.worker: Any = None
        self.oneway_full = self.paused = False
        self.tls_handshake = tls
        self._incoming: Any = None  # what receiver() returns; None: not created yet
        # A socket of the program may be one of the ssl module, which has no limit for records without data.
        self._source: Any = tls_guard.guarded(sock) if keep_open else sock
        self._max_size, self._max_inflated = max_size, inflated_size
        self.reader = MessageReader(max_size, max_inflated=inflated_size)
        if not handshake_done and handshake_size:
            self.reader.max_size, self.reader.size_setting = handshake_size, "MAX_HANDSHAKE_SIZE"
            self.reader.free_annotations = HANDSHAKE_ANNOTATIONS_FACTOR * handshake_size
            self.reader.max_inflated, self.reader.inflated_ratio = HANDSHAKE_INFLATED, HANDSHAKE_INFLATED_RATIO
        self.settings_version = global_version.number
        self._parse_error: Optional[errors.ProtocolError] = None
        self.pending: Any = None
        self.suspended_batch = self.deferred = None
        self.item_request: Optional[ItemRequest] = None

    @classmethod
    def accepted(cls, sock: socket.socket, server: Any) -> ServerConnection:
        """Create the connection of a client that a server has just accepted."""
        limits = server.current_limits()
        return cls(sock, server, limits.message_bytes, limits.handshake_bytes, inflated_size=limits.inflated_bytes,
                   tls=hasattr(sock, "pending"))

    def finish_handshake(self) -> None:
        """Mark the handshake as accepted: messages may have their full size from now on."""
        self.is_shared = self.features is not None and features.OUT_OF_ORDER in self.features
        # From here on the limits of an accepted client apply: full messages, ordinary annotations.
        self.handshake_done = True
        self._new_until = time.monotonic() + NEW_SECONDS
        self.reader.max_size, self.reader.size_setting = self._max_size, "MAX_MESSAGE_SIZE"
        self.reader.free_annotations = 0
        self.reader.max_inflated, self.reader.inflated_ratio = self._max_inflated, INFLATED_RATIO

    def expect_another_handshake(self) -> None:
        """Accept one more CONNECT message, because the first one was answered with a challenge."""
        self._handshake_tokens.append(True)

    def use_buffers(self, options: Any) -> None:
        """Send large buffers beside the payload of messages from now on, and accept them, unless the options are None."""
        self.buffers = options
        self.reader.has_chunks = options is not None
        self.reader.shared = None if options is None else options.shared

    def _read_settings(self) -> None:
        """Apply the limits of the current settings, from the next message on."""
        # First: a change between these lines leaves an old number, so the next message compares again.
        version = global_version.number
        limits = self.server.current_limits()
        self._max_size, self._max_inflated = limits.message_bytes, limits.inflated_bytes
        if self.handshake_done:
            # Before the handshake its own, smaller limits apply; finish_handshake() sets these.
            self.reader.max_size, self.reader.max_inflated = self._max_size, self._max_inflated
        self._incoming = None  # SPINNING may have changed
        self.settings_version = version

    def resume(self) -> None:
        """Continue with a paused connection. Can be called from any thread."""
        self.server.park(self)

    @property
    def stays_plain(self) -> bool:
        """Whether nothing is left to send or to do since the last message, and the client still waits for each reply."""
        return not (self.is_shared or self.outgoing or self.closing or self.oneway_full or self.deferred is not None)

    @property
    def ended(self) -> bool:
        """Whether a thread has begun, or finished, to free what belongs to it. Can be read by any thread."""
        return not self._end_tokens

    @property
    def loop_account(self) -> Any:
        """The account that the loop's time for this connection is charged to.

        Connections that have not finished their handshake share one account, and those that have just finished it share
        another. Connecting costs a client nothing, so one that connects anew for each costly request must not have an
        advantage over clients that stay connected, and one that begins many handshakes must not have one over clients
        whose handshake is done.
        """
        if not self._is_new:
            return self
        if not self.handshake_done:
            return self.server.handshake_account
        if self._handshake_seconds is None:
            self._handshake_seconds = self.loop_seconds
        # Reached only while it is new: afterwards this property, read for every event, does not read the clock.
        if time.monotonic() <= self._new_until:
            return self.server.new_account
        # From here on it pays for itself. What it has used as a new client follows it, so that the clients that are new
        # now do not wait because of those that were.
        self._is_new = False
        account = self.server.new_account
        # Never negative: FairOrder would take it for something without an account.
        account.loop_seconds = max(0.0, account.loop_seconds - (self.loop_seconds - self._handshake_seconds))
        return self

    @property
    def keeps_worker(self) -> bool:
        """Whether the thread that is bound to this connection stays bound: its handshake was accepted, and it has not
        ended.
        """
        return self.handshake_done and bool(self._end_tokens)

    @property
    def has_reserved_worker(self) -> bool:
        """Whether a thread is reserved for this connection."""
        worker = self.worker
        return worker is not None and worker.reserved and worker.owner is self

    @property
    def has_resources(self) -> bool:
        """Whether it has session objects or tracked resources to free at its end."""
        return bool(self.pyroInstances or self._tracked_resources)

    @property
    def is_at_end(self) -> bool:
        """Whether the client has closed its side, and everything that it sent was received. Can be read by any thread.
        False where this cannot be found out without blocking: over TLS, with a timeout of Python's, and on some
        systems.
        """
        # A blocking socket of Python's would wait here, and the flag that prevents it does not exist on Windows.
        if self._uses_python_timeout or not DONT_WAIT or hasattr(self.sock, "pending") or self.sock.gettimeout():
            return False
        try:
            # Peeking leaves the byte for the owner, which may be receiving in another thread.
            return not self.sock.recv(1, socket.MSG_PEEK | DONT_WAIT)
        except OSError as x:
            return not (is_timeout(x) or isinstance(x, (BlockingIOError, InterruptedError)))

    def peer_has_closed(self) -> bool:
        """Return whether the client has closed its side, even if there are data to receive; also over TLS."""
        is_closed = stream_sockets.peer_has_closed(self.sock)
        return self.is_at_end if is_closed is None else is_closed

    def pieces_of(self, steps: Sequence[Any], needs_client: bool) -> Iterator[Optional[Sequence[Any]]]:
        """Return the steps of a batch in pieces, see batch_pieces.pieces_of."""
        return batch_pieces.pieces_of(self, steps, needs_client)

    def suspend(self, message: ReceivingMessage, batch: Any) -> None:
        """Store a batch whose execution is interrupted; its message is the next one to be handled."""
        self.pending, self.suspended_batch = message, batch

    def start_deferred(self) -> None:
        """Run the async method of the request at hand. From here on, its task owns the connection."""
        self.deferred.start()

    def cancel_deferred(self) -> None:
        """Cancel the async method of the request at hand, if there is one, and those that are detached, because the server is
        shutting down. Called by the loop.
        """
        deferred = self.deferred
        # Read once: its task may end, and set it to None, between two looks at the attribute.
        if deferred is not None:
            deferred.running.cancel(SHUTTING_DOWN)
        self.cancel_detached(SHUTTING_DOWN)

    def finish_deferred(self, reply: Optional[SendingMessage]) -> None:
        """Send the reply of an async method, and return the connection to the loop. Called by its task."""
        try:
            if reply is not None and not self.lost:  # the client has gone while the method ran: there is nothing to send to
                self.send_message(reply)
        except OSError as x:
            log.debug("connection with %s lost: %s", self.peer_address, x)
            self.abandon()
        # In this order: from park() on, the loop may start the next request, which looks at `deferred`.
        self.deferred = None
        self.server.park(self)

    def claim_end(self) -> bool:
        """Return True to exactly one caller, which has to free what belongs to the connection. Any thread may call this."""
        return _claim(self._end_tokens)

    def claim_handshake(self) -> bool:
        """Return True to exactly one caller, which may answer the handshake or close the connection. As claim_end()."""
        return _claim(self._handshake_tokens)

    def on_ready(self, events: int) -> None:
        """Continue with the connection. Called by the loop when its socket is ready for some of the watched events."""
        self.server.connection_ready(self, events)

    def close(self) -> None:
        """End the connection. While the loop or a worker still uses it, only shut it down: the loop notices this and
        does the rest.
        """
        if self.dropped or self.ended or self.keep_open:
            self.buffers = self.reader.shared = None
            super().close()
            return
        # Not close(): the number of the socket could be reused by a new connection, while the selector still has it.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    # ------------------------------------------------------------ reading

    @property
    def mid_message(self) -> bool:
        """Whether part of a message was received, and the rest is missing."""
        return self.reader.mid_message

    @property
    def large_bytes(self) -> int:
        """The size of the message that is being received, or of one that did not arrive in one piece; 0 for smaller ones."""
        # A message that has been taken apart is not in the reader any more, so its own size counts.
        pending = self.pending
        if pending is None:
            return self.reader.announced_bytes
        size: int = pending.memory_bytes
        return size if size > RECEIVE_BYTES else 0

    @property
    def expected_seconds(self) -> float:
        """An estimate of the time that the message being received needs: it is served after those that need less."""
        return (self.reader.announced_bytes + self.pending_bytes) * SECONDS_PER_BYTE

    @property
    def pending_bytes(self) -> int:
        """The decompressed size of the message that was received and is not handled yet, 0 if there is none."""
        return 0 if self.pending is None else len(self.pending.data)

    @property
    def buffered_bytes(self) -> int:
        """The number of bytes stored of partly received and partly sent messages."""
        return self.reader.buffered_bytes + sum(map(len, self.outgoing))

    @property
    def refused_message(self) -> Optional[ReceivingMessage]:
        """The message whose header was valid, but which could not be accepted, see MessageReader.refused."""
        return self.reader.refused

    def refuse_message(self) -> None:
        """Discard the received message; it becomes the refused_message: the reply needs its sequence number and serializer."""
        self.reader.refused, self.pending = self.pending, None

    def add_received(self, data: bytes) -> None:
        """Add what has been received by others than `receive`."""
        self.is_plain = False
        self.reader.feed(data)

    def receive_plain(self, source: Any, may_wait: Optional[Callable[[], bool]] = None) -> Tuple[bytes, Optional[bytes]]:
        """Receive from the socket, or what polls it. Return data; or header and payload, see MessageReader.receive_large."""
        # The payload is received without waiting, unless may_wait() allows that: a client may send the header alone.
        if self.reader.expects_large and self._send_flags:
            return self.reader.receive_large(source, self.sock, may_wait, DONT_WAIT)
        return source.recv(RECEIVE_BYTES), None

    def add_plain(self, data: bytes, large: Optional[bytes]) -> None:
        """Add what `receive_plain` has returned."""
        if large is not None and global_version.number == self.settings_version:
            self.pending = ReceivingMessage(data, large)
            self.is_plain = self.handshake_done and not self.is_shared
        else:  # if a setting has changed, its size is checked again
            self.add_received(data + (large or b""))

    def receiver(self) -> Any:
        """Return what a worker receives with: it uses busy polling before it blocks."""
        if self._incoming is None:  # created by the first worker: connections that the loop serves never poll
            self._incoming = self.sock if self._uses_python_timeout else busy_poll.receiver_for(self.sock)
        return self._incoming

    def receive(self, may_wait: Optional[Callable[[], bool]] = None) -> bool:
        """Receive once. Return False if the client has closed its side.

        Args:
            may_wait: of a worker, see receiver() and receive_plain(); None for the loop, which never waits.

        Raises:
            OSError: no data is available (see events_wanted and is_timeout), or the connection is lost.
        """
        self.is_plain = False
        if self.is_shared:
            self.end_sharing()
        source = self._source if may_wait is None else self.receiver()
        if self.reader.mid_body or self.pending is not None:
            return self.reader.receive_from(source) > 0
        data, large = self.receive_plain(source, may_wait)
        self.add_plain(data, large)
        return bool(data)

    @property
    def has_more(self) -> bool:
        """Whether more has been received than the message at hand, or may have been: at least a part of the next one."""
        return self.reader.position > 0 or self.has_tls

    def has_tls_bytes(self) -> bool:
        """Return whether data is buffered inside the TLS layer, where the selector does not see it."""
        return self.has_tls and self.sock.pending() > 0  # type: ignore[attr-defined]

    def fetch_message(self) -> bool:
        """Parse the next complete message for take_message(). Return False if there is none.

        Raises:
            ProtocolError: the data cannot be parsed any further; every later call raises the same error.
        """
        if self.pending is not None:  # receive() has parsed it, or a worker has returned it unhandled
            return True
        if self.is_plain or self.reader.expects_large:
            return False  # nothing was received since the last message
        if global_version.number != self.settings_version:
            self._read_settings()
        if self._parse_error is None:
            try:
                message = self.pending = self.reader.next_message()
                if message is None:
                    return False
                if self.reader.position:
                    self.is_shared = True  # the client does not wait for each reply: its replies are joined until it does
                has_others = message.annotations_size and message.annotations.keys() != features.ONLY_DEADLINE
                self.is_plain = self.handshake_done and not (self.is_shared or self.has_tls or has_others)
                return True
            except errors.ProtocolError as x:
                self._parse_error = type(x)(str(x))  # a copy without the traceback, whose frames refer to all received data
        error: errors.ProtocolError = self._parse_error
        raise error

    @property
    def repeats_item_request(self) -> bool:
        """Whether the received message asks for an item of a stream that is read in an event loop, as the last one did."""
        return self.item_request is not None and self.pending is not None and is_repeated(self.pending, self.item_request)

    def has_next_request(self) -> bool:
        try:
            return self.server is not None and self.fetch_message()
        except errors.ProtocolError:
            return False  # raised again when the request is to be handled

    def watch_held(self) -> None:
        self.server.reply_flusher.watch(self)

    def take_message(self) -> ReceivingMessage:
        """Return the message to be handled now; if none has been received, wait for one.

        Raises:
            CommunicationError: the connection was lost, or the data is not a valid message.
        """
        message: Optional[ReceivingMessage] = self.pending
        self.pending = None
        self.is_postponed = False
        if message is None:
            # Daemon.handleRequest was called by a program, outside of the loop
            message = protocol.recv_stub(self, None, self._max_size)
        return message


def _claim(token: List[bool]) -> bool:
    """Remove the token, and return whether it was there."""
    try:
        return token.pop()
    except IndexError:
        return False
