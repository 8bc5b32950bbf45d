"""Repeating calls, and waiting for servers, without blocking the event loop."""
from __future__ import annotations

import asyncio
import copy
import logging
from typing import Awaitable, Callable, Optional, Set, TypeVar

from .. import errors
from .._client.call_options import seconds_until
from .._client.retry import (RECONNECT_FIRST_PAUSE_SECONDS, RECONNECT_MAX_PAUSE_SECONDS, REPEATABLE, Retry, RetryBudget,
                             asked_pause, busy_pause, pause_after)

T = TypeVar("T")
log = logging.getLogger("Pyro5.aio")


def copy_of(error: BaseException) -> BaseException:
    """Return a copy of an error that several tasks have to raise, so that each has a traceback of its own."""
    if not isinstance(error, errors.PyroError):
        # Other exceptions cannot be copied in general; their tracebacks grow, which does no harm.
        return error
    copied = copy.copy(error)
    copied.__cause__ = error.__cause__  # copy.copy does not copy it
    return copied


async def wait_until(future: asyncio.Future[T], deadline: Optional[float]) -> bool:
    """Wait for a future, which goes on if this is cancelled; return whether it is done before this monotonic time."""
    if not future.done():
        # asyncio.wait() and not wait_for(): the latter would cancel the future.
        waited_for: Set[asyncio.Future[T]] = {future}
        await asyncio.wait(waited_for, timeout=seconds_until(deadline))
    return future.done()


async def until_ready(attempt: Callable[[], Awaitable[T]], deadline: Optional[float], what: str) -> T:
    """Make attempts until one does not fail for lack of a server, as `_client.retry.wait_until_ready` does."""
    pause = RECONNECT_FIRST_PAUSE_SECONDS
    while True:
        try:
            return await attempt()
        except (errors.CommunicationError, errors.NamingError) as x:
            if x.sent is not False:  # the name server's answer that a name is unknown is remote as well
                raise
            # Raised with the last reason: it says what the server is missing.
            left = seconds_until(deadline)
            if left is not None and left <= 0:
                raise errors.not_sent(errors.TimeoutError("%s is not ready in time: %s" % (what, x))) from x
            log.debug("%s is not ready yet: %s", what, x)
            asked = asked_pause(x)
        await asyncio.sleep(max(pause, asked) if left is None else min(max(pause, asked), left))
        # Longer each time, so that a thousand waiting clients do not delay the start of their server.
        pause = min(2 * pause, RECONNECT_MAX_PAUSE_SECONDS)


async def until_not_busy(attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
    """Make attempts while another client uses the object exclusively, until the deadline."""
    while True:
        try:
            return await attempt()
        except errors.BusyError as x:
            left, pause = seconds_until(deadline), busy_pause(x)
            # Not if the call has begun: it may have had effects.
            if x.started or left is not None and left <= pause:
                raise
        await asyncio.sleep(pause)


async def repeat(attempt: Callable[[], Awaitable[T]], retry: Retry, budget: RetryBudget, is_idempotent: Callable[[], bool],
                 deadline: Optional[float]) -> T:
    """Make a call, and repeat it as the retry says, as `_client.retry.repeat` does."""
    failures = 0
    while True:
        try:
            result = await attempt()
        except Exception as x:
            failures += 1
            # In this order: the budget is only spent for failures that may be repeated.
            if failures >= retry.attempts or not retry.allows(x, is_idempotent()) or not budget.spend(retry.budget):
                raise
            pause = pause_after(x, retry, failures)
            left = seconds_until(deadline)
            # A pause that ends after the deadline would only delay the error.
            if left is not None and pause >= left:
                raise
        else:
            budget.success()
            # Successful calls fill the budget again, so a server that fails rarely is always asked again.
            return result
        await asyncio.sleep(pause)


async def with_retries(attempt: Callable[[], Awaitable[T]], max_retries: int) -> T:
    """Make a call, and repeat it at most ``max_retries`` times after a lost connection or timeout, as MAX_RETRIES says."""
    for _ in range(max_retries):
        try:
            return await attempt()
        except REPEATABLE as x:
            # The server has answered: the same request would get the same error.
            if errors.is_remote(x):
                raise
            log.info("a call failed, trying again: %s", x)
    # The last attempt, whose error the caller gets.
    return await attempt()
