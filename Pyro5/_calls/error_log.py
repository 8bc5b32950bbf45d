"""Logging of exceptions that calls raised: each kind once per minute; repetitions are counted. Reasons of refusals."""
from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, Hashable, List, Optional, Tuple

from .. import NamedTuple, constants, errors
from .._messages import replies, requests
from .._messages.requests import Call
from .._objects import permissions

log = logging.getLogger("Pyro5.server.dispatch")

REPEAT_SECONDS = 60.0  # how long repetitions are counted instead of logged
MAX_KINDS = 1000  # that are remembered: names of objects and methods come from clients
# Errors raised by these objects are mostly answers, such as "no such name".
_LOOKUP_OBJECTS = frozenset((constants.DAEMON_NAME, constants.NAMESERVER_NAME))
_OTHER_KINDS = object()  # stands for all kinds beyond MAX_KINDS


class LoggedKind(NamedTuple):
    """A kind of exception that was logged, and how often it was raised again since."""

    description: str
    time: float
    repeated: int


class RepeatFilter:
    """Remembers which kinds were logged within the last minute. Thread-safe.

    Args:
        clock: returns monotonic seconds, such as time.monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards _logged
        self._logged: Dict[Hashable, LoggedKind] = {}  # in the order in which they were logged

    def should_log(self, kind: Hashable, description: str) -> bool:
        """Return whether an event of this kind is to be logged now. If not, it is counted.

        Args:
            description: the text for this kind in summaries().
        """
        with self._lock:
            if kind not in self._logged and len(self._logged) >= MAX_KINDS:
                # Kinds beyond the limit count as one: a client that invents names must not fill the log.
                kind, description = _OTHER_KINDS, "calls of still other methods raised exceptions"
            logged = self._logged.get(kind)
            if logged is not None and self._clock() - logged.time < REPEAT_SECONDS:
                self._logged[kind] = logged._replace(repeated=logged.repeated + 1)
                return False
            # Removed first, so that the entry moves to the end: the dict stays in the order of the times.
            self._logged.pop(kind, None)
            self._logged[kind] = LoggedKind(description, self._clock(), 0)
            return True

    def summaries(self, at_end: bool = False) -> List[Tuple[str, int]]:
        """Forget the kinds that were logged more than a minute ago, or all of them.

        Returns:
            (description, number of repetitions) of those that were repeated.
        """
        with self._lock:
            now = self._clock()
            over = [kind for kind, logged in self._logged.items() if at_end or now - logged.time >= REPEAT_SECONDS]
            ended = [self._logged.pop(kind) for kind in over]  # their number is written below, outside of the lock
        return [(logged.description, logged.repeated) for logged in ended if logged.repeated]


def raise_location(error: BaseException) -> Optional[str]:
    """Return ``file, line N`` of the line that raised an exception; None if it is in this library."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None or errors.is_own_frame(tb.tb_frame):
        return None
    return "%s, line %d" % (tb.tb_frame.f_code.co_filename, tb.tb_lineno)


def client_name(connection: Any) -> Any:
    """Return the address of a client for the log. Clients of a Unix domain socket usually have no address of their own."""
    if connection.peer_address:
        return connection.peer_address
    try:
        return "a client of the Unix domain socket %s" % errors.one_line(str(connection.sock.getsockname()))
    except (OSError, AttributeError):
        return "an unknown address"


class ErrorLog:
    """Writes the exceptions of calls to the log. Thread-safe.

    Args:
        repeat_filter: decides which of them are logged, and counts the others.
    """

    def __init__(self, repeat_filter: RepeatFilter) -> None:
        self._filter = repeat_filter

    def log(self, connection: Any, call: Optional[Call], error: Exception, is_callback: Callable[[Call], bool]) -> None:
        """Log an exception unless the same kind (object, method and exception class) was logged within the last minute.

        Args:
            connection: that of the client.
            call: None if the request could not be decoded.
            is_callback: returns whether the called method is marked with @callback: the traceback is logged then.
        """
        if call is not None and is_end_of_stream(call, error):
            return
        what = "a request" if call is None else errors.one_line("%s.%s" % (call.object_id, _member_name(call)))
        # A normal answer: the name server or the daemon does not know a name or an object.
        is_expected = call is not None and call.object_id in _LOOKUP_OBJECTS and isinstance(error, errors.PyroError)
        kind = (what, type(error))
        if not is_expected and not self._filter.should_log(kind, "%s raised %s" % (what, type(error).__name__)):
            return
        # The caller of a method that is marked with @callback is a server. The program that the method belongs to
        # sees its errors only in this log.
        with_traceback = log.isEnabledFor(logging.DEBUG) or call is not None and is_callback(call)
        location = raise_location(error)
        write = log.info if is_expected else log.warning
        write(
            "%s from %s raised %s: %s%s", what, client_name(connection), type(error).__name__,
            errors.one_line(replies.text_of(error)), " (%s)" % errors.one_line(location) if location else "",
            exc_info=(type(error), error, errors.without_own_frames(error.__traceback__)) if with_traceback else None)

    def log_repeated(self, at_end: bool = False) -> None:
        """Log how often exceptions that were not logged again were raised. Call it every few seconds.

        Args:
            at_end: no further calls are run: report all kinds, not only those that were logged more than a minute ago.
        """
        for description, number in self._filter.summaries(at_end):
            log.warning("%s, and %d more", description, number)


def is_end_of_stream(call: Call, error: Exception) -> bool:
    """Return whether an exception is the normal end of an item stream."""
    return isinstance(error, StopIteration) and call.method == constants.NEXT_ITEM_METHOD


def _member_name(call: Call) -> str:
    """Return the name of the member that a call is about: the attribute instead of the method that reads or sets it."""
    is_attribute = call.method in (requests.GETATTR_METHOD, requests.SETATTR_METHOD)
    return str(call.args[0]) if is_attribute and call.args and type(call.args[0]) is str else call.method


FULL = "full"  # the limit of connections
HANDSHAKE = "handshake"  # it was invalid or late, the client has proved nothing, or validateHandshake has refused it
INVALID = "invalid"  # data that is no valid message or request
ROLE = "role"  # the user may not call the method
BUSY = "busy"  # another client uses the object exclusively


def refusal_reason(call: Optional[Any], error: Exception) -> str:
    """Return the reason why a request was refused; "" if the exception is that of a call.

    Args:
        call: None if the request could not be decoded.
    """
    if call is None:
        return INVALID
    if isinstance(error, permissions.Refused):
        return ROLE
    if isinstance(error, errors.BusyError) and not error.started:
        return BUSY
    return ""
