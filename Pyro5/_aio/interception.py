"""Run the calls of asyncio proxies through the interceptors that the program has installed for all of them."""
from __future__ import annotations

from typing import Any, Awaitable, Callable, Mapping, Optional, Sequence

from .. import callcontext
from .._client.interception import seen_by_interceptors
from .._observe.interceptors import of_asyncio_clients, run_async
from .link import Link

__all__ = ["run_intercepted"]


async def run_intercepted(link: Link, name: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int,
                          options: Any, send: Callable[..., Awaitable[Any]]) -> Any:
    """Make a call through the interceptors.

    Args:
        options: the CallOptions of the call.
        send: makes the call; called with the arguments, the keyword arguments and the options.
    """
    call = seen_by_interceptors(link, name, args, kwargs, flags, link.deadline(options.timeout), options.annotations)

    async def make() -> Any:
        before = callcontext.correlation_bytes()
        callcontext.current_context.correlation_id = call.correlation_id
        try:
            return await send(call.args, None if kwargs is None and not call.kwargs else call.kwargs,
                              options._replace(annotations=call.annotations, traceparent=call.traceparent))
        finally:
            callcontext.set_correlation_bytes(before)

    return await run_async(of_asyncio_clients.installed, call, make)
