"""The event loop: a selector, a way to wake it, periodic work, loops combined with it, and its end.

Objects that are registered in the selector have a method ``on_ready(events)``. Those with an attribute
``loop_seconds`` (0 at first) are handled in the order of the loop's time that they have used, after all others;
``expected_seconds`` is added to it before the request is handled. Objects with the same attribute ``loop_account``
share the time that is counted there. See the module ``fair_order``, which sets further attributes.

Stopping is safe from any thread, from a signal handler, and inside of anything that the loop has called.
"""
from __future__ import annotations

import contextlib
import logging
import math
import os
import selectors
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Iterator, List, Optional

from .. import config, errors
from .._net.busy_poll import PollingSelector, loop_selector
from .._net.wakeup import Wakeup
from .attached import Attachment
from .fair_order import FairOrder, ParkedEntry
from .housekeeping import Housekeeper

log = logging.getLogger("Pyro5.server.eventloop")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
USUAL_POLL_SECONDS = 2.0  # when POLLTIMEOUT is None
TICK_SECONDS = 2.0  # about how often tick() is called
# How long ready connections, or the requests that one client has sent in one piece, are handled before the selector is asked
# for others. Asking takes about 60 microseconds with 20 busy clients.
TURN_SECONDS = 0.004
BEHIND_SECONDS = 5.0  # Received data is handled before deadlines are checked, unless the loop is this far behind.
NEVER = math.inf  # the time of a deadline that does not exist
END_SECONDS = 1.0  # how long closing may take after running calls have ended or been given up


