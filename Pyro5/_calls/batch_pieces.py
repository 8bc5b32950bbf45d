"""Where the execution of a batch is interrupted, for other clients or for good."""
from __future__ import annotations

import logging
import time
from typing import Any, Iterator, Optional, Sequence

log = logging.getLogger("Pyro5.server.connection")

# The number of calls of a batch after which the clock is read, and the seconds after which client and turn are checked.
CHECK_STEPS, CHECK_SECONDS = 8, 0.02
# If those calls took longer, the clock is read after each of the next ones.
QUICK_SECONDS = 0.002


def pieces_of(connection: Any, steps: Sequence[Any], needs_client: bool) -> Iterator[Optional[Sequence[Any]]]:
    """Return the steps of a batch in sequences of a few, and None where other clients have to be served first.

    Args:
        connection: a ServerConnection.
        needs_client: stop, and abandon the connection, when the client has disconnected: the results would be lost, and a
            small request can ask for very much work.
    """
    server, before = connection.server, time.monotonic()
    # The first piece is a single call: it may be slow, and nothing is known about these calls yet.
    start, size, check_at = 0, 1, before + CHECK_SECONDS
    while start < len(steps):
        yield steps[start:start + size]
        start += size
        now = time.monotonic()
        size = CHECK_STEPS if now - before < QUICK_SECONDS else 1
        before = now
        if now < check_at or start >= len(steps):
            continue
        # Only if the client waits for the results: a oneway batch is executed although its sender has left.
        if needs_client and connection.peer_has_closed():
            log.info("the client at %s has disconnected after %d of %d calls of a batch: the others are not executed",
                     connection.peer_address, start, len(steps))
            connection.abandon()
            return
        # A server with one thread runs nothing else during a batch. Worker threads need no interruption, because each
        # serves one client.
        if server.interrupts_batches and server.turn_is_over():
            yield None
            # The time in which others were served must not count as the duration of these calls.
            before = time.monotonic()
        check_at = before + CHECK_SECONDS
