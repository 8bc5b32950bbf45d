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
import select
import selectors
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Iterator, List, Optional, Tuple

from .. import config, errors
from .._net.busy_poll import SpinningSelector
from .._net.wakeup import Wakeup
from .housekeeping import Housekeeper

log = logging.getLogger("Pyro5.serving.eventloop")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
USUAL_POLL_SECONDS = 2.0  # when POLLTIMEOUT is None
TICK_SECONDS = 2.0  # housekeeping happens about this often
TURN_SECONDS = 0.02  # those that are ready get so much of the loop's time before it looks who else has become ready
AHEAD_SECONDS = 0.05  # an account that has had so much more than another one waits for further requests of that one
AGAIN_MILLISECONDS = 1  # how long these may take to arrive
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
        except Exception:  # border to foreign code: it must not end the loop, nor keep it spinning
            log.exception("%r failed, its socket is not watched any more", self._owner)
            self._loop.selector.unregister(self._sock)


def _poll_seconds() -> float:
    return USUAL_POLL_SECONDS if config.POLLTIMEOUT is None else float(config.POLLTIMEOUT)


def _handle(data: Any, events: int) -> None:
    on_ready = getattr(data, "on_ready", None)  # a user may have registered something of their own
    if on_ready is not None:
        on_ready(events)


def _account_of(data: Any) -> Any:
    """Return what the loop's time is charged to when something is handled."""
    return getattr(data, "loop_account", data)


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
        self._spinning: Optional[SpinningSelector] = None
        self._turn_ends = 0.0
        self._loop_seconds = 0.0  # what somebody counts as having had who was not ready before
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
        spinning = self._spinning
        ready = (self.selector.select(timeout_seconds) if spinning is None or not timeout_seconds
                 else spinning.select(self.selector, timeout_seconds))
        now = time.monotonic()  # what comes in while this is handled was not looked at yet: nothing is overdue by then
        self._turn_ends = now + TURN_SECONDS
        self._take_parked()
        if len(ready) <= 1:
            for key, events in ready:
                _handle(key.data, events)
            self._all_handled_at = now
        elif self._handle_in_turn(ready, now):
            self._all_handled_at = now
        self.keep_time(max(self._all_handled_at, now - BEHIND_SECONDS))

    def _take_parked(self) -> None:
        """Go on with what was given back, as far as the turn goes.  Clients that have ended make room for new ones."""
        while self.parked:
            self.take_back(self.parked.popleft())
            if self.turn_is_over():
                break
        for other in self._combined:
            other._take_parked()

    def _handle_in_turn(self, ready: List[Any], now: float) -> bool:
        """Handle what is ready.  If that takes long, the rest stays in the selector until the next time.

        So nobody waits for clients that all ask for much: whoever has just begun, or asks for little, is the next one.

        Returns:
            whether all of it was handled.
        """
        ready.sort(key=self._place_in_turn)
        for number, entry in enumerate(ready, 1):
            if number > 1 and self._loop_seconds_of(entry) > self._loop_seconds_of(ready[0]) + AHEAD_SECONDS:
                before, now = now, self._handle_again(ready[:number - 1], self._loop_seconds_of(entry) - AHEAD_SECONDS, now)
                if now > max(before, self._turn_ends):
                    return False
            has_share = self._loop_seconds_of(entry) >= 0
            now = self._handle_and_charge(entry, now)
            if has_share and now > self._turn_ends and number < len(ready):
                return False
        return True

    def _handle_and_charge(self, entry: Any, now: float) -> float:
        """Handle what is ready, charge the time to its account, and return the time."""
        key, events = entry
        account = _account_of(key.data)  # before: a connection may get another one while it is handled
        seconds = self._loop_seconds_of(entry)
        _handle(key.data, events)
        after = time.monotonic()
        if seconds >= 0:
            if account is not key.data:  # its own share orders those that have the same account
                key.data.loop_seconds = getattr(key.data, "loop_seconds", 0.0) + after - now
            account.loop_seconds = seconds + after - now
            self._loop_seconds = max(seconds, self._loop_seconds)
        return after

    def _handle_again(self, handled: List[Any], limit_seconds: float, now: float) -> float:
        """Handle further requests of those just handled, before others that have had far more of the loop's time.

        Without this, a client that waits for each reply would get one call for each costly request of the others: its next
        request arrives a moment after its reply.

        Args:
            handled: entries of the selector.
            limit_seconds: of an account; those that have had this much wait for the others.

        Returns:
            the time; the same one if nothing was handled.
        """
        if not hasattr(select, "poll"):
            return now
        poll, waiting = select.poll(), {}
        for key, events in handled:
            if self._may_come_again((key, events), limit_seconds):
                poll.register(key.fd, select.POLLIN)
                waiting[key.fd] = key, READ
        while waiting and now < self._turn_ends:
            found = poll.poll(AGAIN_MILLISECONDS)
            if not found:
                break
            for fd, _ in found:
                now = self._handle_and_charge(waiting[fd], now)
                if not self._may_come_again(waiting[fd], limit_seconds):
                    poll.unregister(fd)
                    del waiting[fd]
        return now

    def _may_come_again(self, entry: Any, limit_seconds: float) -> bool:
        return getattr(entry[0].data, "watched", 0) == READ and 0 <= self._loop_seconds_of(entry) < limit_seconds

    def _place_in_turn(self, entry: Any) -> Tuple[float, float]:
        data = entry[0].data
        return (self._loop_seconds_of(entry) + getattr(data, "expected_seconds", 0.0), getattr(data, "loop_seconds", 0.0))

    def _loop_seconds_of(self, entry: Any) -> float:
        seconds: float = getattr(_account_of(entry[0].data), "loop_seconds", -1.0)
        return seconds if seconds < 0 else max(seconds, self._loop_seconds)

    def turn_is_over(self) -> bool:
        """Whether what runs in the loop has to end its turn, so that others get theirs."""
        loop = self
        while loop._master is not None:
            loop = loop._master
        return time.monotonic() > loop._turn_ends

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
