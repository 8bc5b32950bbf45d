"""The client's end of an item stream: an iterator whose items are fetched from the server, by one call each or several
together."""
from __future__ import annotations

import copy
import logging
import sys
import threading
from collections import deque
from typing import Any, Deque, Iterator, Optional, Sequence, Tuple

from .. import config, errors, protocol
from .._values import plain
from ..constants import CLOSE_STREAM_METHOD, DAEMON_NAME, NEXT_ITEM_METHOD

__all__ = ["ItemStream", "_StreamResultIterator"]

log = logging.getLogger("Pyro5.itemstream")

CLOSE_SECONDS = 2.0  # what telling the server that nobody wants the rest may take; it would find out by itself


class ItemStream(Iterator[Any]):
    """
    Iterates over what a remote iterator or generator gives.

    It belongs to the thread that owns the proxy. When the proxy was released, iterating raises ConnectionClosedError;
    once the proxy is connected again it goes on, if the server still has the stream.

    The setting ITER_STREAM_BATCH says how many items may be fetched at once. Daemons that cannot do that (those of other
    releases) are asked for each.

    Args:
        proxy: the proxy whose call opened the stream.
    """

    def __init__(self, stream_id: str, proxy: Any) -> None:
        self._stream_id = stream_id
        self._proxy: Optional[Any] = proxy  # None when there is nothing more to fetch
        self._link = proxy._pyro
        self._last_seq = proxy._pyroSeq
        self._by_batches = True  # until the server turns out to give items one by one only
        self._fetched: Deque[Any] = deque()

    def __iter__(self) -> ItemStream:
        return self

    def __next__(self) -> Any:
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
            self._proxy = None  # the server has forgotten the stream
            raise
        finally:
            self._last_seq = proxy._pyroSeq

    def _fetch(self, proxy: Any, *most: int) -> Any:
        # never repeated on its own: an item whose reply got lost would be skipped
        return proxy._pyroInvoke(NEXT_ITEM_METHOD, [self._stream_id, *most], {}, objectId=DAEMON_NAME)

    def _fetch_several(self, proxy: Any, most: int) -> Any:
        try:
            answer = self._fetch(proxy, most)
        except TypeError as x:
            if NEXT_ITEM_METHOD + "()" not in str(x):  # it is not about the arguments: it comes from the generator
                raise
            log.debug("the server gives items one by one only: %s", x)
            self._by_batches = False
            return self._fetch(proxy)
        items, is_last = _checked(answer)
        if is_last:
            self._proxy = None
        self._fetched.extend(items)
        return self._fetched.popleft()

    def close(self) -> None:
        """
        Tell the server that the rest is not wanted. May be called again.

        This goes over the proxy's connection, unless that may be busy (other calls were made since the last item):
        then over a connection of its own.
        """
        self._fetched.clear()
        proxy, self._proxy = self._proxy, None
        if proxy is None or proxy._pyroConnection is None:
            return
        if proxy._pyroSeq == self._last_seq and proxy._pyro.owner == threading.get_ident():
            self._send_close(proxy)
        elif proxy._pyro.can_reconnect:
            with copy.copy(proxy) as messenger:
                messenger._pyroUri = proxy._pyro.bound_uri  # the stream is there, wherever the name may lead by now
                messenger._pyroTimeout = CLOSE_SECONDS
                self._send_close(messenger)

    def _send_close(self, proxy: Any) -> None:
        proxy._pyroInvoke(CLOSE_STREAM_METHOD, [self._stream_id], {}, flags=protocol.FLAGS_ONEWAY,
                              objectId=DAEMON_NAME)

    def __del__(self) -> None:
        # The garbage collector calls this in any thread, in the middle of anything: nothing here may wait for a network,
        # act on a connection that a forked child shares with its parent, or rely on a finished constructor.
        link = self.__dict__.get("_link")
        if link is None or self.__dict__.get("_proxy") is None or sys.is_finalizing():
            return
        try:
            link.abandon_stream(self._stream_id)
        except Exception as x:  # border of a finalizer: an error here would only be printed
            log.debug("cannot tell the server to close item stream %s: %s", self._stream_id, x)


def _checked(answer: Any) -> Tuple[Sequence[Any], bool]:
    """Return the items that a server sent together, and whether they are the last ones."""
    # nothing is used before its exact type is known: it came over the network
    if not (type(answer) in plain.SEQUENCES and len(answer) == 2 and type(answer[0]) in plain.SEQUENCES and answer[0]
            and type(answer[1]) is bool):
        raise errors.ProtocolError("the server did not send the next items of a stream, but %s" % plain.text_of(answer))
    return answer[0], answer[1]


_StreamResultIterator = ItemStream  # its name in Pyro5.client, which programs ask isinstance() with
