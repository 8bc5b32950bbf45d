"""Ctrl-C and SIGTERM end a daemon in order, if the program only serves it."""
from __future__ import annotations

import asyncio
import functools
import signal
import threading
from typing import Any, Callable, Dict


class EndOnSignals:
    """A context manager in which Ctrl-C and SIGTERM call a function; a second signal acts as before.

    Nothing changes unless the running task is that of ``asyncio.run`` or ``run_until_complete``, with which the program ends:
    if the daemon runs in a task beside others, these would go on. Signals that the program handles itself, or ignores, are
    left alone. In threads other than the main thread, Python cannot handle signals.

    Args:
        end: called in the main thread, between any two instructions.
    """

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> EndOnSignals:
        if threading.current_thread() is threading.main_thread() and _is_main_task():
            for number in (signal.SIGINT, signal.SIGTERM):
                if _has_default(number):
                    # Not add_signal_handler(): it could not restore the handler that asyncio.run has set.
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._restore()

    def _on_signal(self, number: int, frame: object) -> None:
        self._restore()  # a second signal interrupts a program that does not end
        self._end()

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())


def _is_main_task() -> bool:
    """Return whether the event loop ends with the running task."""
    # asyncio has no function for this. The loop that waits for a task has added a function of its run_until_complete().
    callbacks = getattr(asyncio.current_task(), "_callbacks", None) or ()
    return any("run_until_complete" in getattr(callback, "__qualname__", "") for callback, _context in callbacks)


def _has_default(number: int) -> bool:
    """Return whether a signal still has its default action, or that of asyncio.run."""
    handler: Any = signal.getsignal(number)
    if isinstance(handler, functools.partial):  # asyncio.run, which cancels the main task and then raises KeyboardInterrupt
        return getattr(handler.func, "__module__", "") == "asyncio.runners"
    return handler is (signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