class _WakeupHandler:
    """The entry of the wake-up in the selector."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop

    def on_ready(self, events: int) -> None:
        self._loop.woken()


class _ForeignSocket:
    """The entry of a socket of another object (which has ``events(sockets)``) in the selector."""

    def __init__(self, loop: EventLoop, owner: Any, sock: Any) -> None:
        self._loop = loop
        self._owner = owner
        self._sock = sock

    def on_ready(self, events: int) -> None:
        try:
            self._owner.events([self._sock])
        except Exception:  # foreign code: an error must neither end the loop nor repeat for ever
            log.exception("%r failed, its socket is not watched any more", self._owner)
            # Unregistered, not closed: the socket belongs to the other object, which may use it in other ways.
            self._loop.selector.unregister(self._sock)


def _poll_seconds() -> float:
    return USUAL_POLL_SECONDS if config.POLLTIMEOUT is None else float(config.POLLTIMEOUT)


class EventLoop:
    """Waits for sockets, and calls the objects that are registered for them.

    Everything belongs to the thread that runs the loop, unless stated otherwise.

    Attributes:
        selector: waits for the sockets; combined loops share one.
        stopping: shutdown() was called.
        housekeeper: the interval of the program's periodic work; None: there is none.
        parked: connections that workers have returned, waiting for their turn. Any thread may append to it.
        earliest_deadline: no deadline passes before this time (monotonic seconds). A lower bound; next_deadline() updates it.
    """

    earliest_deadline = 0.0

    def __init__(self) -> None:
        self.selector: selectors.BaseSelector = loop_selector()
        self._owns_selector = True
        self.stopping = False
        self._wakeup = Wakeup()
        self._next_tick = 0.0
        self._polling_selector: Optional[PollingSelector] = None
        self._order = FairOrder()
        self._all_handled_at = 0.0
        self.parked: Deque[Any] = deque()
        self.read_settings()
        self.housekeeper: Optional[Housekeeper] = Housekeeper(min(TICK_SECONDS, self._poll_seconds))
        self._combined: List[EventLoop] = []
        self._foreign: List[Any] = []
        self._outer: Optional[EventLoop] = None  # the loop that this one is combined with
        self._attachment: Optional[Attachment] = None  # to an asyncio event loop
        self._pid = os.getpid()
        self._loop_thread: Optional[int] = None  # None while no loop runs
        # Held by the thread that runs the loop, or one turn of it, or frees everything. Reentrant, because a call may stop
        # the loop.
        self._turn = threading.RLock()
        # Acquired once, and never released, by the thread that frees everything: shutdown() can be called several times.
        self._release_gate = threading.Lock()
        # Set when everything is freed; close() waits for it.
        self._released = threading.Event()

    def read_settings(self) -> None:
        """Apply the current settings."""
        self._poll_seconds = _poll_seconds()
        self._finish_seconds = max(0.0, config.SHUTDOWN_TIMEOUT or 0.0)  # at the end, for running calls and replies

    # ------------------------------------------------------------ methods for subclasses to override

    def tick(self) -> None:
        """Do periodic work. Called every few seconds."""

    def resume_parked(self, connection: Any) -> None:
        """Continue with a parked connection."""

    def next_deadline(self) -> float:
        """Return the next deadline (monotonic seconds), or NEVER."""
        return NEVER

    def handle_expired(self, now: float) -> None:
        """Handle the deadlines that have passed."""

    def woken(self) -> None:
        """Discard the wake-up. Called by the loop after wakeup()."""
        self._wakeup.drain()

    def begin(self) -> None:
        """Start what the loop needs. Called before it runs."""

    def free(self) -> None:
        """Free all resources of the subclass. Called when the loop has ended."""

    def end_background(self) -> None:
        """End the thread that runs this loop in the background, if there is one: another loop takes over."""

    def in_worker(self) -> bool:
        """Return whether the calling thread is a worker of this loop, which must not wait for the end of the loop."""
        return False

    # ------------------------------------------------------------ running

    def watch_wakeup(self) -> None:
        """Register the wake-up, so that wakeup() works."""
        self.register(self._wakeup, READ, _WakeupHandler(self))

    def register(self, sock: Any, events: int, data: Any) -> None:
        """Register a socket. An old entry with the same file descriptor belongs to a socket that was closed without
        notice, and is removed.
        """
        try:
            self.selector.register(sock, events, data)
        except KeyError:
            self.selector.unregister(sock)
            self.selector.register(sock, events, data)

    def loop(self, loopCondition: Callable[[], bool] = lambda: True) -> None:
        """Serve until shutdown() is called, loopCondition() returns False, or Ctrl-C interrupts the loop. Only
        shutdown() frees all resources.

        Args:
            loopCondition: called after each event, and at least every POLLTIMEOUT seconds.

        Raises:
            DaemonError: the loop is running in another thread.
        """
        # if it is stopping, this call frees everything
        if self._loop_thread not in (None, threading.get_ident()) and not self.stopping:
            raise errors.DaemonError("the request loop runs in another thread already")
        if self._attachment is not None and self._attachment.is_running and not self.stopping:
            raise errors.DaemonError("the daemon is attached to an event loop, which serves the clients already")
        with self.running():
            try:
                self.begin()
                while not self.stopping and loopCondition():
                    self.run_once(self._round_seconds())
            except KeyboardInterrupt:  # programs do their cleanup after the loop
                log.debug("the loop ends: interrupted from the keyboard")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Mark the loop as running in this thread: shutdown() only requests the end, and everything is freed when the
        (outermost) block ends.
        """
        with self._turn:
            try:
                with self.turn():
                    yield
            finally:
                # Nested when a call that the loop runs calls events(): only the outermost block frees everything.
                if self.stopping and self._loop_thread is None:
                    self.release()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Mark the loop as running in this thread; nothing is freed at the end of the block."""
        with self._turn:
            before, self._loop_thread = self._loop_thread, threading.get_ident()
            try:
                yield
            finally:
                self._loop_thread = before

    def attach(self, loop: Any) -> None:
        """Make an asyncio event loop do the work of this loop, as soon as it runs.

        Raises:
            DaemonError: the request loop runs already, here or in an event loop, or the daemon is combined with another one.
        """
        if self._running_thread() is not None or self._outer is not None:
            raise errors.DaemonError("the daemon is served by another loop already")
        self.end_background()
        self._attachment = Attachment(self, loop)
        loop.call_soon_threadsafe(self._attachment.begin)

    def seconds_to_wait(self) -> float:
        """Return for how long there is nothing to do unless a socket is ready."""
        return self._until_deadline(self._round_seconds())

    def _running_thread(self) -> Optional[int]:
        """Return the thread that is running this loop, or the one that it is combined with; None if there is none."""
        # A combined loop has no thread of its own.
        if self._loop_thread is None and self._outer is not None:
            return self._outer._running_thread()
        if self._loop_thread != threading.get_ident() and self.in_forked_child():
            return None  # that thread exists in the parent process only
        if self._loop_thread is None and self._attachment is not None and self._attachment.is_running:
            return self._attachment.thread
        return self._loop_thread

    def run_once(self, timeout_seconds: float) -> None:
        """Wait at most this long for events, and handle them."""
        if self.earliest_deadline != NEVER or self._combined:
            timeout_seconds = self._until_deadline(timeout_seconds)
        polling = self._polling_selector
        # With a timeout of 0 the caller wants no waiting at all, and polling is a kind of waiting.
        ready = (self.selector.select(timeout_seconds) if polling is None or not timeout_seconds
                 else polling.select(self.selector, timeout_seconds))
        # Data that arrives from here on is handled in the next turn, so its connection must not be timed out in this one.
        now = time.monotonic()
        order = self._order
        order.turn_ends = now + TURN_SECONDS
        if self.parked or self._combined:
            # A wake-up, which would come first anyway, is no client that shares the turn with a parked connection.
            if len(ready) == 1 and type(ready[0][0].data) is _WakeupHandler:
                ready.pop()[0].data.on_ready(READ)
            ready += self._take_parked()
        if len(ready) > 1:
            left = order.handle_all(ready, now)
            for key, _ in left:  # sockets are still ready in the selector; parked connections are in none
                if type(key) is ParkedEntry:
                    key.loop.parked.append(key.data)
            if not left:
                self._all_handled_at = now
        else:
            self._all_handled_at = now
            if ready:
                order.handle_one(ready[0], now)
        # In most turns nothing is due: comparing this here saves 70 byte codes.
        if now >= self._next_tick or now >= self.earliest_deadline or self.parked or self._combined:
            self.run_due(max(self._all_handled_at, now - BEHIND_SECONDS))

    def _take_parked(self) -> List[Any]:
        """Remove parked connections from the queue, and return them in the form of the selector's entries, to be
        handled in the same fair order.

        Only those that have ended are handled at once, until the turn is over: this makes room for new clients.
        """
        entries: List[Any] = []
        # Only those that are there now: handling them may park more, and other threads do at any time.
        for _ in range(len(self.parked)):
            connection = self.parked.popleft()
            if not getattr(connection, "ended", False):
                entries.append((ParkedEntry(connection, self), 0))
            elif self.turn_is_over():
                self.parked.append(connection)
            else:
                self.resume_parked(connection)
        for other in self._combined:
            entries += other._take_parked()
        return entries

    def turn_is_over(self) -> bool:
        """Return whether the code that runs in the loop has to return, so that other connections are handled."""
        return time.monotonic() > self._current_order().turn_ends

    @property
    def turn_is_shared(self) -> bool:
        """Whether more than one connection was ready at the beginning of this turn."""
        return self._current_order().is_shared

    def _current_order(self) -> FairOrder:
        """Return the order of the loop that runs: the outermost one of combined daemons."""
        # The turn is that of the outermost loop: combined ones run within it.
        loop = self
        while loop._outer is not None:
            loop = loop._outer
        return loop._order

    def _round_seconds(self) -> float:
        """Return how long the loop may wait before it checks whether periodic work is due."""
        housekeeper = self.housekeeper
        return self._poll_seconds if housekeeper is None else min(self._poll_seconds, max(0.0, housekeeper.waittime))

    def housekeeping_is_due(self) -> bool:
        """Return whether the program's periodic work has to be done now; if so, start its next interval."""
        housekeeper = self.housekeeper
        return housekeeper is not None and housekeeper.is_due(time.monotonic())

    def _until_deadline(self, timeout_seconds: float) -> float:
        now = time.monotonic()
        if self.earliest_deadline - now < timeout_seconds:
            timeout_seconds = max(0.0, min(timeout_seconds, self.next_deadline() - now))
        for other in self._combined:
            timeout_seconds = other._until_deadline(timeout_seconds)
        return timeout_seconds

    def run_due(self, now: float) -> None:
        """Handle passed deadlines and periodic work, here and in the combined loops."""
        # Parked during this turn: the next select() must not block.
        if self.parked:
            self._wakeup.wake()
        self.handle_expired(now)
        if now >= self._next_tick:
            self._next_tick = now + min(TICK_SECONDS, self._round_seconds())
            self.tick()
        # A copy, because a daemon that was closed is removed from the list.
        for other in list(self._combined):
            other.run_due(now)
            if other.stopping:
                self._combined.remove(other)
                other.release()

    # ------------------------------------------------------------ stopping

    def shutdown(self) -> None:
        """Make the loop end and free all resources, at once if it is not running.

        Can be called from any thread, from a signal handler, and inside a call (whose reply is still sent).
        """
        # The flag first: the loop reads it after it was woken. Both steps are safe in a signal handler.
        self.stopping = True
        self._wakeup.wake()
        # In a call, or while the loop runs, freeing everything now would close the sockets under the code that uses them.
        if self._running_thread() is None:
            self.release()

    def wakeup(self) -> None:
        """Make the loop check its condition now. Can be called from any thread and from a signal handler."""
        self._wakeup.wake()

    def close(self) -> None:
        """Stop the loop, and wait until all resources are freed; inside a call, only stop it. Any thread may call this."""
        if self._attachment is not None and not self.in_forked_child():
            self._attachment.end_from_outside()
        self.shutdown()
        if self._running_thread() != threading.get_ident() and not self.in_worker():
            # Bounded, because a call that never returns must not block close() for ever.
            self._released.wait(self._finish_seconds + 2 * END_SECONDS)

    def discard(self) -> None:
        """Free a loop that was not completely created."""
        self._wakeup.close()
        self.selector.close()

    def release(self) -> None:
        """Free all resources, once. May be called from any thread that does not run the loop."""
        if self.in_forked_child():
            self.close_in_child()
            return
        if not self._release_gate.acquire(blocking=False):
            return  # another thread does it, or has done it
        # Waits for a turn that is running in another thread; a call in this thread holds the lock already.
        with self._turn:
            self._release_now()

    def in_forked_child(self) -> bool:
        """Return whether this process is a fork of the one that created the loop, and owns its sockets and selector."""
        return os.getpid() != self._pid

    def close_in_child(self) -> None:
        """Close the file descriptors in a forked child, without changing anything that the parent uses."""
        self._wakeup.close()
        self.selector.close()
        self._released.set()

    def _release_now(self) -> None:
        # Set, so that user code that runs during the cleanup and calls close() does not wait for itself.
        self._loop_thread = threading.get_ident()
        try:
            self.free()
            for other in self._combined:
                other.stopping = True
                other.release()
            self.selector.unregister(self._wakeup)
            self._wakeup.close()
            if self._owns_selector:
                self.selector.close()
        finally:
            self._loop_thread = None
            self._released.set()

    # ------------------------------------------------------------ combining

    def combine(self, other: EventLoop) -> None:
        """Make this loop do the work of another one, too.

        Raises:
            ValueError: the other one is stopped, or combined already, or this loop itself.
        """
        # Combining in a circle would make run_due() recurse without an end.
        if other is self or other._outer is not None or self._outer is other or other.stopping or self.stopping:
            raise ValueError("cannot combine these daemons: one is closed, or combined already, or they are the same")
        # Its own thread must not use the selector while the entries move.
        other.end_background()
        for key in list(other.selector.get_map().values()):
            self.register(key.fileobj, key.events or READ, key.data)  # 0: a worker is accepting instead of the loop
        other.selector.close()
        other._share_selector(self.selector)
        other._outer = self
        self._combined.append(other)

    def _share_selector(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self._owns_selector = False
        for child in self._combined:  # daemons that were combined with that one before
            child._share_selector(selector)

    def combine_foreign(self, other: Any) -> None:
        """Make this loop wait for the sockets of an object that has ``sockets`` and ``events(sockets)``."""
        for sock in other.sockets:
            self.register(sock, READ, _ForeignSocket(self, other, sock))
        self._foreign.append(other)

    def _sockets_of_combined(self) -> List[Any]:
        """Return the sockets of the combined objects, for a program with its own event loop."""
        return [sock for other in (*self._combined, *self._foreign) for sock in other.sockets]
