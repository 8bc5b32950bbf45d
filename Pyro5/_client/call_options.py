"""Options of single calls, which travel from the method object to the link in a context variable."""
from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any, Callable, Container, Mapping, Optional

from .. import callcontext
from .._wire import features
from ..serializers import SerializerBase

# Which object to prefer if several are registered under a name: any, or the one that was looked up least often.
RANDOM = "random"
_PICKS = (RANDOM, "least")


class CallOptions:
    """Options of the calls that one link makes in this context.

    `_pyroInvoke` may be overridden, and has no parameter for them; a context variable passes them by. Calls of other links
    in the same context, such as those of an overridden `_pyroInvoke`, are not affected.

    Args:
        deadline: monotonic time by which the call must have ended.
        on_sending: called before a request is sent, with its correlation id (None: the server cannot cancel calls) and
            sequence number.
        is_attempt: a call that fails is repeated by the caller.
        thread: the thread that the call is made for, if another one makes it.
        traceparent: the W3C trace context to send.
    """

    def __init__(self, link: Any, deadline: Optional[float] = None, serializer: Optional[SerializerBase] = None,
                 annotations: Optional[Mapping[str, bytes]] = None,
                 on_sending: Optional[Callable[[Optional[bytes], int], None]] = None, is_attempt: bool = False,
                 thread: int = 0, traceparent: str = "") -> None:
        self.link, self.deadline, self.serializer, self.annotations = link, deadline, serializer, annotations
        self.on_sending, self.is_attempt, self.thread, self.traceparent = on_sending, is_attempt, thread, traceparent

    def replaced(self, **changes: Any) -> CallOptions:
        """Return a copy in which these are different."""
        return CallOptions(**{**vars(self), **changes})


current_options: ContextVar[Optional[CallOptions]] = ContextVar("Pyro5.call_options", default=None)
get_options = current_options.get


def options_for(link: Any) -> Optional[CallOptions]:
    """Return the options for the calls of a link here, None if there are none."""
    options = current_options.get()
    # The calls of another proxy, which a callback or a custom serializer makes meanwhile, are not meant.
    return options if options is not None and options.link is link else None


def earlier(one: Optional[float], other: Optional[float]) -> Optional[float]:
    """Return the earlier of two deadlines, or the shorter of two timeouts; None means no limit."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def deadline_for(link: Any) -> Optional[float]:
    """Return the deadline of a call that a link makes here: its own, or that of the request being served, if it is earlier."""
    # A server that makes a call has to answer its own client in time: what it calls gets the same deadline.
    options = options_for(link)
    return earlier(None if options is None else options.deadline, callcontext.call_deadline())


def own_deadline(link: Any) -> Optional[float]:
    """Return the deadline that a call of a link was given in its options, which replaces the timeout of the proxy."""
    options = options_for(link)
    return None if options is None else options.deadline


def seconds_until(deadline: Optional[float]) -> Optional[float]:
    """Return the seconds that are left until a monotonic time, 0 if it has passed; None means no limit."""
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)


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
    return {**(annotations or {}), features.TRACE_ANNOTATION: text.encode("ascii")}


def checked_pick(pick: str) -> str:
    """Return how to choose among several objects, after checking it. Raises ValueError if it is unknown."""
    if pick not in _PICKS:
        raise ValueError("pick must be one of %s, not %r" % (", ".join(_PICKS), pick))
    return pick
