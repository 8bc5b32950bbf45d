"""Decoding of requests on the server: long ones one at a time. (For handshakes, see the module handshakes.)"""
from __future__ import annotations

from .._messages import requests
from .._messages.requests import Call
from ..protocol import ReceivingMessage
from ..serializers import SerializerBase
from .turns import Turns

SHORT_REQUEST_BYTES = 8192  # decompressed; decoding the costliest text of this length takes about 30 ms
MAX_TURN_WAIT_SECONDS = 1.0  # converters of the program may take long, or wait for another thread


class RequestDecoder:
    """Parses the requests of calls and batches. Thread-safe.

    A thread that decodes holds the interpreter's lock all the time, so that each of the others waits up to 5 ms
    (`sys.getswitchinterval`) for every thread that decodes. However many clients send long messages, one thread at a time
    decodes them, and the others wait without using the processor. This costs nothing: together they would be no faster.
    """

    def __init__(self) -> None:
        self._long_requests = Turns(MAX_TURN_WAIT_SECONDS)

    def parse(self, message: ReceivingMessage, serializer: SerializerBase) -> Call:
        """Return the call, or batch, that a request consists of."""
        if len(message.data) <= SHORT_REQUEST_BYTES:
            return requests.parse_invoke_request(message, serializer)
        with self._long_requests.one():
            return requests.parse_invoke_request(message, serializer)
