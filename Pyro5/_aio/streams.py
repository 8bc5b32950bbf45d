"""Item streams: asynchronous iteration over a remote iterator or generator. Proxies in received values are asyncio proxies."""
from __future__ import annotations

import logging
import sys
from collections import deque
from typing import Any, AsyncIterator, Callable, Deque, Dict, Optional, cast

from .. import client, config
from .._client.streams import checked_batch
from ..constants import DAEMON_NAME, NEXT_ITEM_METHOD
from ..protocol import ReceivingMessage
from .connection import Connection
from .link import Link

log = logging.getLogger("Pyro5.aio")

# Set by the module of the proxy, which imports this one.
_make: Dict[str, Callable[[Any], Any]] = {}


def set_proxy_class(make: Callable[[Any], Any]) -> None:
    """Set the function that makes an asyncio proxy of the state of a proxy."""
    _make["proxy"] = make


def awaitable_proxies(value: Any) -> Any:
    """Replace the proxies in a received value, and in its lists, tuples and dicts, by asyncio proxies."""
    kind = type(value)
    if kind is client.Proxy:
        return _make["proxy"](value.__getstate__())
    if kind is list:
        # In place, as the recreation of classes does: the values were made for this reply, and no other code has them.
        value[:] = [awaitable_proxies(each) for each in value]
    elif kind is tuple:
        return tuple([awaitable_proxies(each) for each in value])
    elif kind is dict:
        for key, each in value.items():
            value[key] = awaitable_proxies(each)
    return value


class ItemStream(AsyncIterator[Any]):
    """Iterates over the items of a remote iterator or generator. One task at a time may use it.

    The setting ITER_STREAM_BATCH says how many items may be fetched at once. Leaving the ``async for``, or dropping the
    stream, closes it on the server.

    Args:
        connection: the connection that has opened the stream.
    """

    is_item_stream = True
    rebuild: Optional[Callable[[Any], Any]] = None  # rebuilds an item, as the interface of the proxy demands

    def __init__(self, link: Link, connection: Connection, stream_id: str) -> None:
        self._link: Optional[Link] = link  # None when there are no more items to fetch
        self._connection = connection
        self._stream_id = stream_id
        self._by_batches = True  # False once the server has turned out to send items one by one only
        self._fetched: Deque[Any] = deque()
        connection.streams += 1

    def _finish(self) -> Optional[Link]:
        """Note that there is nothing more to fetch, and return the link if there was."""
        link, self._link = self._link, None
        if link is not None:
            self._connection.streams -= 1
        return link

    async def __anext__(self) -> Any:
        item = await self._next()
        return item if self.rebuild is None else self.rebuild(item)

    async def _next(self) -> Any:
        # Without a request: these arrived together with an earlier item.
        if self._fetched:
            return self._fetched.popleft()
        link = self._link
        if link is None:
            raise StopAsyncIteration
        most = config.ITER_STREAM_BATCH if self._by_batches else 1
        try:
            return await self._fetch_several(link, most) if most > 1 else await self._fetch(link)
        except StopAsyncIteration:
            self._finish()  # the server has removed the stream
            raise

    async def _fetch(self, link: Link, *most: int) -> Any:
        # without retries: the item in a lost reply would be skipped
        reply, connection = await link.request(NEXT_ITEM_METHOD, [self._stream_id, *most], {}, object_id=DAEMON_NAME,
                                               home=self._connection, deadline=link.deadline(None))
        message = cast(ReceivingMessage, reply)
        try:
            result = link.parse(message, connection)
        except StopIteration:
            raise StopAsyncIteration from None
        return awaitable_proxies(result) if link.may_have_proxies(message) else result

    async def _fetch_several(self, link: Link, most: int) -> Any:
        try:
            answer = await self._fetch(link, most)
        except TypeError as x:
            if NEXT_ITEM_METHOD + "()" not in str(x):  # not about the arguments of this call: the generator raised it
                raise
            log.debug("the server sends items one by one only: %s", x)
            self._by_batches = False
            return await self._fetch(link)
        items, is_last = checked_batch(answer)
        if is_last:
            self._finish()
        self._fetched.extend(items)
        return self._fetched.popleft()

    async def aclose(self) -> None:
        """Ask the server to close the stream. Calling this again has no effect."""
        self._fetched.clear()
        link = self._finish()
        if link is not None:
            # Raises if it is another loop than that of the connection, whose methods are not thread-safe.
            link.use_loop()
            self._connection.close_stream(self._stream_id, link.serializer.serializer_id)

    def __del__(self) -> None:
        # The garbage collector calls this in any thread.
        link = self.__dict__.get("_link")
        if link is None or sys.is_finalizing() or self._connection.loop.is_closed():
            return
        try:
            self._connection.loop.call_soon_threadsafe(
                self._connection.drop_stream, self._stream_id, link.serializer.serializer_id)
        except RuntimeError as x:  # the loop was closed in this moment
            log.debug("cannot ask the server to close item stream %s: %s", self._stream_id, x)
