"""Decides which exceptions of calls are logged: each kind once in a minute; the others are counted."""
from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Hashable, List, NamedTuple, Optional, Tuple

from .. import errors

__all__ = ["RepeatFilter", "client_name", "place_of"]

REPEAT_SECONDS = 60.0
MAX_KINDS = 1000  # names of objects and methods come from clients, so their number is bounded
_OTHERS = object()  # the kind of all that are not remembered


class Shown(NamedTuple):
    """A line that was logged, and how often the same happened since."""

    description: str
    time: float
    repeated: int


class RepeatFilter:
    """
    Remembers what was logged within the last minute. Thread-safe.

    Args:
        clock: returns seconds that never go back, such as time.monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards _shown
        self._shown: Dict[Hashable, Shown] = {}  # the oldest first

    def admit(self, kind: Hashable, description: str) -> bool:
        """Return whether something of this kind is to be logged now; if not, it is counted.

        Args:
            description: what summaries() says of it.
        """
        with self._lock:
            if kind not in self._shown and len(self._shown) >= MAX_KINDS:
                # More kinds than are remembered count as one: a client that invents names must not fill the log.
                kind, description = _OTHERS, "calls of still other methods raised exceptions"
            shown = self._shown.get(kind)
            if shown is not None and self._clock() - shown.time < REPEAT_SECONDS:
                self._shown[kind] = shown._replace(repeated=shown.repeated + 1)
                return False
            self._shown.pop(kind, None)
            self._shown[kind] = Shown(description, self._clock(), 0)
            return True

    def summaries(self, all_of_them: bool = False) -> List[Tuple[str, int]]:
        """Forget what was logged more than a minute ago, or everything.

        Returns:
            (description, number of repetitions) of those that were repeated.
        """
        with self._lock:
            now = self._clock()
            over = [kind for kind, shown in self._shown.items() if all_of_them or now - shown.time >= REPEAT_SECONDS]
            ended = [self._shown.pop(kind) for kind in over]
        return [(shown.description, shown.repeated) for shown in ended if shown.repeated]


def place_of(error: BaseException) -> Optional[str]:
    """Return ``file, line N`` of where an exception was raised; None if that is inside this library."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None or errors.is_own_frame(tb.tb_frame):
        return None
    return "%s, line %d" % (tb.tb_frame.f_code.co_filename, tb.tb_lineno)


def client_name(connection: Any) -> Any:
    """Return where a client is, for a line of the log. A client of a Unix domain socket mostly has no address of its own."""
    if connection.peer_address:
        return connection.peer_address
    try:
        return "a client of the Unix domain socket %s" % errors.one_line(str(connection.sock.getsockname()))
    except (OSError, AttributeError):
        return "an unknown address"
