"""Batched calls: many calls of one object, sent as one request."""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from .. import protocol
from .._wire import calls

__all__ = ["BatchProxy"]

BatchedCall = Tuple[str, Tuple[Any, ...], Dict[str, Any]]


class BatchProxy:
    """
    Collects method calls for a proxy, and makes them all at once when it is called itself.

    Calling a method here returns None and sends nothing. Calling the batch sends what was collected, and gives a
    generator of the results, in order. The server stops at the first call that fails: its exception is raised in the
    place of its result. Afterwards the batch is empty and can be filled again.

    Args:
        proxy: the proxy that makes the calls; its rules about threads hold.
    """

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self._calls: List[BatchedCall] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_") and not (name.startswith("__") and name.endswith("__")):
            raise AttributeError("private name %r cannot be called remotely" % name)
        put_down = self._calls.append

        def method(*args: Any, **kwargs: Any) -> None:
            put_down((name, args, kwargs))

        method.__name__ = name
        self.__dict__[name] = method  # the next look finds it there
        return method

    def __enter__(self) -> BatchProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._calls.clear()

    def __copy__(self) -> BatchProxy:
        copied = type(self)(self._proxy)
        copied._calls.extend(self._calls)
        return copied

    def __len__(self) -> int:
        return len(self._calls)

    def __bool__(self) -> bool:
        return True

    def __call__(self, oneway: bool = False) -> Optional[Iterator[Any]]:
        """
        Make the collected calls.

        Args:
            oneway: do not wait, and never learn of results or errors; returns None.

        Raises:
            AttributeError: the object has no such method; then none of the calls was made.
            CommunicationError: the request or its reply was lost; nobody knows which of the calls were made.
        """
        batched = self._calls[:]
        self._calls.clear()
        flags = protocol.FLAGS_BATCH | (protocol.FLAGS_ONEWAY if oneway else 0)
        results = self._proxy._pyroInvoke(calls.BATCH_METHOD, batched, None, flags)
        return None if oneway else _results(results)


def _results(results: List[Any]) -> Iterator[Any]:
    for result in results:
        if isinstance(result, calls.ExceptionWrapper):
            result.raise_it()
        yield result
