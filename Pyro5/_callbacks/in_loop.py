"""Async methods of callback objects run in the event loop of the program, and not in one of the daemon."""
from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any, Callable

from .._calls.async_loop import AsyncLoop
from .._calls.deferred import SHUTTING_DOWN
from ..server import Daemon


class _LoopOfProgram(AsyncLoop):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def _call_soon(self, callback: Callable[[], Any], context: Any = None) -> bool:
        if os.getpid() != self._process or self._is_stopping or self._loop is None:
            return False
        try:
            self._loop.call_soon_threadsafe(callback, context=context)
        except RuntimeError:  # the program has closed its event loop
            return False
        return True

    def stop(self, timeout_seconds: float) -> None:
        self._is_stopping = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._cancel_all)

    def _cancel_all(self) -> None:
        for call in list(self._calls.values()):
            call.running.cancel(SHUTTING_DOWN)


def run_async_methods_in(loop: asyncio.AbstractEventLoop, daemon: Daemon) -> None:
    """Make a daemon run the async methods of its objects in this event loop."""
    daemon._async_methods._loop = _LoopOfProgram(loop)
