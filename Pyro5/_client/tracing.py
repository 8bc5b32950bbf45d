"""Send the trace context of a call to servers that understand it."""
from __future__ import annotations

from typing import Container, Dict, Mapping, Optional

from .. import callcontext
from .._wire import features

__all__ = ["with_trace"]


def with_trace(annotations: Optional[Mapping[str, bytes]], traceparent: str,
               known: Optional[Container[str]]) -> Optional[Mapping[str, bytes]]:
    """Return the annotations of a request, with the trace context if there is one and the server understands it.

    Args:
        traceparent: of this call; empty for that of the request that is being served, if there is one.
        known: the features of the connection.
    """
    text = traceparent or callcontext.call_trace()
    if not text or known is None or features.TRACING not in known:
        return annotations
    found: Dict[str, bytes] = {**(annotations or {}), features.TRACE_ANNOTATION: text.encode("ascii")}
    return found
