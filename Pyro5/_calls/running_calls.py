"""The calls that a daemon is running: their deadlines, and how a method learns that its client does not wait any more.

A method that never asks pays for one small object per call. The first use of ``current_context.cancelled`` starts a thread
of the daemon that watches the clients and the deadlines of the calls that asked; it ends when there have been none for a
while.
"""
from __future__ import annotations

import select
import threading
import time
from collections import OrderedDict
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .. import errors
from ..callcontext import Request, begin_request, new_correlation_bytes
from .._net.stream_sockets import peer_has_closed
from .._net.wakeup import Wakeup
from .._observe import trace_context
from .._observe.statistics import MAX_PENDING, Statistics, now
from .._wire import features
from ..protocol import FLAGS_CORR_ID, FLAGS_ONEWAY, HEADER_SIZE, ReceivingMessage

WATCH_SECONDS = 0.02  # interval of checks where the system cannot report that the other side has closed the connection
LINGER_SECONDS = 5.0  # the watching thread ends when it has had no calls for this time
MAX_EARLY_CANCELLATIONS = 1024  # stored for requests that have not arrived yet
EARLY_SECONDS = 60.0  # how long they are stored; requests and their cancellations use different connections
_HUNG_UP = getattr(select, "POLLRDHUP", 0)

CANCELLED = "its client has cancelled it"
CLIENT_LOST = "the connection of its client has ended"
LATE = "its deadline has passed"


class CancelledEvent(threading.Event):
    """Set when a call is cancelled. Asking it looks at the socket, so that it is right on every server type."""

    def __init__(self, call: RunningCall) -> None:
        super().__init__()
        self._call = call

    def is_set(self) -> bool:
        """Return whether the call is cancelled."""
        # The event may not be set yet: a look at the socket finds a lost connection sooner than the thread that
        # watches it.
        return super().is_set() or self._call.is_cancelled()


