"""Exclusive use of a remote object by an asyncio proxy, as `_client.exclusive` is for other proxies."""
from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import AsyncIterator, Optional

from .. import errors
from .._client.call_options import seconds_until
from .._client.retry import busy_pause
from ..constants import ACQUIRE_METHOD, DAEMON_NAME, RELEASE_METHOD
from .connection import Connection
from .link import Link

log = logging.getLogger("Pyro5.aio")


@contextlib.asynccontextmanager
async def exclusive_use(link: Link, timeout: Optional[float]) -> AsyncIterator[None]:
    """Acquire the object of a proxy for the block, and release it at the end. Raises as `_client.exclusive.exclusive_use`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    home = await link.connected(deadline)
    # A server of 5.x does not have the methods, and would answer with an error that does not name the reason.
    if home.features is None:
        raise errors.PyroError("the server of '%s' is of another release, which does not know exclusive use" % link.uri)
    # First: from here on, all calls are sent over this connection, as the server is about to refuse all others.
    link.exclusive.append(home)
    try:
        await _wait_for_calls(link, home, deadline)
        await _acquire(link, home, deadline)
    except BaseException:
        link.exclusive.remove(home)
        raise
    try:
        yield
    finally:
        # A task of its own, which goes on if this one is cancelled: a cancelled release may not be sent, or not be executed,
        # and the object would stay reserved for as long as the proxy is connected.
        releasing = link.start_task(_release(link, home))
        releasing.add_done_callback(lambda task: link.exclusive.remove(home))
        await asyncio.shield(releasing)


async def _wait_for_calls(link: Link, home: Connection, deadline: Optional[float]) -> None:
    """Wait until no call of this proxy is in flight over another connection: the server might refuse it."""
    waited_for = {future for each in link.connections if each is not home for future in each.pending.values()
                  if not future.done()}
    if waited_for:
        _done, left = await asyncio.wait(waited_for, timeout=seconds_until(deadline))
        if left:
            raise errors.not_sent(errors.TimeoutError("timed out while other tasks were calling '%s'" % link.uri))


async def _acquire(link: Link, home: Connection, deadline: Optional[float]) -> None:
    while True:
        try:
            await _call(link, home, ACQUIRE_METHOD)
            return
        except asyncio.CancelledError:
            home.abort()  # the server may have reserved the object; it releases it when the connection ends
            raise
        except errors.BusyError as x:
            left = seconds_until(deadline)
            if left == 0:
                # It may be reserved for this connection already. In a task, as above.
                await asyncio.shield(link.start_task(_release(link, home)))
                raise
            pause = busy_pause(x)
        try:
            await asyncio.sleep(pause if left is None else min(left, pause))
        except asyncio.CancelledError:
            home.abort()  # as above
            raise


async def _release(link: Link, home: Connection) -> None:
    try:
        await _call(link, home, RELEASE_METHOD)
    except errors.CommunicationError as x:
        log.info("the server releases '%s' itself, as the connection failed: %s", link.uri, x)


async def _call(link: Link, home: Connection, method: str) -> None:
    reply, connection = await link.request(method, [link.object_id], {}, object_id=DAEMON_NAME, home=home)
    if reply is not None:
        link.parse(reply, connection)
