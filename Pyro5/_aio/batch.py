"""Batches: many calls in one request."""
from __future__ import annotations

from typing import Any, Iterator, List, Optional

from .._client.batch import BatchedCall, _BatchedRemoteMethod, results_of
from .._client.results import rebuilt_batch
from .._messages.requests import BATCH_METHOD
from ..protocol import FLAGS_BATCH, FLAGS_ONEWAY
from .calls import call
from .proxy import Proxy

__all__ = ["BatchProxy"]


class BatchProxy:
    """Collects calls of the methods of a proxy, and sends all of them in one request when the batch itself is called.

    Calling a method of the batch sends nothing and returns None. ``await batch()`` sends the collected calls and returns an
    iterator of the results in order. The server stops at the first call that raises an exception, and the iterator raises
    that exception in the place of its result. After it was called the batch is empty and can be used again.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._calls: List[BatchedCall] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and not (name.startswith("__") and name.endswith("__")):
            raise AttributeError("private name %r cannot be called remotely" % name)
        method = self.__dict__[name] = _BatchedRemoteMethod(self._calls, name)
        return method

    def __len__(self) -> int:
        return len(self._calls)

    def __bool__(self) -> bool:
        return True

    async def __call__(self, oneway: bool = False) -> Optional[Iterator[Any]]:
        """Send the collected calls.

        Args:
            oneway: return None at once; results and exceptions are discarded.

        Raises:
            AttributeError: the object does not expose one of the methods; none of the calls was made.
            CommunicationError: the request or its reply was lost; it is not known which of the calls were made.
        """
        batched = self._calls[:]
        self._calls.clear()  # not a new list: the methods of the batch keep a reference to this one
        flags = FLAGS_BATCH | (FLAGS_ONEWAY if oneway else 0)
        results = await call(self._proxy._pyro, BATCH_METHOD, batched, None, flags)
        return None if oneway else results_of(rebuilt_batch(self._proxy._pyro.results, batched, results))


BatchProxy.__module__ = "Pyro5.aio"
