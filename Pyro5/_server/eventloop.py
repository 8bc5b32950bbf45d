"""The bare event loop: a selector, a way to wake it, periodic work, other loops joined to it, and its end.

What is registered in the selector is an object with ``on_ready(events)``.  One that has the attribute ``loop_seconds``,
at first 0, has its turn when those that have had less of the loop's time have had theirs; others are always the first.  (What
it will need now, ``expected_seconds``, counts as if it had had it already.)  Several that have the same object as attribute
``loop_account`` share the time that is counted there.
Stopping is safe from any thread, from a signal handler and from inside something that the loop has called.
"""
from __future__ import annotations

import contextlib
import logging
import os
import selectors
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Iterator, List, Optional

from .. import config, errors
from .._net.busy_poll import PollingSelector
from .._net.wakeup import Wakeup
from .fair_order import FairOrder, ParkedEntry
from .housekeeping import Housekeeper

log = logging.getLogger("Pyro5.server.eventloop")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
USUAL_POLL_SECONDS = 2.0  # when POLLTIMEOUT is None
TICK_SECONDS = 2.0  # housekeeping happens about this often
TURN_SECONDS = 0.02  # those that are ready get so much of the loop's time before it looks who else has become ready
BEHIND_SECONDS = 5.0  # what has come in is looked at, before anybody is overdue, unless the loop is that far behind
END_SECONDS = 1.0  # how long the end itself may take, when what was under way is done or given up


