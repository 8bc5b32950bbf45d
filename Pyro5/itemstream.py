"""The client's end of an item stream: an iterator whose items are fetched from the server, one call each."""
from __future__ import annotations

import copy
import logging
import sys
import threading
from typing import Any, Iterator, Optional

from . import errors, protocol
from .constants import DAEMON_NAME

__all__ = ["ItemStream"]

log = logging.getLogger("Pyro5.itemstream")

CLOSE_SECONDS = 2.0  # what telling the server that nobody wants the rest may take; it would find out by itself


class ItemStream(Iterator[Any]):
    """
    Iterates over what a remote iterator or generator gives.

    It belongs to the thread that owns the proxy. When the proxy was released, iterating raises ConnectionClosedError;
    once the proxy is connected again it goes on, if the server still has the stream.

    Args:
        proxy: the proxy whose call opened the stream.
    """

    def __init__(self, stream_id: str, proxy: Any) -> None:
        self._stream_id = stream_id
        self._proxy: Optional[Any] = proxy
        self._last_seq = proxy._pyroSeq

    def __iter__(self) -> ItemStream:
        return self

    def __next__(self) -> Any:
        proxy = self._proxy
        if proxy is None:
            raise StopIteration
        if proxy._pyroConnection is None:
            raise errors.ConnectionClosedError("the proxy of this item stream is not connected; connect it again with "
                                               "_pyroReconnect() to go on")
        try:
            # never repeated on its own: an item whose reply got lost would be skipped
            return proxy._pyroInvokeOnce("get_next_stream_item", [self._stream_id], {}, objectId=DAEMON_NAME)
        except StopIteration:
            self._proxy = None  # the server has forgotten the stream
            raise
        finally:
            self._last_seq = proxy._pyroSeq

    def close(self) -> None:
        """
        Tell the server that the rest is not wanted. May be called again.

        This goes over the proxy's connection, unless that may be busy (other calls were made since the last item):
        then over a connection of its own.
        """
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
        proxy._pyroInvokeOnce("close_stream", [self._stream_id], {}, flags=protocol.FLAGS_ONEWAY, objectId=DAEMON_NAME)

    def __del__(self) -> None:
        if self.__dict__.get("_proxy") is None or sys.is_finalizing():
            return
        try:
            self.close()
        except errors.PyroError as x:
            log.debug("cannot tell the server to close item stream %s: %s", self._stream_id, x)
