"""Exclusive use of a remote object."""
from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any, Iterator, Optional

from .. import callcontext, errors
from ..constants import ACQUIRE_METHOD, DAEMON_NAME, RELEASE_METHOD
from .call_options import CallOptions, current_options, earlier, seconds_until
from .futures import BackgroundCalls
from .retry import busy_pause

log = logging.getLogger("Pyro5.client")

_changes = threading.Lock()  # guards the `exclusive` of links and the `exclusive_blocks` of connections


@contextlib.contextmanager
def exclusive_use(proxy: Any, timeout: Optional[float]) -> Iterator[None]:
    """Acquire the object of a proxy for the block, and release it at the end.

    Args:
        timeout: seconds to wait for the object, None for any time.

    Raises:
        BusyError: another client did not release the object in time, or is still running a call of it.
        TimeoutError: another thread did not end its call with this proxy in time.
        PyroError: the server, of another release, does not know exclusive use; or the block is in a callback of a call that
            the proxy is making.
        CommunicationError: the connection failed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    link = proxy._pyro
    link.connect_once(proxy._pyroConnect, link.is_ready)
    home = link.connection
    # A server of 5.x does not have the methods, and would answer with an error that does not name the reason.
    if home is None or home.features is None:
        raise errors.PyroError("the server of '%s' is of another release, which does not know exclusive use" % link.uri)
    if link.is_nested():
        raise errors.PyroError("exclusive use of '%s' cannot begin in a callback of a call that the same proxy is making: its "
                               "connection is in use until then" % link.uri)
    # First: from here on, calls of all threads are sent over this connection, as the server is about to refuse all others.
    with _changes:
        link.exclusive = home
        home.exclusive_blocks += 1
    try:
        _wait_for_calls(link, home, deadline)
        _acquire(link, home, deadline)
    except BaseException:
        _leave(link, home)
        raise
    try:
        yield
    finally:
        # Also if the request being served here is late: otherwise the object would be reserved until the connection ends.
        if not callcontext.without_call().run(_release, link, home):
            BackgroundCalls().start(lambda: _release_later(link, home), None)


def _wait_for_calls(link: Any, home: Any, deadline: Optional[float]) -> None:
    """Wait until no call of this proxy is in flight over another connection: the server might refuse it."""
    for connection in link.pool.connections():
        if connection is not home:
            left = seconds_until(deadline)
            if not connection.lock.acquire(timeout=-1 if left is None else left):
                raise errors.not_sent(errors.TimeoutError("timed out while another thread was calling '%s'" % link.uri))
            connection.user = threading.get_ident()
            link.unlock(connection)


def _acquire(link: Any, home: Any, deadline: Optional[float]) -> None:
    while True:
        try:
            _call(link, home, ACQUIRE_METHOD, deadline)
            return
        except errors.BusyError as x:
            left = seconds_until(deadline)
            if left == 0:
                _call(link, home, RELEASE_METHOD)  # it may be reserved for this connection already
                raise
            threading.Event().wait(earlier(left, busy_pause(x)))
        except errors.TimeoutError as x:
            if x.sent is not False:
                link.drop(home)  # the server may have reserved the object
            raise


def _release(link: Any, home: Any) -> bool:
    """Release the object. Return False if this is not possible now, as another thread is using the connection."""
    try:
        if not home.mid_exchange or home.lock.locked():  # else it is lost, and the server has released the object
            _call(link, home, RELEASE_METHOD)
    except errors.CommunicationError as x:
        if isinstance(x, errors.TimeoutError) and x.sent is False:
            return False
        log.info("the server releases '%s' itself, as the connection failed: %s", link.uri, x)
    _leave(link, home)
    return True


def _release_later(link: Any, home: Any) -> None:
    while not _release(link, home):
        log.info("waiting for a call of another thread, to release '%s'", link.uri)


def _leave(link: Any, home: Any) -> None:
    # Other threads may be in blocks of their own.
    with _changes:
        home.exclusive_blocks -= 1
        if not home.exclusive_blocks and link.exclusive is home:
            link.exclusive = None


def _call(link: Any, home: Any, method: str, deadline: Optional[float] = None) -> None:
    """Call a method of the daemon for the object of a link over its connection.

    Args:
        deadline: monotonic time until which this waits for the connection.
    """
    def lost(*response: Any) -> None:
        raise errors.ConnectionClosedError("the connection to '%s' was lost" % link.uri)

    token = current_options.set(CallOptions(link, deadline))
    try:
        found = link.acquire(lost, lost, home)
    finally:
        current_options.reset(token)
    if found is not home:
        link.unlock(found)
        lost()
    link.call(found, method, [link.object_id], {}, 0, DAEMON_NAME)
