"""A progress line for long operations, shown on a terminal only: nothing is written to a file or a pipe.
"""
from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import Any, Callable, Iterator, Optional, TextIO

from .._text import printable

FIRST_SECONDS = 1.0  # the line is only shown after this time
INTERVAL_SECONDS = 0.2
USUAL_COLUMNS = 80


class ProgressLine:
    """Shows a line and overwrites it with later ones. Only one thread at a time may use it.

    Args:
        stream: the output stream, None: standard error.
    """

    def __init__(self, stream: Optional[TextIO] = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self.is_shown = self._stream is not None and self._stream.isatty()
        self._is_empty = True
        self._next_time = 0.0

    def show(self, text: str) -> None:
        """Replace the line with this text."""
        if self.is_shown:
            # Return to the first column, clear the line, and stay one column below the width: a full line would wrap.
            self._stream.write("\r\033[K" + printable(text)[:self._columns() - 1])
            self._stream.flush()
            self._is_empty = not text

    def show_now_and_then(self, text: Callable[[], str]) -> None:
        """Show the result of the function, unless the last update was too recent; for values that change very often."""
        now = time.monotonic()
        if self.is_shown and now >= self._next_time:
            self._next_time = now + INTERVAL_SECONDS
            self.show(text())

    def clear(self) -> None:
        """Clear the line."""
        if not self._is_empty:
            self.show("")

    def _columns(self) -> int:
        try:
            # Asked each time, because the user may change the size of the window.
            return os.get_terminal_size(self._stream.fileno()).columns or USUAL_COLUMNS
        except (OSError, ValueError):  # ValueError: the stream has no descriptor
            return USUAL_COLUMNS


@contextlib.contextmanager
def shown_while(text: Callable[[], str], line: Optional[ProgressLine] = None,
                first_seconds: float = FIRST_SECONDS) -> Iterator[None]:
    """Show the result of a function, with updates, while the block runs; starts after a delay, and only on a terminal.

    Args:
        text: called in another thread, several times a second.
    """
    line = line or ProgressLine()
    if not line.is_shown:
        yield
        return
    ended = threading.Event()

    def repeat() -> None:
        pause = first_seconds
        while not ended.wait(pause):
            line.show(text())
            pause = INTERVAL_SECONDS

    thread = threading.Thread(target=repeat, name="Pyro5 progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # Joined before the line is cleared: otherwise a last update could appear after it.
        thread.join()
        line.clear()


def answer_shown(proxy: Any) -> Any:
    """Return a context manager that shows how much of the reply has arrived while a method of the proxy is being called."""
    return shown_while(_Answer(proxy).text, first_seconds=FIRST_SECONDS)


class _Answer:
    """The progress of a pending reply."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self._started = time.monotonic()
        self._expected = 0  # size of the reply in bytes, as soon as it is known

    def text(self) -> str:
        connection = getattr(self._proxy, "_pyroConnection", None)  # also None for a name server in this process
        received, expected = (0, 0) if connection is None else connection.receiving
        self._expected = expected or self._expected
        text = "%d:%02d  " % divmod(int(time.monotonic() - self._started), 60)
        if expected:
            return text + "received %.1f of %.1f MB" % (received / 1e6, expected / 1e6)
        if self._expected:
            return text + "received %.1f MB, working on it" % (self._expected / 1e6)
        return text + "waiting for the answer"
