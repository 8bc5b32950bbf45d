"""Reconnect a proxy, with increasing pauses between the attempts."""
from __future__ import annotations

import logging
import threading
from typing import Any, Callable

from .. import errors

__all__ = ["reconnect"]

log = logging.getLogger("Pyro5.client")

RECONNECT_FIRST_PAUSE_SECONDS = 0.1  # doubled after every failure
RECONNECT_MAX_PAUSE_SECONDS = 2.0


def reconnect(connect: Callable[[], Any], tries: int) -> None:
    """
    Call `connect` until it succeeds. The pause after a failure doubles every time.

    Args:
        connect: raises CommunicationError or NamingError if it fails.
        tries: the maximum number of attempts, at least 1.

    Raises:
        ConnectionClosedError: the last attempt failed.
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
            log.info("reconnecting failed, trying again (tries left: %d): %s", tries_left, x)
        wait(pause)
        pause = min(2 * pause, RECONNECT_MAX_PAUSE_SECONDS)
