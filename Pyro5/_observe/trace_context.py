"""The W3C trace context, version 00: ``00-<trace id>-<span id>-<flags>``, in hexadecimal digits; correlation ids in logs."""
from __future__ import annotations

import logging
import re
from typing import Optional

from .. import NamedTuple, callcontext

MAX_BYTES = 512  # later versions may have more fields, which are passed on
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-[ -~]*)?", re.ASCII)


class TraceContext(NamedTuple):
    """The trace and the span of a caller; neither number is 0."""

    trace_id: int
    span_id: int
    flags: int

    def text(self) -> str:
        """Return it in the form of the standard."""
        return "00-%032x-%016x-%02x" % self


def parse(text: str) -> Optional[TraceContext]:
    """Return the trace context in a text, None if it is not valid."""
    found = _FORM.fullmatch(text) if len(text) <= MAX_BYTES else None
    if found is None:
        return None
    context = TraceContext(*(int(digits, 16) for digits in found.groups()))
    return context if context.trace_id and context.span_id else None


class CorrelationFilter(logging.Filter):
    """Adds the attribute ``correlation_id`` to each record: the id of the call that is being made or served, ``-`` outside of
    calls. All records pass.

    Add it to a handler, whose format can then have ``%(correlation_id)s``. Records of a logger's children do not pass the
    filters of that logger, but those of its handlers.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attribute to a record, unless it has one already."""
        if not hasattr(record, "correlation_id"):
            record.correlation_id = str(callcontext.current_context.correlation_id or "-")
        return True
