"""Connecting again and again, until it succeeds."""
from __future__ import annotations

import logging
import threading
from typing import Any, Callable

from .. import errors

__all__ = ["reconnect"]

log = logging.getLogger("Pyro5.client")

RECONNECT_FIRST_PAUSE_SECONDS = 0.1  # doubles with every failure
RECONNECT_MAX_PAUSE_SECONDS = 2.0


def reconnect(connect: Callable[[], Any], tries: int) -> None:
    """
    Connect, waiting a little longer after every failure.

    Raises:
        ConnectionClosedError: it failed for the last time.
    """
    wait = threading.Event().wait
    pause = RECONNECT_FIRST_PAUSE_SECONDS
    for tries_left in range(tries - 1, -1, -1):
        try:
            connect()
            return
        except (errors.CommunicationError, errors.NamingError) as x:
            if not tries_left:
                raise errors.ConnectionClosedError("cannot reconnect, after %d tries: %s" % (tries, x)) from x
            log.info("cannot reconnect yet (tries left: %d): %s", tries_left, x)
        wait(pause)
        pause = min(2 * pause, RECONNECT_MAX_PAUSE_SECONDS)
