"""How far the benchmark is, and how long it will take."""
from __future__ import annotations

import time
from typing import Optional, TextIO

from Pyro5._cli.progress import ProgressLine


class Progress(ProgressLine):
    """Shows the step that is being done, and the time that is left."""

    def __init__(self, stream: Optional[TextIO] = None) -> None:
        super().__init__(stream)
        self._expected = self._done = 0
        self._started = time.monotonic()

    def expect(self, steps: int) -> None:
        """Say how many steps there will be, from now on."""
        self._expected, self._done, self._started = steps, 0, time.monotonic()

    def step(self, text: str) -> None:
        """Say what the next step is."""
        self.show(text + self._left())
        self._done += 1

    def _left(self) -> str:
        if not self._done or self._done > self._expected:
            return ""
        seconds = (time.monotonic() - self._started) / self._done * (self._expected - self._done)
        return ", %d:%02d left" % divmod(int(seconds), 60)
