"""Decoding of requests on the server: long ones one at a time. (For handshakes, see the module handshakes.)"""
from __future__ import annotations

import contextlib
import logging
import threading
from typing import Iterator

from .._messages import limits, requests
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

    def begin(self) -> bool:
        """Wait for a turn, and return True; False if that took too long: the caller goes on, but does not call `end`."""
        # With a limit: a thread that was stopped in its turn would otherwise stop all others. After that time they
        # run in parallel.
        return self._lock.acquire(timeout=self._max_seconds)

    def end(self) -> None:
        """End a turn."""
        self._lock.release()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a turn, which lasts until the end of the block. Takes 85 byte codes more than the two methods."""
        acquired = self.begin()
        try:
            yield
        finally:
            if acquired:
                self.end()


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
            if len(message.data) <= SHORT_REQUEST_BYTES:
                return self._parse(message, serializer)
            has_turn = self._long_requests.begin()
            try:
                return self._parse(message, serializer)
            finally:
                if has_turn:
                    self._long_requests.end()
        except CallMismatch as x:
            raise self.named(x) from None

    def _parse(self, message: ReceivingMessage, serializer: SerializerBase) -> Call:
        # What parse_invoke_request() does for nearly all requests, without its other cases: saves 50 byte codes.
        data = message.data
        if message.chunks is None and not message.flags & FLAGS_KEEPSERIALIZED:
            if len(data) > limits.FREE_BYTES:
                limits.check(message, serializer)
            object_id, method, args, kwargs = serializer.loadsCall(data)
            if type(kwargs) is dict and type(args) in ARGUMENTS and type(object_id) is str and type(method) is str:
                return new_call((object_id, method, args, kwargs))
            return requests.checked_call(object_id, method, args, kwargs)  # an attribute, a batch, or an error
        return requests.parse_invoke_request(message, serializer)

    def named(self, error: CallMismatch) -> TypeError:
        """Return the error about an argument with the names of the class, the method and the parameter."""
        try:
            published = self._objects.get(error.object_id)
            if error.method in published.members.methods and published.target is not None:
                return error.named(argument_name(published.target, error.method, error.place))
        except Exception as x:  # the object does not exist, or reading a signature has run user code
            log.debug("the parameters of %s.%s are unknown: %s", error.object_id, error.method, x)
        return TypeError(str(error))