class _Woken:
    """Registers the wakeup in the selector."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop

    def on_ready(self, events: int) -> None:
        self._loop.woken()


class _Foreign:
    """Registers a socket of something else (that has ``events(sockets)``) in the selector."""

    def __init__(self, loop: EventLoop, owner: Any, sock: Any) -> None:
        self._loop = loop
        self._owner = owner
        self._sock = sock

    def on_ready(self, events: int) -> None:
        try:
            self._owner.events([self._sock])
        except Exception:  # border to foreign code: it must not end the loop, nor keep it busy
            log.exception("%r failed, its socket is not watched any more", self._owner)
            self._loop.selector.unregister(self._sock)


def _poll_seconds() -> float:
    return USUAL_POLL_SECONDS if config.POLLTIMEOUT is None else float(config.POLLTIMEOUT)


class EventLoop:
    """Waits for sockets and calls what is registered for them.

    Everything belongs to the thread that runs the loop, except what says otherwise.

    Attributes:
        selector: what the loop waits with; combined loops share one.
        stopping: shutdown() was called.
        housekeeper: the interval of the program's periodic work; None: it is not done.
        parked: what was given (back) to the loop, and waits for its turn; any thread may append to it.
    """

    def __init__(self) -> None:
        self.selector: selectors.BaseSelector = selectors.DefaultSelector()
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
        self._master: Optional[EventLoop] = None  # whose loop does this one's work
        self._pid = os.getpid()
        self._loop_thread: Optional[int] = None  # None while no loop runs
        # held by the thread that runs the loop, or a turn of it, or frees everything
        self._turn = threading.RLock()
        # acquired once and for ever, by whoever frees everything
        self._release_gate = threading.Lock()
        # set when everything is freed
        self._released = threading.Event()

    def read_settings(self) -> None:
        """Use the settings as they are now."""
        self._poll_seconds = _poll_seconds()
        self._finish_seconds = max(0.0, config.SHUTDOWN_TIMEOUT or 0.0)  # at the end: for what is under way

    # ------------------------------------------------------------ what the subclasses say

    def tick(self) -> None:
        """Do what is to be done every few seconds."""

    def take_back(self, given_back: Any) -> None:
        """Go on with something that was parked."""

    def next_due(self) -> Optional[float]:
        """When (monotonic seconds) something has to be done, None if nothing waits for its time."""
        return None

    def do_what_is_due(self, now: float) -> None:
        """Do what next_due() announced."""

    def woken(self) -> None:
        """Somebody called wakeup()."""
        self._wakeup.drain()

    def begin(self) -> None:
        """The loop is about to run: start what it needs."""

    def free(self) -> None:
        """The loop has ended for good: free everything that belongs to the subclass."""

    def end_background(self) -> None:
        """Another loop takes over: end a thread that runs this one, if there is one."""

    def in_worker(self) -> bool:
        """Whether the calling thread works for this loop, so that the loop's end may have to wait for it."""
        return False

    # ------------------------------------------------------------ running

    def watch_wakeup(self) -> None:
        """Let wakeup() work from now on."""
        self.register(self._wakeup, READ, _Woken(self))

    def register(self, sock: Any, events: int, data: Any) -> None:
        """Wait for a socket; the entry of one that somebody closed without a word, and whose number this one got, goes."""
        try:
            self.selector.register(sock, events, data)
        except KeyError:
            self.selector.unregister(sock)
            self.selector.register(sock, events, data)

    def loop(self, loopCondition: Callable[[], bool] = lambda: True) -> None:
        """Serve until shutdown() is called, loopCondition() returns False (it is called at least every POLLTIMEOUT
        seconds), or Ctrl-C interrupts the loop.  Only shutdown() frees everything.

        Raises:
            DaemonError: another thread runs this loop already.
        """
        if self._loop_thread not in (None, threading.get_ident()) and not self.stopping:  # else it frees everything
            raise errors.DaemonError("the request loop runs in another thread already")
        with self.running():
            try:
                self.begin()
                while not self.stopping and loopCondition():
                    self.run_once(self._round_seconds())
            except KeyboardInterrupt:  # programs clean up in the lines that follow the loop
                log.debug("the loop ends: interrupted from the keyboard")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While the block runs, shutdown() only asks for the end: everything is freed when the (outermost) block is left."""
        with self._turn:
            before, self._loop_thread = self._loop_thread, threading.get_ident()
            try:
                yield
            finally:
                self._loop_thread = before
                if self.stopping and before is None:
                    self._release()

    def _running_thread(self) -> Optional[int]:
        """Give the thread that is running this loop, or the one that it is combined with; None if there is none."""
        if self._loop_thread is None and self._master is not None:
            return self._master._running_thread()
        if self._loop_thread != threading.get_ident() and self.in_forked_child():
            return None  # that thread is the parent's
        return self._loop_thread

    def run_once(self, timeout_seconds: float) -> None:
        """Wait at most this long for something to happen, and handle it."""
        timeout_seconds = self._until_due(timeout_seconds)
        polling = self._polling_selector
        ready = (self.selector.select(timeout_seconds) if polling is None or not timeout_seconds
                 else polling.select(self.selector, timeout_seconds))
        now = time.monotonic()  # what comes in while this is handled was not looked at yet: nothing is overdue by then
        self._order.turn_ends = now + TURN_SECONDS
        if self.parked or self._combined:
            ready += self._take_parked()
        if len(ready) <= 1:
            for entry in ready:
                self._order.handle_one(entry, now)
            left = []
        else:
            left = self._order.handle_all(ready, now)
        if not left:
            self._all_handled_at = now
        for key, _ in left:  # the rest stays in the selector until the next time
            if type(key) is ParkedEntry:
                key.loop.parked.append(key.data)
        self.keep_time(max(self._all_handled_at, now - BEHIND_SECONDS))

    def _take_parked(self) -> List[Any]:
        """Remove what was given back, and return it as a selector returns what is ready: it waits for its turn as well.

        Only connections that have ended are dealt with at once, as far as the turn goes: they make room for new ones.
        """
        entries: List[Any] = []
        for _ in range(len(self.parked)):
            given_back = self.parked.popleft()
            if not getattr(given_back, "ended", False):
                entries.append((ParkedEntry(given_back, self), 0))
            elif self.turn_is_over():
                self.parked.append(given_back)
            else:
                self.take_back(given_back)
        for other in self._combined:
            entries += other._take_parked()
        return entries

    def turn_is_over(self) -> bool:
        """Whether what runs in the loop has to end its turn, so that others get theirs."""
        loop = self
        while loop._master is not None:
            loop = loop._master
        return time.monotonic() > loop._order.turn_ends

    def _round_seconds(self) -> float:
        """Return how long the loop waits at most before it looks whether periodic work has become due."""
        housekeeper = self.housekeeper
        return self._poll_seconds if housekeeper is None else min(self._poll_seconds, max(0.0, housekeeper.waittime))

    def housekeeping_is_due(self) -> bool:
        """Return whether the program's periodic work is to be done now; if so, its next interval begins."""
        housekeeper = self.housekeeper
        return housekeeper is not None and housekeeper.is_due(time.monotonic())

    def _until_due(self, timeout_seconds: float) -> float:
        due = self.next_due()
        if due is not None:
            timeout_seconds = max(0.0, min(timeout_seconds, due - time.monotonic()))
        for other in self._combined:
            timeout_seconds = other._until_due(timeout_seconds)
        return timeout_seconds

    def keep_time(self, now: float) -> None:
        """Do what has become due, here and in the combined loops."""
        if self.parked:
            self._wakeup.wake()
        self.do_what_is_due(now)
        if now >= self._next_tick:
            self._next_tick = now + min(TICK_SECONDS, self._round_seconds())
            self.tick()
        for other in list(self._combined):
            other.keep_time(now)
            if other.stopping:
                self._combined.remove(other)
                other._release()

    # ------------------------------------------------------------ stopping

    def shutdown(self) -> None:
        """Make the loop end and free everything; at once if no loop runs.  Safe from any thread, from a signal handler
        and from inside a call (whose reply is still sent)."""
        self.stopping = True
        self._wakeup.wake()
        if self._running_thread() is None:
            self._release()

    def wakeup(self) -> None:
        """Make the loop look at its condition now.  Safe from any thread and from a signal handler."""
        self._wakeup.wake()

    def close(self) -> None:
        """Stop, and return when everything is freed; from inside a call only stop.  Safe from any thread."""
        self.shutdown()
        if self._running_thread() != threading.get_ident() and not self.in_worker():
            self._released.wait(self._finish_seconds + 2 * END_SECONDS)

    def discard(self) -> None:
        """Free a loop that never got ready to run."""
        self._wakeup.close()
        self.selector.close()

    def _release(self) -> None:
        if self.in_forked_child():
            self.let_go()
            return
        if not self._release_gate.acquire(blocking=False):
            return  # somebody else does it, or has done it
        with self._turn:
            self._release_now()

    def in_forked_child(self) -> bool:
        """Whether this process got the loop by a fork: then the selector and the connections are its parent's."""
        return os.getpid() != self._pid

    def let_go(self) -> None:
        """In a forked child: close the descriptors that it got, and touch nothing that the parent still uses."""
        self._wakeup.close()
        self.selector.close()
        self._released.set()

    def _release_now(self) -> None:
        self._loop_thread = threading.get_ident()
        try:
            self.free()
            for other in self._combined:
                other.stopping = True
                other._release()
            self.selector.unregister(self._wakeup)
            self._wakeup.close()
            if self._owns_selector:
                self.selector.close()
        finally:
            self._loop_thread = None
            self._released.set()

    # ------------------------------------------------------------ combining

    def combine(self, other: EventLoop) -> None:
        """Let this loop do another one's work too.

        Raises:
            ValueError: that one is stopped, or combined already, or this very loop.
        """
        if other is self or other._master is not None or self._master is other or other.stopping or self.stopping:
            raise ValueError("cannot combine these daemons: one is closed, or combined already, or they are the same")
        other.end_background()
        for key in list(other.selector.get_map().values()):
            self.register(key.fileobj, key.events or READ, key.data)  # 0: a worker accepts in the loop's place just now
        other.selector.close()
        other._share_selector(self.selector)
        other._master = self
        self._combined.append(other)

    def _share_selector(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self._owns_selector = False
        for child in self._combined:
            child._share_selector(selector)

    def combine_foreign(self, other: Any) -> None:
        """Let this loop wait for the sockets of anything that has ``sockets`` and ``events(sockets)``."""
        for sock in other.sockets:
            self.register(sock, READ, _Foreign(self, other, sock))
        self._foreign.append(other)

    def _sockets_of_combined(self) -> List[Any]:
        """What a program with its own event loop has to watch for the sake of the combined ones."""
        return [sock for other in (*self._combined, *self._foreign) for sock in other.sockets]
