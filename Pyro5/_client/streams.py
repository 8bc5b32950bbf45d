"""The client side of an item stream: an iterator that fetches its items from the server, one or several per call."""
from __future__ import annotations

import copy
import logging
import sys
import threading
from collections import deque
from typing import Any, Callable, Deque, Iterator, Optional, Sequence, Tuple

from .. import config, errors, protocol
from .._net import forks
from .._values import plain
from ..constants import CLOSE_STREAM_METHOD, DAEMON_NAME, NEXT_ITEM_METHOD

log = logging.getLogger("Pyro5.itemstream")

# Time limit for asking the server to close a stream. Not important enough to wait longer: the server also closes streams
# when their connection ends and when their lifetime expires.
CLOSE_SECONDS = 2.0


class ItemStream(Iterator[Any]):
    """Iterates over the items of a remote iterator or generator.

    Several threads may use it: each item goes to one of them. Iterating raises ConnectionClosedError while the proxy is not
    connected; it can continue after the proxy is connected again, if the server still has the stream.

    The setting ITER_STREAM_BATCH says how many items may be fetched at once. Daemons that cannot do that (those of other
    releases) are asked for each.

    Args:
        proxy: the proxy whose call opened the stream.
    """

    is_item_stream = True
    rebuild: Optional[Callable[[Any], Any]] = None  # rebuilds an item, as the interface of the proxy demands

    def __init__(self, stream_id: str, proxy: Any) -> None:
        self._stream_id = stream_id
        self._proxy: Optional[Any] = proxy  # None when there are no more items to fetch, or after close()
        self._link = proxy._pyro
        self._last_seq = proxy._pyroSeq
        self._by_batches = True  # False once the server has turned out to send items one by one only
        self._fetched: Deque[Any] = deque()
        self._lock = threading.RLock()  # held while items are requested, so that one thread does this at a time
        self._fork_count = forks.number  # of the process that uses it

    def __iter__(self) -> ItemStream:
        return self

    def __next__(self) -> Any:
        if self._fork_count != forks.number:
            # A forked process goes on with it. The thread that held the lock may be missing there.
            self._lock, self._fork_count = threading.RLock(), forks.number
        with self._lock:
            item = self._next()
        return item if self.rebuild is None else self.rebuild(item)

    def _next(self) -> Any:
        # Items that were received are delivered even if the connection has been lost since.
        if self._fetched:
            return self._fetched.popleft()
        proxy = self._proxy
        if proxy is None:
            raise StopIteration
        if proxy._pyroConnection is None:
            raise errors.ConnectionClosedError("the proxy of this item stream is not connected; connect it again with "
                                               "_pyroReconnect() to go on")
        try:
            most = config.ITER_STREAM_BATCH if self._by_batches else 1
            return self._fetch_several(proxy, most) if most > 1 else self._fetch(proxy)
        except StopIteration:
            self._end()  # the server has removed the stream
            raise
        finally:
            self._last_seq = proxy._pyroSeq

    def _fetch(self, proxy: Any, *most: int) -> Any:
        # without retries: the item in a lost reply would be skipped
        return proxy._pyroInvoke(NEXT_ITEM_METHOD, [self._stream_id, *most], {}, objectId=DAEMON_NAME)

    def _fetch_several(self, proxy: Any, most: int) -> Any:
        try:
            answer = self._fetch(proxy, most)
        except TypeError as x:
            if NEXT_ITEM_METHOD + "()" not in str(x):  # not about the arguments of this call: the generator raised it
                raise
            log.debug("the server sends items one by one only: %s", x)
            self._by_batches = False
            return self._fetch(proxy)
        items, is_last = checked_batch(answer)
        if is_last:
            self._end()
        self._fetched.extend(items)
        return self._fetched.popleft()

    def _end(self) -> None:
        self._proxy = None
        self._link.forget_stream(self._stream_id)

    def close(self) -> None:
        """Ask the server to close the stream. Calling this again has no effect.

        The request is sent over the connection of the proxy if this thread used that last, and no other call was made since
        the last item. Otherwise the connection may be in use, and a new one is made for the request.
        """
        self._fetched.clear()
        # Read once: a thread that fetches the last item sets it to None.
        proxy = self._proxy
        self._end()
        if proxy is None or proxy._pyroConnection is None:
            return
        # Nothing was sent since the last item, so the connection is free, and this thread has one.
        if proxy._pyroSeq == self._last_seq and proxy._pyro.pool.by_thread.get(threading.get_ident()) is not None:
            self._send_close(proxy)
        elif proxy._pyro.can_reconnect:
            # A second proxy, because the connection of the first may be in use by another thread.
            with copy.copy(proxy) as closing_proxy:
                closing_proxy._pyroUri = proxy._pyro.bound_uri  # the name may be registered for another object by now
                closing_proxy._pyroTimeout = CLOSE_SECONDS
                self._send_close(closing_proxy)

    def _send_close(self, proxy: Any) -> None:
        proxy._pyroInvoke(CLOSE_STREAM_METHOD, [self._stream_id], {}, flags=protocol.FLAGS_ONEWAY,
                              objectId=DAEMON_NAME)

    def __del__(self) -> None:
        # The garbage collector calls this in any thread and between any two instructions. So it must not block, must not use
        # a connection that a forked child shares with its parent, and cannot rely on a completed constructor.
        link = self.__dict__.get("_link")
        if link is None or self.__dict__.get("_proxy") is None or sys.is_finalizing():
            return
        if self.__dict__.get("_fork_count") != forks.number:
            return  # the parent process may still use it
        try:
            link.abandon_stream(self._stream_id)
        except Exception as x:  # an exception in a finalizer would only be printed
            log.debug("cannot ask the server to close item stream %s: %s", self._stream_id, x)


def checked_batch(answer: Any) -> Tuple[Sequence[Any], bool]:
    """Return the items that a server sent together, and whether they are the last ones."""
    # untrusted: check the exact types first, so that no code of the values' own classes runs
    if not (type(answer) in plain.SEQUENCES and len(answer) == 2 and type(answer[0]) in plain.SEQUENCES and answer[0]
            and type(answer[1]) is bool):
        raise errors.ProtocolError("expected the next items of a stream from the server, got %s" % plain.text_of(answer))
    return answer[0], answer[1]


_StreamResultIterator = ItemStream  # the name in Pyro5.client that programs use with isinstance()
