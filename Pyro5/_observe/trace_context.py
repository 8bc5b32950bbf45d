"""The W3C trace context, version 00: ``00-<trace id>-<span id>-<flags>``, in hexadecimal digits."""
from __future__ import annotations

import re
from typing import NamedTuple, Optional

__all__ = ["MAX_BYTES", "TraceContext", "parse"]

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
