"""Responses that are streams of server-sent events (text/event-stream), made by a thread of their own."""
from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from typing import Callable, Generator, Iterator, Optional, Set

from . import calls

log = logging.getLogger("Pyro5.utils.gatewayapp")

EVENTS = "text/event-stream"
PATIENCE_SECONDS = 15.0     # without an event; then a comment is sent, to notice clients that have gone
CLOSING_SECONDS = 5.0       # until a thread has noticed that its connection is closed
_COMMENT = b": nothing yet\n\n"


def wants_events(accept: str) -> bool:
    """Return whether a header Accept asks for events."""
    return any(each.partition(";")[0].strip().lower() == EVENTS for each in accept.split(","))


def event(payload: bytes, kind: str = "", number: Optional[int] = None) -> bytes:
    """Return the text of an event.

    Args:
        payload: in JSON.
        kind: of the event; empty for the usual one, ``message``.
        number: the id of the event.
    """
    head = b"event: %s\n" % kind.encode("ascii") if kind else b""
    if number is not None:
        head += b"id: %d\n" % number
    # A serializer of a program may write several lines.
    return head + b"".join(b"data: %s\n" % line for line in payload.splitlines() or [b""]) + b"\n"


class OpenStreams:
    """The streams that are being sent. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()   # guards _streams
        self._streams: Set[EventStream] = set()

    def add(self, stream: EventStream) -> None:
        """Note that a stream has begun."""
        with self._lock:
            self._streams.add(stream)

    def discard(self, stream: EventStream) -> None:
        """Note that a stream has ended."""
        with self._lock:
            self._streams.discard(stream)

    def end(self) -> None:
        """End all streams."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.stop()


class EventStream:
    """The body of a response: the events that a thread produces, and a comment whenever there is none for a while.

    One event is produced while the one before is being sent, and no more: a client that receives slowly slows down the object.

    Args:
        events: produces the events, in a thread of the stream; may raise.
        interrupt: called in any thread while `events` waits: makes it fail.
        release: called at the end, in the thread that produces the events.
        streams: where the stream is noted as long as it is open.
    """

    def __init__(self, events: Generator[bytes, None, None], interrupt: Callable[[], None], release: Callable[[], None],
                 streams: OpenStreams) -> None:
        self._events = events
        self._interrupt = interrupt
        self._release = release
        self._streams = streams
        self._changed = threading.Condition()   # guards those below
        self._is_waiting = True     # the thread waits for the object
        self._next: Optional[bytes] = None
        self._is_over = False
        context = contextvars.copy_context()    # with the correlation id of the request
        self._thread = threading.Thread(target=context.run, args=(self._produce,), daemon=True, name="Pyro5 http events")
        streams.add(self)
        try:
            self._thread.start()
        except RuntimeError:
            streams.discard(self)
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._next is not None or self._is_over, PATIENCE_SECONDS)
            produced, self._next = self._next, None
            if produced is None and self._is_over:
                raise StopIteration
            self._changed.notify_all()
        return _COMMENT if produced is None else produced

    def stop(self) -> None:
        """End the stream, in any thread."""
        with self._changed:
            is_waiting, self._is_over = self._is_waiting, True
            self._is_waiting = False    # it is interrupted once
            self._changed.notify_all()
        # A thread that does not wait for the object ends by itself, and can close the stream of the object first.
        if is_waiting:
            self._interrupt()

    def close(self) -> None:
        """End the stream. Called by the server that sends it, when it has ended or the client is gone."""
        self.stop()
        self._thread.join(CLOSING_SECONDS)

    def _produce(self) -> None:
        try:
            self._produce_all()
        except Exception as x:  # thread boundary: from the network, or the object
            self._put(event(calls.encode_error(x), "failure"))
        finally:
            with contextlib.suppress(Exception):    # it was cancelled, or the object is gone: the client has been told
                self._release()
            self._streams.discard(self)
            with self._changed:
                self._is_over, self._is_waiting = True, False
                self._changed.notify_all()

    def _produce_all(self) -> None:
        with contextlib.closing(self._events):
            for each in self._events:
                if not self._put(each):
                    return

    def _put(self, produced: bytes) -> bool:
        """Pass on an event when the one before has been taken; return whether more are wanted."""
        with self._changed:
            self._is_waiting = False
            self._changed.wait_for(lambda: self._next is None or self._is_over)
            if self._is_over:
                return False
            self._next, self._is_waiting = produced, True
            self._changed.notify_all()
            return True
