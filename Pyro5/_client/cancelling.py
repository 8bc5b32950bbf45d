"""Ask a server to cancel a call that it is running."""
from __future__ import annotations

import logging
import threading
import time
from typing import Any, Optional

from ..constants import CANCEL_METHOD, DAEMON_NAME
from ..protocol import FLAGS_ONEWAY
from .call_options import CallOptions, current_options
from .pool import OPEN_SIDE

log = logging.getLogger("Pyro5.link")

# A server that does not answer must not keep the thread, and the connection, for longer.
CANCEL_SECONDS = 5.0


def send_cancellation(link: Any, correlation_id: bytes, seq: Optional[int]) -> None:
    """Send a cancellation over a connection of its own, as the one of the call is in use. Errors are logged, not raised."""
    import uuid
    arguments = [str(uuid.UUID(bytes=correlation_id)), seq]
    token = current_options.set(CallOptions(link, time.monotonic() + CANCEL_SECONDS))
    try:
        connection = (link.pool.claim_side(threading.get_ident())
                      or link._open_another(OPEN_SIDE, lambda response: None))
        if connection is not None:
            link.call(connection, CANCEL_METHOD, arguments, {}, FLAGS_ONEWAY, DAEMON_NAME)
            if link.connection is None:  # the proxy was released meanwhile, or is about to connect again
                link.drop(connection, keep_socket=True)
    except Exception as x:  # border of a thread
        log.info("a call of %s cannot be cancelled on the server: %s", link.bound_uri, x)
    finally:
        current_options.reset(token)
