"""Decoding of requests on the server: long ones one at a time. (For handshakes, see the module handshakes.)"""
from __future__ import annotations

import contextlib
import logging
import threading
from typing import Iterator

from .._messages import requests
from .._messages.requests import ARGUMENTS, Call, new_call
from .._objects.arguments import argument_name
from .._objects.objects import ObjectTable
from .._values.mismatch import CallMismatch
from ..protocol import FLAGS_KEEPSERIALIZED, ReceivingMessage
from ..serializers import SerializerBase

log = logging.getLogger("Pyro5.server.types")

SHORT_REQUEST_BYTES = 8192  # decompressed; decoding the costliest text of this length takes about 30 ms
MAX_TURN_WAIT_SECONDS = 1.0  # converters of the program may take long, or wait for another thread


class Turns:
    """Lets one thread at a time run a block, while the others wait. Thread-safe.

    Args:
        max_seconds: how long a thread waits before it runs the block anyway: the block of another thread may take
            long, or even wait for this thread.
    """

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn, which lasts until the end of the block."""
        # With a limit: a thread that was stopped in the block would otherwise stop all others. After that time they
        # run in parallel.
        acquired = self._lock.acquire(timeout=self._max_seconds)
        try:
            yield
        finally:
            if acquired:  # a thread that did not get the lock must not release that of another one
                self._lock.release()


class RequestDecoder:
    """Parses the requests of calls and batches. Thread-safe.

    A thread that decodes holds the interpreter's lock all the time, so that each of the others waits up to 5 ms
    (`sys.getswitchinterval`) for every thread that decodes. However many clients send long messages, one thread at a time
    decodes them, and the others wait without using the processor. This costs nothing: together they would be no faster.
    """

    def __init__(self, objects: ObjectTable) -> None:
        self._objects = objects
        self._long_requests = Turns(MAX_TURN_WAIT_SECONDS)

    def parse(self, message: ReceivingMessage, serializer: SerializerBase) -> Call:
        """Return the call, or batch, that a request consists of. Raises as `requests.parse_invoke_request`."""
        try:
            data = message.data
            if len(data) > SHORT_REQUEST_BYTES:
                with self._long_requests.one():
                    return requests.parse_invoke_request(message, serializer)
            # What parse_invoke_request() does for nearly all requests, without its other cases: saves 29 byte codes.
            if message.chunks is None and not message.flags & FLAGS_KEEPSERIALIZED:
                object_id, method, args, kwargs = serializer.loadsCall(data)
                if type(kwargs) is dict and type(args) in ARGUMENTS and type(object_id) is str and type(method) is str:
                    return new_call((object_id, method, args, kwargs))
                return requests.checked_call(object_id, method, args, kwargs)  # an attribute, a batch, or an error
            return requests.parse_invoke_request(message, serializer)
        except CallMismatch as x:
            raise self.named(x) from None

    def named(self, error: CallMismatch) -> TypeError:
        """Return the error about an argument with the names of the class, the method and the parameter."""
        try:
            published = self._objects.get(error.object_id)
            if error.method in published.members.methods and published.target is not None:
                return error.named(argument_name(published.target, error.method, error.place))
        except Exception as x:  # the object does not exist, or reading a signature has run user code
            log.debug("the parameters of %s.%s are unknown: %s", error.object_id, error.method, x)
        return TypeError(str(error))
