"""Functions of the program that run around each call: on a server, or in a client.

An interceptor is called with an `InterceptedCall` and a function ``proceed``, and returns the result of the call.
``proceed()`` makes the call, and may be called any number of times; each time it continues with the next interceptor. Those
for asyncio are coroutine functions, and await ``proceed()``.
"""
from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, TypeVar

from .. import LazyModule

if TYPE_CHECKING:
    import inspect
else:
    inspect = LazyModule(globals(), "inspect")

_F = TypeVar("_F", bound=Callable[..., Any])


class InterceptedCall:
    """A call, as interceptors see it. They may assign `args`, `kwargs` and, in clients, `annotations` and `traceparent`.

    Attributes:
        object_id, method: what is called. Attributes are the methods ``__getattr__`` and ``__setattr__``.
        args, kwargs: the arguments.
        client: on a server the connection of the client; None in a client.
        user: the user that the client has proved to be, or as which this client connects; None without one.
        deadline: the time (of ``time.monotonic()``) until which the client waits, None without a limit.
        annotations: those of the request; in a client, those that are going to be sent with it.
        correlation_id: the ``uuid.UUID`` of the chain of calls, None if a client has none.
        traceparent: the W3C trace context of the caller, as text; empty without one.
        oneway: whether the client does not wait for the result.
    """

    __slots__ = ("object_id", "method", "args", "kwargs", "client", "user", "deadline", "annotations", "correlation_id",
                 "traceparent", "oneway")

    def __init__(self, object_id: str, method: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, client: Any = None,
                 user: Optional[str] = None, deadline: Optional[float] = None, annotations: Any = None,
                 correlation_id: Any = None, traceparent: str = "", oneway: bool = False) -> None:
        self.object_id = object_id
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.client = client
        self.user = user
        self.deadline = deadline
        self.annotations: Dict[str, Any] = {} if annotations is None else annotations
        self.correlation_id = correlation_id
        self.traceparent = traceparent
        self.oneway = oneway

    def __repr__(self) -> str:
        return "<call of %s.%s>" % (self.object_id, self.method)


class Interceptors:
    """The interceptors of a daemon, or of all clients. Thread-safe.

    Args:
        are_async: they are coroutine functions.
        others: what to use for functions of the other kind, for the text of an error.

    Attributes:
        installed: in the order of their calls; a new tuple after each change.
    """

    def __init__(self, are_async: bool, others: str) -> None:
        self.installed: Tuple[Callable[..., Any], ...] = ()
        self._are_async = are_async
        self._others = others
        self._lock = threading.Lock()  # guards changes of `installed`
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, interceptor: _F) -> _F:
        """Install an interceptor inside of those that are installed already, and return it, so that this is a decorator.

        Raises:
            TypeError: it is no function, or one of the other kind.
        """
        if not callable(interceptor):
            raise TypeError("an interceptor is a function of a call and proceed, not %r" % (interceptor,))
        function: Any = interceptor if inspect.isroutine(interceptor) else type(interceptor).__call__
        is_async = inspect.iscoroutinefunction(interceptor) or inspect.iscoroutinefunction(function)
        if is_async != self._are_async:
            raise TypeError("%r is %s coroutine function; for those, use %s" % (
                interceptor, "no" if self._are_async else "a", self._others))
        with self._lock:
            self.installed = (*self.installed, interceptor)
        self._changed()
        return interceptor

    def remove(self, interceptor: Callable[..., Any]) -> None:
        """Remove an interceptor. Calls that are in it continue. Ignored if it is not installed."""
        with self._lock:
            self.installed = tuple(each for each in self.installed if each is not interceptor)
        self._changed()

    def use_in(self, user: Any) -> None:
        """Call ``user.refresh_interceptors()`` after each change. Only a weak reference to it is kept."""
        with self._lock:
            self._users.add(user)

    def _changed(self) -> None:
        with self._lock:
            users = list(self._users)
        for user in users:
            user.refresh_interceptors()


of_clients = Interceptors(are_async=False, others="Pyro5.aio.intercept_clients")
of_daemons = Interceptors(are_async=False, others="of_asyncio_daemons")
of_asyncio_daemons = Interceptors(are_async=True, others="of_daemons")
of_asyncio_clients = Interceptors(are_async=True, others="Pyro5.api.intercept_clients")


def run(interceptors: Sequence[Callable[..., Any]], call: InterceptedCall, make: Callable[[], Any]) -> Any:
    """Make a call through interceptors, the first one outermost, and return its result.

    Args:
        make: makes the call, with the arguments that are in `call` then.
    """
    if not interceptors:
        return make()
    return interceptors[0](call, lambda: run(interceptors[1:], call, make))


async def run_async(interceptors: Sequence[Callable[..., Any]], call: InterceptedCall, make: Callable[[], Any]) -> Any:
    """Make a call through coroutine functions, as `run` does.

    Args:
        make: a coroutine function.
    """
    if not interceptors:
        return await make()
    return await interceptors[0](call, lambda: run_async(interceptors[1:], call, make))
