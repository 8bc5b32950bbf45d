"""Requests for the next item of an asynchronous stream, which the loop of the thread server starts by itself.

The item is read in an event loop, so a worker would only decode the request. A client that waits for items, such as a watcher
of a name server, sends the same request again and again. From the second one on it is recognized by its bytes, and a thousand
watchers that are told of a change take no turns of the workers.
"""
from __future__ import annotations

from typing import Any, Optional, Tuple

from ..protocol import FLAGS_BATCH, FLAGS_ONEWAY, MSG_INVOKE, ReceivingMessage

MAX_BYTES = 500  # of a request that is kept; usual ones have about 100

# Type, flags, serializer and payload of a message.
ItemRequest = Tuple[int, int, int, bytes]


def item_request(message: ReceivingMessage) -> Optional[ItemRequest]:
    """Return what a request for an item is recognized by; None if it is too long, or not an ordinary call."""
    if message.type != MSG_INVOKE or message.flags & (FLAGS_BATCH | FLAGS_ONEWAY) or len(message.data) > MAX_BYTES:
        return None
    # A copy: the message refers to the buffer in which it was received.
    return message.type, message.flags, message.serializer_id, bytes(message.data)


def is_repeated(message: Any, known: ItemRequest) -> bool:
    """Return whether a message is the same request: it is decoded to the same call, so it runs no code of the program here."""
    return (message.data == known[3] and message.flags == known[1] and message.serializer_id == known[2]
            and message.type == known[0] and message.chunks is None)
