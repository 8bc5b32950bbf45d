"""Exclusive use of a remote object."""
from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any, Iterator, Optional

from .. import errors
from ..constants import ACQUIRE_METHOD, RELEASE_METHOD
from .call_options import earlier, seconds_until
from .retry import busy_pause

__all__ = ["exclusive_use"]

log = logging.getLogger("Pyro5.client")


@contextlib.contextmanager
def exclusive_use(proxy: Any, timeout: Optional[float]) -> Iterator[None]:
    """Acquire the object of a proxy for the block, and release it at the end.

    Args:
        timeout: seconds to wait for the object, None for any time.

    Raises:
        BusyError: another client did not release the object in time.
        PyroError: the server, of another release, does not know exclusive use.
        CommunicationError: the connection failed.
    """
    link = proxy._pyro
    proxy._pyroBind()
    # A server of 5.x does not have the methods, and would answer with an error that does not name the reason.
    if link.connection is None or link.connection.features is None:
        raise errors.PyroError("the server of '%s' is of another release, which does not know exclusive use" % link.uri)
    home = link.connection
    deadline = None if timeout is None else time.monotonic() + timeout
    _acquire(proxy, home, deadline)
    # Only now: from here on, calls of all threads are sent over this connection, as the server refuses all others.
    was_exclusive, link.exclusive = link.exclusive, home
    try:
        yield
    finally:
        # A nested block of the same proxy leaves the outer one in force.
        link.exclusive = was_exclusive
        if not home.mid_exchange or home.lock.locked():  # else it is lost, and the server has released the object
            try:
                link.call_over(home, RELEASE_METHOD, [link.object_id])
            except errors.CommunicationError as x:
                log.info("the server releases '%s' itself, as the connection failed: %s", link.uri, x)


def _acquire(proxy: Any, home: Any, deadline: Optional[float]) -> None:
    link = proxy._pyro
    while True:
        try:
            link.call_over(home, ACQUIRE_METHOD, [link.object_id])
            return
        except errors.BusyError as x:
            left = seconds_until(deadline)
            if left == 0:
                raise
            # The pause that the server has suggested: asking more often would only cost it a call each time.
            threading.Event().wait(earlier(left, busy_pause(x)))
