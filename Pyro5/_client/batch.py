"""Batched calls: many calls of one object, sent as one request."""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from .._wire import calls

__all__ = ["BatchProxy", "BatchedCall", "_BatchedRemoteMethod"]

BatchedCall = Tuple[str, Tuple[Any, ...], Dict[str, Any]]


class _BatchedRemoteMethod:
    """
    A method in a batch; calling it adds a call to the batch.

    Args:
        batched: the list of the batch's calls.
        name: of the method.
    """

    __slots__ = ("_add", "_name")

    def __init__(self, batched: List[BatchedCall], name: str) -> None:
        self._add = batched.append
        self._name = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> None:
        self._add((self._name, args, kwargs))

    def __repr__(self) -> str:
        return "<batched method %s>" % self._name


_BatchedRemoteMethod.__module__ = "Pyro5.client"


class BatchProxy:
    """
    Collects method calls for a proxy, and makes them all at once when it is called itself.

    Calling a method here returns None and sends nothing. Calling the batch sends what was collected, and gives a
    generator of the results, in order. The server stops at the first call that fails: its exception is raised in the
    place of its result. Afterwards the batch is empty and can be filled again.

    Args:
        proxy: the proxy that makes the calls. It then belongs to the thread that calls the batch.
    """

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self._calls: List[BatchedCall] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_") and not (name.startswith("__") and name.endswith("__")):
            raise AttributeError("private name %r cannot be called remotely" % name)
        method = self.__dict__[name] = _BatchedRemoteMethod(self._calls, name)  # the next look finds it there
        return method

    def __enter__(self) -> BatchProxy:
        return self

    def __exit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None:
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
        self._proxy._pyroClaimOwnership()  # batches are often called in a pool of threads
        batched = self._calls[:]
        self._calls.clear()
        results = self._proxy._pyroInvokeBatch(batched, oneway)
        return None if oneway else _results(results)

    def _pyroInvoke(self, methodname: str = "", vargs: Any = (), kwargs: Any = None) -> Optional[Iterator[Any]]:
        """Make the collected calls, whatever the arguments: for programs that treat a batch as a proxy."""
        return self()


def _results(results: List[Any]) -> Iterator[Any]:
    for result in results:
        if type(result) is calls.ExceptionWrapper:
            result.raise_it()
        yield result
