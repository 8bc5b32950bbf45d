"""The calls that a gateway is making at the moment, and how they are cancelled."""
from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
import uuid
from typing import Any, Dict, Iterator, List, Optional

from .. import current_context, errors
from .._wire.features import CANCELLATION


class RunningCall:
    """A call in progress. The thread that makes it creates it; any thread may cancel it.

    Attributes:
        call_id: the correlation id.
        name, member: what is called.
        started_at: monotonic seconds.
        is_cancelled: whether it was cancelled through the gateway.
        proxy: makes only this call.
    """

    def __init__(self, proxy: Any, call_id: uuid.UUID, name: str, member: str, started_at: float) -> None:
        self.call_id, self.name, self.member, self.started_at = call_id, name, member, started_at
        self.is_cancelled = False
        self.proxy = proxy

    def cancel(self) -> None:
        """Cancel the call on the server, with the item stream that it has opened, and end the wait for the reply."""
        link = self.proxy._pyro
        connection = link.connection
        # First the message, which also cancels an async method; the end of the connection stops the wait for the others.
        if connection is not None and connection.features is not None and CANCELLATION in connection.features:
            link.send_cancellation(self.call_id.bytes, None)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def translating(self) -> Iterator[None]:
        """Raise CancelledError for a connection that fails in the block because the call was cancelled."""
        try:
            yield
        except errors.CommunicationError:
            self.check()
            raise

    def check(self) -> None:
        """Raise CancelledError if the call is cancelled."""
        if self.is_cancelled:
            raise errors.CancelledError("the call of %s.%s was cancelled through the gateway" % (self.name, self.member))


class CallTable:
    """All calls in progress. Thread-safe."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._lock = threading.Lock()   # guards _calls
        self._calls: Dict[int, RunningCall] = {}

    @contextlib.contextmanager
    def running(self, proxy: Any, name: str, member: str) -> Iterator[RunningCall]:
        """List a call for the block.

        Raises:
            CancelledError: the call was cancelled: its connection has failed because of that, or its result comes too late.
        """
        call_id = current_context.correlation_id or uuid.uuid4()
        call, number = RunningCall(proxy, call_id, name, member, time.monotonic()), next(self._numbers)
        with self._lock:
            self._calls[number] = call
        try:
            with call.translating():
                yield call
        finally:
            # Decided under the lock: a call that `cancel` has found never has a result.
            with self._lock:
                del self._calls[number]
        call.check()

    def list(self) -> List[Dict[str, Any]]:
        """Return what the page shows, the longest running call first."""
        now = time.monotonic()
        with self._lock:
            calls = list(self._calls.values())
        return [{"id": str(call.call_id), "name": call.name, "member": call.member, "seconds": round(now - call.started_at, 3),
                 "cancelled": call.is_cancelled} for call in calls]

    def client_lost(self, call: RunningCall) -> None:
        """Cancel a call, if it still runs, because its client does not wait any more."""
        with self._lock:
            if call not in self._calls.values():
                return
            call.is_cancelled = True
        call.cancel()

    def cancel(self, text: Optional[str]) -> int:
        """Cancel the calls with this correlation id, and return their number. Raises ValueError for a text that is no UUID."""
        call_id = uuid.UUID(text or "")
        with self._lock:
            found = [call for call in self._calls.values() if call.call_id == call_id]
            for call in found:
                call.is_cancelled = True
        for call in found:
            call.cancel()
        return len(found)
