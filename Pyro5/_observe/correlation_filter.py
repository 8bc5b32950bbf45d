"""A logging filter that adds the correlation id of the call to log records."""
from __future__ import annotations

import logging

from .. import callcontext

__all__ = ["CorrelationFilter"]


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
