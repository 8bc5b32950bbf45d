"""Log calls that run for longer than the setting STALL_SECONDS, with the stacks of their threads."""
from __future__ import annotations

import logging
import sys
import threading
import traceback
import uuid
import weakref
from typing import Any, Callable, Iterator, List, Set

from .. import NamedTuple, errors
from .._observe.statistics import now
from .error_log import client_name

log = logging.getLogger("Pyro5.server.stalls")

LOOKS = 4  # in the time after which a call counts as stalled

# References and no WeakSet, which cannot be iterated while other threads change it. Each change is atomic, and so is copying.
_watchers: Set[weakref.ref[StallWatcher]] = set()


class Link(NamedTuple):
    """A running call, as a part of a chain of calls. Clocks of all processes of this machine show the same."""

    started: float
    object_id: str
    name: str


def chain_here(correlation_id: bytes) -> List[Link]:
    """Return the calls of a chain that are running in this process."""
    watchers = filter(None, [find() for find in list(_watchers)])
    found = {each for watcher in watchers for each in watcher.running()
             if each.correlation_id == correlation_id and each.object_id}
    return [Link(float(each.started), each.object_id, _name(each)) for each in found]


class StallWatcher:
    """A thread that looks at the running calls of a daemon, as long as the setting is on. Thread-safe.

    Args:
        running: returns the calls that are running.

    Attributes:
        chain_elsewhere: returns the calls of a chain that are running in the other processes of the daemon.
    """

    def __init__(self, running: Callable[[], List[Any]]) -> None:
        self.running = running
        self.chain_elsewhere: Callable[[bytes], List[Link]] = lambda correlation_id: []
        self._lock = threading.Lock()  # guards the next four
        self._has_begun = False
        self._seconds = 0.0
        self._thread: Any = None
        self._is_over = False
        self._changed = threading.Event()
        self._logged: weakref.WeakSet[Any] = weakref.WeakSet()
        _watchers.add(weakref.ref(self, _watchers.discard))

    def set_seconds(self, seconds: float) -> None:
        """Log calls that run for longer than this; 0 ends the thread."""
        with self._lock:
            self._seconds = 0.0 if self._is_over else seconds
            self._start_locked()
        self._changed.set()

    def begin(self) -> None:
        """Watch calls from now on, if the setting is on. Called again and again in the process that serves clients: the daemon
        may have been created in another one, from which this was forked.
        """
        if self._seconds > 0 or not self._has_begun:
            with self._lock:
                self._has_begun = True
                self._start_locked()

    def _start_locked(self) -> None:
        if self._has_begun and self._seconds > 0 and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._watch, name="Pyro-stalls", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        with self._lock:
            self._is_over = True
            thread = self._thread
        self.set_seconds(0.0)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _watch(self) -> None:
        while True:
            self._changed.clear()  # before the value is read: a later change is noticed in wait()
            with self._lock:
                seconds = self._seconds
                if seconds <= 0:
                    self._thread = None
                    return
            self.look(seconds)
            self._changed.wait(seconds / LOOKS)

    def look(self, seconds: float) -> None:
        """Log the calls that have been running for so long, each once."""
        for call in self.running():
            elapsed = now() - call.started if call.started else 0.0
            if elapsed >= seconds and call.object_id and call not in self._logged:
                self._logged.add(call)
                _warn("%s from %s has been running for %.1f seconds (correlation id %s)%s" % (
                    _name(call), client_name(call.connection), elapsed, uuid.UUID(bytes=call.correlation_id),
                    _described(chain_here(call.correlation_id) + self.chain_elsewhere(call.correlation_id))), _stack_of(call))


def _warn(text: str, stack: str) -> None:
    if not stack:  # the thread has just ended
        log.warning("%s", text)
    elif log.isEnabledFor(logging.WARNING):
        # As the stack of the record: it is that of another thread, and handlers write it below the message.
        log.handle(log.makeRecord(log.name, logging.WARNING, __file__, 0, text, (), None, sinfo=stack))


def _name(call: Any) -> str:
    return errors.one_line("%s.%s" % (call.object_id, call.method or "<batch>"))


def _described(chain: List[Link]) -> str:
    """Return a text about a chain of calls; empty for a single call."""
    if len(chain) < 2:
        return ""
    # The object that is called again waits for itself, if it has a lock, or serves one call at a time.
    is_cycle = len({link.object_id for link in chain}) < len(chain)
    return "; it is part of a %s of calls: %s" % (
        "cycle" if is_cycle else "chain", " -> ".join([link.name for link in sorted(chain)]))


def _lines_of(coroutine: Any) -> Iterator[str]:
    """Yield the lines where a coroutine waits, and where the coroutines wait that it waits for."""
    # A suspended coroutine has one frame. Another thread runs it: it may go on in the meantime, and then has none.
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            yield from traceback.format_list(traceback.extract_stack(frame, limit=1))
        coroutine = getattr(coroutine, "cr_await", None)


def _stack_of(call: Any) -> str:
    watch, thread = getattr(call.on_cancel, "__self__", None), call.thread
    task = getattr(watch, "_task", None)
    if task is not None:  # of an async method
        if not task.get_coro().cr_running:
            return "It waits at:\n" + "".join(_lines_of(task.get_coro())).rstrip("\n")
        thread = getattr(getattr(watch, "_loop", None), "_thread_id", 0)
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    return "The stack of its thread:\n" + "".join(traceback.format_list(_frames_of_program(frame))).rstrip("\n")


def _frames_of_program(frame: Any) -> List[Any]:
    """Return a stack without the frames of this library that have called the method, and those before them."""
    stack = list(traceback.walk_stack(frame))
    own = [number for number, (each, _line) in enumerate(stack) if errors.is_own_frame(each)]
    shown = stack[:own[0]] if own and own[0] else stack
    return list(reversed(traceback.StackSummary.extract(iter(shown))))
