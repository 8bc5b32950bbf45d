"""Batched calls: many calls of the methods of one object, sent in one request."""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from .._messages import replies

BatchedCall = Tuple[str, Tuple[Any, ...], Dict[str, Any]]


class _BatchedRemoteMethod:
    """A method of a batch. Calling it adds a call to the batch.

    Args:
        batched: the list of the calls of the batch.
        name: the name of the method.
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


class CollectedCalls:
    """Base class of batches: each call of a method of the proxy is added to the batch."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self._calls: List[BatchedCall] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        # Names with two underscores are sent: the object may expose special methods.
        if name.startswith("_") and not (name.startswith("__") and name.endswith("__")):
            raise AttributeError("private name %r cannot be called remotely" % name)
        # keep it in the instance: the next access of the name does not call __getattr__
        method = self.__dict__[name] = _BatchedRemoteMethod(self._calls, name)
        return method

    def __len__(self) -> int:
        return len(self._calls)

    def __bool__(self) -> bool:
        return True


class BatchProxy(CollectedCalls):
    """Collects calls of the methods of a proxy, and sends all of them in one request when the batch itself is called.

    Calling a method of the batch sends nothing and returns None. Calling the batch sends the collected calls and returns an
    iterator of the results in order. The server stops at the first call that raises an exception, and the iterator raises
    that exception in the place of its result. After it was called the batch is empty and can be used again.

    A batch is used by one thread at a time; different threads may do so one after the other.

    Args:
        proxy: the proxy that makes the calls. The thread that calls the batch becomes its owner.
    """

    def __enter__(self) -> BatchProxy:
        return self

    def __exit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None:
        self._calls.clear()

    def __copy__(self) -> BatchProxy:
        copied = type(self)(self._proxy)
        copied._calls.extend(self._calls)
        return copied

    def __call__(self, oneway: bool = False) -> Optional[Iterator[Any]]:
        """Send the collected calls.

        Args:
            oneway: return None at once; results and exceptions are discarded.

        Returns:
            An iterator of the results.

        Raises:
            AttributeError: the object does not expose one of the methods; none of the calls was made.
            CommunicationError: the request or its reply was lost; it is not known which of the calls were made.
        """
        self._proxy._pyroClaimOwnership()  # programs of 5.x call batches in thread pools
        # Before the request: a call that raises an exception must not be sent again with the next batch.
        batched = self._calls[:]
        self._calls.clear()  # not a new list: the methods of the batch keep a reference to this one
        results = self._proxy._pyroInvokeBatch(batched, oneway)
        return None if oneway else results_of(results)

    def _pyroInvoke(self, methodname: str = "", vargs: Any = (), kwargs: Any = None) -> Optional[Iterator[Any]]:
        """Send the collected calls and ignore the arguments, for programs that use a batch in the place of a proxy."""
        return self()


def results_of(results: List[Any]) -> Iterator[Any]:
    """Yield the results of a batch; raise the exception that ended it."""
    remaining = iter(results)
    del results
    for result in remaining:
        # The exact class: the server puts a wrapper in the place of the result of a call that failed. A method that itself
        # returned one cannot be told apart, and is raised too.
        if type(result) is replies.ExceptionWrapper:
            # The traceback of the exception refers to this frame: without these references, there is no cycle that would keep
            # the proxy of the caller, and its connection, until the garbage collector finds it.
            exception, result, remaining = result.exception, None, iter(())
            try:
                raise replies.raisable(exception)  # here, so that its traceback has one frame of this library only
            finally:
                del exception
        yield result
