"""Run the calls of proxies through the interceptors that the program has installed for all clients."""
from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from .. import callcontext, config
from .._observe.interceptors import InterceptedCall, of_clients, run
from ..protocol import FLAGS_ONEWAY
from .call_options import CallOptions, current_options, deadline_for, options_for


def seen_by_interceptors(link: Any, name: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int,
                         deadline: Optional[float], annotations: Optional[Mapping[str, bytes]]) -> InterceptedCall:
    """Return what interceptors see of a call that is about to be made."""
    running = callcontext.running_call()
    # Before the object was resolved, the name or the tags in its URI.
    object_id = link.object_id or str(link.uri.object)
    return InterceptedCall(object_id, name, tuple(args), dict(kwargs or {}), user=config.AUTH_USER or None,
                           deadline=deadline, annotations={**callcontext.outgoing_annotations(), **(annotations or {})},
                           correlation_id=callcontext.current_context.correlation_id,
                           traceparent=getattr(running, "traceparent", ""),
                           oneway=bool(flags & FLAGS_ONEWAY) or name in link.oneway)


def run_intercepted(link: Any, send: Callable[..., Any], name: str, args: Sequence[Any],
                    kwargs: Optional[Mapping[str, Any]], flags: int) -> Any:
    """Make a call through the interceptors.

    Args:
        send: sends the request, and returns the result; called with the name, the arguments and the flags.
    """
    options = options_for(link)
    call = seen_by_interceptors(link, name, args, kwargs, flags, deadline_for(link),
                                None if options is None else options.annotations)

    def make() -> Any:
        with _sending(link, call):
            # None for the reserved methods, which have no keyword arguments.
            return send(name, call.args, None if kwargs is None and not call.kwargs else call.kwargs, flags)

    return run(of_clients.installed, call, make)


@contextlib.contextmanager
def _sending(link: Any, call: InterceptedCall) -> Iterator[None]:
    """Make the next call of this link carry what the interceptors have set."""
    options = options_for(link) or CallOptions(link)
    token = current_options.set(options.replaced(annotations=call.annotations, traceparent=call.traceparent))
    before = callcontext.correlation_bytes()
    callcontext.current_context.correlation_id = call.correlation_id
    try:
        yield
    finally:
        current_options.reset(token)
        callcontext.set_correlation_bytes(before)
