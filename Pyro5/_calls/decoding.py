"""Decode requests on the server: long ones one at a time, as the module `handshakes` does with long handshakes."""
from __future__ import annotations

import logging
import threading
from typing import Any, Callable, TypeVar

from .._messages import limits, requests
from .._messages.requests import Call
from .._objects.arguments import argument_name
from .._objects.objects import ObjectTable
from .._values.mismatch import CallMismatch
from ..protocol import ReceivingMessage
from ..serializers import SerializerBase
from ..serializers.base import CallPayload

log = logging.getLogger("Pyro5.server.types")

SHORT_REQUEST_BYTES = 8192  # decompressed; decoding the costliest text of this length takes about 30 ms
MAX_TURN_WAIT_SECONDS = 1.0  # converters of the program may take long, or wait for another thread
T = TypeVar("T")


class Turns:
    """Runs functions in one thread at a time, while other threads wait. Thread-safe.

    Args:
        max_seconds: how long a thread waits before it runs the function anyway: that of another thread may take long, or
            even wait for this thread.
    """

    def __init__(self, max_seconds: float = MAX_TURN_WAIT_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._lock = threading.Lock()

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Wait for a turn, and return the result of a function."""
        # With a limit: a thread that was stopped in its turn would otherwise stop all others. They then run in parallel.
        acquired = self._lock.acquire(timeout=self._max_seconds)
        try:
            return function(*arguments)
        finally:
            if acquired:
                self._lock.release()


class RequestDecoder:
    """Parses the requests of calls and batches. Thread-safe.

    A thread that decodes holds the interpreter's lock all the time, so that each of the others waits up to 5 ms
    (`sys.getswitchinterval`) for every thread that decodes. However many clients send long messages, one thread at a time
    decodes them, and the others wait without using the processor. This costs nothing: together they would be no faster.
    """

    def __init__(self, objects: ObjectTable) -> None:
        self._objects = objects
        self._long_requests = Turns()

    def parse(self, message: ReceivingMessage, serializer: SerializerBase) -> Call:
        """Return the call, or batch, that a request consists of. Raises as `requests.parse_invoke_request`."""
        try:
            if len(message.data) <= SHORT_REQUEST_BYTES:
                return requests.parse_invoke_request(message, serializer)
            return self._long_requests.run(requests.parse_invoke_request, message, serializer)
        except CallMismatch as x:
            raise self.named(x) from None

    def parse_long(self, data: bytes, serializer: SerializerBase) -> CallPayload:
        """Return the parts of a call of more than SHORT_REQUEST_BYTES, whose types are not checked. Raises as `loadsCall`."""
        if len(data) > limits.FREE_BYTES:
            limits.check_data(data, 0, serializer)
        return self._long_requests.run(serializer.loadsCall, data)

    def named(self, error: CallMismatch) -> TypeError:
        """Return the error about an argument with the names of the class, the method and the parameter."""
        try:
            published = self._objects.get(error.object_id)
            if error.method in published.members.methods and published.target is not None:
                return error.named(argument_name(published.target, error.method, error.place))
        except Exception as x:  # the object does not exist, or reading a signature has run user code
            log.debug("the parameters of %s.%s are unknown: %s", error.object_id, error.method, x)
        return TypeError(str(error))
