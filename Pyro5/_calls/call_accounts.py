"""What a dispatcher notes about its calls: those that run, statistics, errors, stalled ones; and the functions around them."""
from __future__ import annotations

import functools
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .. import errors
from .._messages import replies, requests
from .._messages.requests import Call
from .._objects import permissions
from .._objects.objects import ObjectTable
from .._observe.interceptors import of_daemons
from .._observe.statistics import BATCH, GENERATED_IDS, OTHERS, Statistics
from .._text import printable_lines
from ..constants import DAEMON_NAME
from .error_log import ErrorLog, RepeatFilter, is_end_of_stream, refusal_reason
from .handshakes import HandshakeReplies
from .reply_encoding import DispatchOptions
from .running_calls import RunningCalls
from .stalls import StallWatcher

MAX_TRACEBACK = 8000  # characters of the traceback of a method's last error


def _traceback_text(error: Exception) -> str:
    # Never with the values of variables: other clients than the one that has made the call can read it. Printable, because
    # a text with other characters may be one that a serializer cannot send.
    try:
        lines = errors.format_traceback(type(error), error, errors.without_own_frames(error.__traceback__), False)
    except Exception as x:  # formatting an exception runs code of its class
        return "<no traceback, %s>" % type(x).__name__
    return printable_lines("".join(lines)[-MAX_TRACEBACK:])


class CallAccounts(HandshakeReplies):
    """The part of a dispatcher that accounts for calls. Thread-safe.

    Args:
        repeat_filter: decides which exceptions of calls are logged.

    Attributes:
        running: the calls that are running.
        statistics: what was counted.
        stalls: logs calls that run for long.
        interceptors: functions around each call: `common_interceptors`, those of all daemons, around `own_interceptors`.
    """

    interceptors: Tuple[Callable[..., Any], ...] = ()
    own_interceptors: Tuple[Callable[..., Any], ...] = ()
    _may_run_at_once = runs_at_once = True  # ordinary methods are called where the request is parsed, without interceptors
    common_interceptors = of_daemons

    def __init__(self, daemon: Any, options: DispatchOptions, objects: ObjectTable, repeat_filter: RepeatFilter) -> None:
        super().__init__(daemon, options, objects)
        self._error_log = ErrorLog(repeat_filter)
        self.running = RunningCalls()
        self.stalls = StallWatcher(self.running.list)
        self.statistics = Statistics(functools.partial(row_of, objects), options.statistics)
        self.on_refusal = self._count_refusal
        self.common_interceptors.use_in(self)
        self.refresh_interceptors()

    def _use_account_options(self, options: DispatchOptions) -> None:
        self.statistics.max_rows = options.statistics
        self.running.statistics = self.statistics if options.statistics else None
        self.running.logs_stalls = options.stall_seconds > 0
        self.stalls.set_seconds(options.stall_seconds)

    def refresh_interceptors(self) -> None:
        """Use other interceptors from now on."""
        self.interceptors = (*self.common_interceptors.installed, *self.own_interceptors)
        self.runs_at_once = self._may_run_at_once and not self.interceptors

    def _count_refusal(self, reason: str) -> None:
        if self.running.statistics is not None:
            self.statistics.refused(reason)

    def _note_error(self, running: Any, connection: Any, call: Optional[Call], error: Exception) -> None:
        """Log an exception that a call has raised, and count it."""
        self._error_log.log(connection, call, error, self._is_callback)
        statistics = self.running.statistics
        if statistics is None:
            return
        reason = refusal_reason(call, error)
        if reason:
            statistics.refused(reason)
        if call is not None and running is not None and not is_end_of_stream(call, error):
            running.method = running.method or BATCH
            statistics.failed(running, error, errors.one_line(replies.text_of(error)),
                              lambda: _traceback_text(error))

    def log_repeated_errors(self, at_end: bool = False) -> None:
        """Log how often exceptions were raised again, see `ErrorLog.log_repeated`."""
        self._error_log.log_repeated(at_end)

    def _is_callback(self, call: Call) -> bool:
        try:
            return call.method in self.objects.get(call.object_id).members.callbacks
        except errors.DaemonError:
            return False


_NO_MEMBERS = frozenset((requests.GETATTR_METHOD, requests.SETATTR_METHOD, BATCH))


def row_of(objects: ObjectTable, object_id: str, method: str) -> Tuple[str, str]:
    """Return the object and the method under which a call is counted. Names that do not exist are counted together."""
    # Requests can contain any names: they must neither fill the memory nor appear in reports.
    try:
        published = objects.get(object_id)
    except errors.DaemonError:
        return OTHERS
    own = object_id == DAEMON_NAME and not method.startswith("_") and callable(getattr(published.target, method, None))
    if not (method in published.members.methods or method in _NO_MEMBERS or own):
        return OTHERS
    return GENERATED_IDS if published.is_temporary else object_id, method


def visible_rows(objects: Mapping[str, Mapping[str, Any]], gate: Any, connection: Any, table: ObjectTable) -> Dict[str, Any]:
    """Return the rows of those methods that a client may call. The texts of errors can contain arguments, so a client that
    may not call a method learns nothing about its calls.
    """
    return {object_id: rows for object_id, rows in (
        (object_id, {method: row for method, row in methods.items() if _may_see(gate, connection, table, object_id, method)})
        for object_id, methods in objects.items()) if rows}


def _may_see(gate: Any, connection: Any, table: ObjectTable, object_id: str, method: str) -> bool:
    try:
        published = table.get(object_id)
    except errors.DaemonError:
        # Of several objects, or of one that is not registered any more: its rules cannot be looked up.
        return gate is None or gate.users is None
    try:
        names = published.members.methods | published.members.attrs if method in _NO_MEMBERS else (method,)
        for name in names:
            permissions.check_call(gate, connection, published, Call(object_id, name, (), {}))
    except permissions.Refused:
        return False
    return True