class RunningCall(Request):
    """One request that is being run, as `current_context` and the daemon see it. Made by `RunningCalls.begin`.

    Attributes:
        object_id: of the called object, "" before the request is decoded.
        deadline: monotonic time until which the client waits, None if it did not say.
        reason: why it is cancelled, "" if it is not.
        runs_elsewhere: another thread runs it (a oneway call, or that of an async method), and ends it.
        on_cancel: called when it is cancelled, in any thread.
        method: the name of the called method, "" before the request is decoded.
        started: when it began (of `Statistics`), 0.0 if it is not counted.
        failed: it has raised an exception.
        inner_calls: of a batch, the calls in it that were executed.
        is_special: the last two are to be counted.
        traceparent: the trace context of its caller, empty if there is none.
        thread: the identifier of the thread that runs it, if stalled calls are logged.
    """

    # There is no constructor: class attributes are cheaper than assignments, and begin() assigns the rest, without a frame for
    # each request.
    correlation_id: bytes
    _calls: RunningCalls
    object_id = method = traceparent = ""
    thread = 0
    started = 0.0
    failed = is_special = False
    inner_calls = 0
    deadline: Optional[float] = None
    reason = ""
    runs_elsewhere = False
    on_cancel: Optional[Callable[[], None]] = None
    _event: Optional[CancelledEvent] = None

    @property
    def call(self) -> RunningCall:
        """Itself."""
        return self

    @property
    def peer_address(self) -> Any:
        """The address of the client."""
        return self.connection.peer_address

    @property
    def annotations(self) -> Dict[str, Any]:  # type: ignore[override]
        """The annotations that came with the request, without those that are for the server."""
        # Most requests have none, and most methods do not ask.
        return self.__dict__.setdefault("_annotations", {})  # type: ignore[no-any-return]

    @property
    def is_oneway(self) -> bool:
        """Whether the client does not wait for it, and may disconnect at any time."""
        return bool(self.flags & FLAGS_ONEWAY)

    def read_annotations(self, message: ReceivingMessage) -> None:
        """Store a copy of the annotations of a request, after removing those that are for the server."""
        # Only clients that have announced the feature send deadlines: annotations of other clients belong to the program.
        if self.connection.features:
            self.read_deadline(message)
            if features.TRACING in self.connection.features:
                self.read_trace(message)
        # A copy: the program may change what it sees, and the message stays as it was received.
        self.__dict__["_annotations"] = dict(message.annotations)

    def read_deadline(self, message: ReceivingMessage) -> None:
        """Read the deadline that a request carries, and take it out of the annotations.

        The client says how much time is left, not until when: the clocks need not agree. The time that the request has waited
        here, since its connection became readable, is part of it.
        """
        # Removed in any case, also if it is invalid: the program must see only annotations of the other program.
        annotation = message.annotations.pop(features.DEADLINE_ANNOTATION, None)
        left = None if annotation is None else features.parse_deadline(annotation)
        if left is not None:
            self.set_seconds_left(left)

    def set_seconds_left(self, left: float) -> None:
        """Set the deadline of a request that had this many seconds left when its connection became readable."""
        now = time.monotonic()
        # The time that the request has waited for a worker belongs to the deadline. `waiting_since` is 0.0 if it did not wait.
        self.deadline = min(getattr(self.connection, "waiting_since", None) or now, now) + left
        if now >= self.deadline:
            self.cancel(LATE)

    def note_thread(self) -> None:
        """Note that the calling thread runs it."""
        self.thread = threading.get_ident()

    def read_trace(self, message: ReceivingMessage) -> None:
        """Read the trace context that a request carries, and take it out of the annotations."""
        annotation = message.annotations.pop(features.TRACE_ANNOTATION, None)
        if annotation is not None and len(annotation) <= trace_context.MAX_BYTES:
            text = bytes(annotation).decode("ascii", "replace")
            # It is passed on to other servers: nothing but a valid one.
            self.traceparent = text if trace_context.parse(text) else ""

    @property
    def cancelled(self) -> CancelledEvent:
        """The event that is set when the call is cancelled; made, and watched, from its first use on."""
        event = self._event
        if event is None:
            # Stored before the check: a cancellation in another thread either finds the event, or is found by the check.
            # Several threads of the method may be here at the same time: all get one event, because setdefault() is atomic.
            event = self.__dict__.setdefault("_event", CancelledEvent(self))
            if self.is_cancelled():
                event.set()  # the cancellation may have come before there was an event to set
            else:
                self._calls.watcher.watch(self)
        return event

    def is_cancelled(self) -> bool:
        """Return whether the call is cancelled, looking at the clock and at the client's connection now."""
        # The first reason stays: a call that was cancelled is not late afterwards.
        if not self.reason:
            reason = self.find_reason()
            if reason:
                self.cancel(reason)
        return bool(self.reason)

    def find_reason(self) -> str:
        """Return why the call should be cancelled now; "" if it should not."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return LATE
        # Its client may disconnect at any time: this says nothing about the call.
        if self.is_oneway:
            return ""
        try:
            has_closed = peer_has_closed(self.connection.sock)
        except (OSError, ValueError):  # it is closed on this side
            return CLIENT_LOST
        return CLIENT_LOST if (self.connection.is_at_end if has_closed is None else has_closed) else ""

    def cancel(self, reason: str) -> None:
        """Set the event. May be called in any thread, more than once."""
        self.reason = self.reason or reason
        event = self._event
        # Read once, because finish() of an async method may reset it in the loop's thread.
        if event is not None:
            event.set()
        on_cancel = self.on_cancel
        if on_cancel is not None:
            on_cancel()

    def stop_if_cancelled(self) -> None:
        """Do what `check` does, without a look at the connection: the server looks at it itself from time to time."""
        if self.reason or self.deadline is not None and time.monotonic() >= self.deadline:
            self.check()

    def check(self) -> None:
        """Raise an exception if the call is cancelled.

        Raises:
            TimeoutError: its deadline has passed.
            CancelledError: the client has cancelled it, or has disconnected.
        """
        if self.is_cancelled():
            if self.reason == LATE:
                raise errors.TimeoutError("the call was stopped: " + LATE)
            raise errors.CancelledError("the call was stopped: " + self.reason)


class RunningCalls:
    """All calls that a daemon is running. Thread-safe: sets and dicts are changed by single atomic operations."""

    def __init__(self) -> None:
        self._running: Set[RunningCall] = set()
        self._early: OrderedDict[Tuple[bytes, Optional[int]], float] = OrderedDict()
        self._early_lock = threading.Lock()  # guards _early
        self.watcher = CallWatcher()
        self.logs_stalls = False
        self.statistics: Optional[Statistics] = None  # None: calls are not counted

    def begin(self, connection: Any, message: ReceivingMessage) -> RunningCall:
        """Return a call that counts as running until `end`, and make it the one of the current context.

        Its deadline is taken out of the annotations of the request.
        """
        flags = message.flags
        # not corr_bytes: reading that property takes as long as the rest of this line
        call = self.begin_plain(connection, message.seq, flags, message.serializer_id, message.corr_id
                                if flags & FLAGS_CORR_ID else new_correlation_bytes(),
                                message.data_size + message.annotations_size + HEADER_SIZE)
        if message.annotations:
            call.read_annotations(message)
        if self.statistics is not None and connection.waiting_since:
            self.statistics.record_wait(max(0.0, time.monotonic() - connection.waiting_since))
        if self.logs_stalls:
            call.started, call.thread = call.started or now(), threading.get_ident()
        return call

    def begin_plain(self, connection: Any, seq: int, flags: int, serializer_id: int, correlation_id: bytes,
                    size: int, left: Optional[float] = None) -> RunningCall:
        """Do what `begin` does for a request whose only annotation may be a deadline, and that has not waited.

        Args:
            size: in bytes.
            left: the seconds until its deadline; None: it has none.
        """
        call = RunningCall()
        call._calls = self
        call.connection = connection
        call.seq = seq
        call.flags = flags
        call.serializer_id = serializer_id
        call.correlation_id = correlation_id
        begin_request(call)
        if left is not None:
            call.set_seconds_left(left)
        if self.statistics is not None:
            call.started = now()
            connection.bytes_received += size
        self._running.add(call)  # before the look at _early, see `cancel`
        if self._early:
            self.resume(call)
        return call

    def resume(self, call: RunningCall) -> None:
        """Count a call as running again, after `end`."""
        self._running.add(call)
        if self._early and self._was_cancelled_early(call.correlation_id, call.seq):
            call.cancel(CANCELLED)

    def end(self, call: RunningCall) -> None:
        """Note that a call has ended."""
        self._running.discard(call)
        if call._event is not None:
            self.watcher.forget(call)
        statistics = self.statistics
        # Without a method: it could not be decoded, or is a batch that goes on later.
        if statistics is not None and call.started and call.method:
            row = statistics.index[call.object_id, call.method]
            row.append(now() - call.started)
            if len(row) >= MAX_PENDING or call.is_special:
                statistics.fold(row, call)

    def is_running(self, connection: Any, correlation_id: bytes) -> bool:
        """Return whether a call of this connection with this correlation id is running."""
        return any([call.connection is connection and call.correlation_id == correlation_id for call in list(self._running)])

    def list(self) -> List[RunningCall]:
        """Return the calls that are running."""
        return list(self._running)

    def has_calls_of_others(self, object_id: str, connection: Any, correlation_id: Optional[bytes]) -> bool:
        """Return whether calls of an object are running that came over another connection, and belong to another chain."""
        return any([call.object_id == object_id and call.connection is not connection and call.correlation_id != correlation_id
                    for call in list(self._running)])

    def cancel(self, correlation_id: bytes, seq: Optional[int] = None) -> bool:
        """Cancel the calls with this correlation id, or the one of them with this sequence number.

        Returns:
            False if none of them is running. One that begins within a minute is then cancelled before it begins.
        """
        if self._cancel_running(correlation_id, seq):
            return True
        with self._early_lock:
            self._early[correlation_id, seq] = time.monotonic() + EARLY_SECONDS
            # A client can send any number of these; the oldest are dropped, whose requests are the least likely to arrive.
            while len(self._early) > MAX_EARLY_CANCELLATIONS:
                self._early.popitem(last=False)
        # The call may have begun after it was looked for above, and before the cancellation was stored. `begin` adds the call
        # first and looks at the stored cancellations afterwards, and this does the reverse: one of the two sees the other.
        return self._cancel_running(correlation_id, seq)

    def _cancel_running(self, correlation_id: bytes, seq: Optional[int]) -> bool:
        found = [call for call in list(self._running)
                 if call.correlation_id == correlation_id and (seq is None or seq == call.seq)]
        for call in found:
            call.cancel(CANCELLED)
        return bool(found)

    def _was_cancelled_early(self, correlation_id: bytes, seq: int) -> bool:
        now = time.monotonic()
        with self._early_lock:
            # In the order of their times, because all are kept for the same duration.
            while self._early and next(iter(self._early.values())) < now:
                # Not removed if it was for all calls with this id: there may be several requests of one logical call.
                self._early.popitem(last=False)
            return (self._early.pop((correlation_id, seq), None) is not None
                    or (correlation_id, None) in self._early)


class CallWatcher:
    """Sets the events of calls whose deadline passes or whose client hangs up. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the rest
        self._watched: Set[RunningCall] = set()
        self._wakeup: Optional[Wakeup] = None
        self._thread: Optional[threading.Thread] = None
        self._is_stopping = False

    def watch(self, call: RunningCall) -> None:
        """Watch a call until it is cancelled or `forget` is called."""
        with self._lock:
            self._watched.add(call)
            # Started by the first method that asks. Servers whose methods never ask have no such thread.
            if self._thread is None:
                self._is_stopping = False
                self._wakeup = Wakeup()
                self._thread = threading.Thread(target=self._run, args=(self._wakeup,), name="Pyro5 call watcher", daemon=True)
                self._thread.start()
            elif self._wakeup is not None:
                self._wakeup.wake()  # it waits for the sockets that it knew before: it has to include this one

    def forget(self, call: RunningCall) -> None:
        """Watch a call no longer."""
        # Looked up without the lock: most calls that end were never watched.
        if call in self._watched:
            with self._lock:
                self._watched.discard(call)

    def stop(self) -> None:
        """End the thread, and wait for that (unless it is the calling one)."""
        with self._lock:
            thread = self._thread
            self._is_stopping = True
            if self._wakeup is not None:
                self._wakeup.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, wakeup: Wakeup) -> None:
        idle_since = self._clock()
        while True:
            with self._lock:
                watched = list(self._watched)
                now = self._clock()
                idle_since = now if watched else idle_since
                if self._is_stopping or now - idle_since >= LINGER_SECONDS:
                    # Decided under the lock: watch() either finds the thread alive, or starts a new one.
                    self._thread = self._wakeup = None
                    wakeup.close()
                    return
            gone = self._wait(wakeup, watched, now)
            for call in watched:
                if call in gone or call.deadline is not None and self._clock() >= call.deadline:
                    self._cancel(call, CLIENT_LOST if call in gone else LATE)
            # Else the frame of this thread would keep the calls, and all that their arguments refer to, until the
            # next event.
            del watched, gone

    def _cancel(self, call: RunningCall, reason: str) -> None:
        self.forget(call)
        call.cancel(reason)

    def _wait(self, wakeup: Wakeup, watched: List[RunningCall], now: float) -> Set[RunningCall]:
        """Wait until something may have to be done, and return the calls whose client has hung up."""
        deadlines = [call.deadline for call in watched if call.deadline is not None]
        timeout = max(min(deadlines) - now, 0.0) if deadlines else LINGER_SECONDS
        if not _HUNG_UP:
            select.select([wakeup], [], [], min(timeout, WATCH_SECONDS) if watched else timeout)
            wakeup.drain()
            return {call for call in watched if call.find_reason() == CLIENT_LOST}
        poll = select.poll()
        poll.register(wakeup.fileno(), select.POLLIN)
        by_fd: Dict[int, List[RunningCall]] = {}
        gone: Set[RunningCall] = set()
        for call in watched:
            fd = -1 if call.is_oneway else call.connection.sock.fileno()
            if fd >= 0:
                by_fd.setdefault(fd, []).append(call)
                poll.register(fd, _HUNG_UP)
            elif not call.is_oneway:
                gone.add(call)  # closed on this side
        for fd, _events in poll.poll(0 if gone else timeout * 1000):
            gone.update(by_fd.get(fd, ()))
        wakeup.drain()
        return gone
