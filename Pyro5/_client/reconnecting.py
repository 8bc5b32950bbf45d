"""Reconnect a proxy, with increasing pauses between the attempts."""
from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Optional, TypeVar

from .. import errors
from .call_options import CallOptions, current_options, seconds_until
from .retry import asked_pause

__all__ = ["bind_when_ready", "reconnect", "wait_until_ready"]

T = TypeVar("T")

log = logging.getLogger("Pyro5.client")

RECONNECT_FIRST_PAUSE_SECONDS = 0.1  # doubled after every failure
RECONNECT_MAX_PAUSE_SECONDS = 2.0


def reconnect(link: Any, release: Callable[[], Any], connect: Callable[[], Any], tries: int) -> None:
    """Call `release`, and `connect` until it succeeds. The pause after a failure doubles every time.

    Nothing is released if another thread has connected the link since a call of the calling thread failed.

    Args:
        connect: raises CommunicationError or NamingError if it fails.
        tries: the maximum number of attempts, at least 1.

    Raises:
        ConnectionClosedError: the last attempt failed.
    """
    if not link.was_reconnected():
        callbacks, link.callbacks = link.callbacks, None  # objects that the server can call stay available
        release()
        link.callbacks = callbacks
    wait = threading.Event().wait
    pause = RECONNECT_FIRST_PAUSE_SECONDS
    for tries_left in range(tries - 1, -1, -1):
        try:
            link.connect_once(connect, link.is_ready)
            return
        except (errors.CommunicationError, errors.NamingError) as x:
            if not tries_left:
                raise errors.ConnectionClosedError("cannot reconnect, after %d tries: %s" % (tries, x)) from x
            log.info("reconnecting failed, trying again (tries left: %d): %s", tries_left, x)
        # Outside of the except block: the exception and its frames are freed before the pause.
        wait(pause)
        pause = min(2 * pause, RECONNECT_MAX_PAUSE_SECONDS)


def bind_when_ready(proxy: Any, deadline: Optional[float]) -> None:
    """Connect a proxy as soon as its object can be called; each attempt ends by the deadline."""
    token = current_options.set(CallOptions(proxy._pyro, deadline))
    try:
        wait_until_ready(proxy._pyroBind, deadline, str(proxy._pyroUri))
    finally:
        current_options.reset(token)


def wait_until_ready(attempt: Callable[[], T], deadline: Optional[float], what: str) -> T:
    """Make attempts until one does not fail for lack of a server: one that can be reached, knows the name, has the object.

    Args:
        attempt: returns the result.
        deadline: monotonic time, None for no limit.
        what: is waited for; for the text of the error.

    Raises:
        TimeoutError: the deadline has passed; the text has the reason of the last attempt.
        Exception: what an attempt raised after its request may have been sent.
    """
    wait = threading.Event().wait
    pause = RECONNECT_FIRST_PAUSE_SECONDS
    reason: Optional[Exception] = None
    while True:
        try:
            return attempt()
        except (errors.CommunicationError, errors.NamingError) as x:
            if x.sent is not False:  # the name server's answer that a name is unknown is remote as well
                raise
            # At least one attempt is made, even if the deadline has passed already.
            if reason is None or not isinstance(x, errors.TimeoutError):
                reason = x  # the last attempt may have had no time to find out more
            left = seconds_until(deadline)
            if left is not None and left <= 0:
                raise errors.not_sent(errors.TimeoutError("%s is not ready in time: %s" % (what, reason))) from reason
            log.debug("%s is not ready yet: %s", what, x)
            asked = asked_pause(x)
        wait(max(pause, asked) if left is None else min(max(pause, asked), left))
        pause = min(2 * pause, RECONNECT_MAX_PAUSE_SECONDS)
