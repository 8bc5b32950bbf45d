"""A line that tells how far the benchmark is. On a terminal only: nothing of it gets into a file or a pipe."""
from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO


class Progress:
    """Shows one line, again and again."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._is_shown = stream.isatty()
        self._expected = self._done = 0
        self._started = time.monotonic()

    def expect(self, steps: int) -> None:
        """Say how many steps there will be, from now on."""
        self._expected, self._done, self._started = steps, 0, time.monotonic()

    def step(self, text: str) -> None:
        """Say what the next step is."""
        self._show(text + self._left())
        self._done += 1

    def clear(self) -> None:
        """Make the line empty."""
        self._show("")

    def _left(self) -> str:
        if not self._done or self._done > self._expected:
            return ""
        seconds = (time.monotonic() - self._started) / self._done * (self._expected - self._done)
        return ", %d:%02d left" % divmod(int(seconds), 60)

    def _show(self, text: str) -> None:
        if self._is_shown:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r\033[K" + text[:width])
            self._stream.flush()
