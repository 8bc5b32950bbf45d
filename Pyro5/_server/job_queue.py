"""The order of jobs that wait for a thread."""
from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Optional, Tuple

Job = Callable[[], object]
Entry = Tuple[Job, Any]  # a job and its owner

SHORT_IN_A_ROW = 8  # after this many short jobs a long one is taken, so that a stream of short ones does not stop them


class JobQueue:
    """Jobs in the order of their arrival, but short ones before long ones. Not thread-safe.

    Without this, a short job waits until all long ones that came before it have been started. When these keep all threads
    busy, that is the time of all of them together.

    Attributes:
        is_empty: whether no job waits. Workers read it between two requests, without a lock.
    """

    def __init__(self) -> None:
        self._short: Deque[Entry] = deque()
        self._long: Deque[Entry] = deque()
        self._in_a_row = 0  # short jobs that were taken while a long one was waiting
        self.is_empty = True
        self._newest: Optional[Entry] = None  # the job that was added last, while it waits

    def __len__(self) -> int:
        return len(self._short) + len(self._long)

    def append(self, job: Job, owner: Any, is_long: bool) -> None:
        """Add a job."""
        self._newest = job, owner
        (self._long if is_long else self._short).append(self._newest)
        self.is_empty = False

    def take(self) -> Entry:
        """Remove and return the next job. Raises IndexError if there is none."""
        takes_long = self._long and (not self._short or self._in_a_row >= SHORT_IN_A_ROW)
        self._in_a_row = 0 if takes_long or not self._long else self._in_a_row + 1
        entry = (self._long if takes_long else self._short).popleft()
        self.is_empty = not len(self)
        if entry is self._newest:
            self._newest = None  # it refers to a connection, which must not be kept alive
        return entry

    def remove_newest(self) -> bool:
        """Remove the job that was added last. Return False if it does not wait any more."""
        newest, self._newest = self._newest, None
        for jobs in (self._short, self._long):
            if jobs and jobs[-1] is newest:
                jobs.pop()
                self.is_empty = not len(self)
                return True
        return False
