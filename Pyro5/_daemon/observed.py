"""The part of a daemon that shows what happens inside: statistics, health, and interceptors around its calls."""
from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Optional, Set, TypeVar

from .._http.metrics_endpoint import MetricsEndpoint
from .._observe.interceptors import Interceptors
from .._processes.reports import health_of, report
from .._processes.shared_marks import DRAINING

_F = TypeVar("_F", bound=Callable[..., Any])


class Observed:
    """Base class of Daemon, which sets the attributes."""

    _dispatcher: Any
    _objects: Any
    _streams: Any
    _siblings: Any
    _leases: Any
    transportServer: Any
    _async_interceptors = False
    _metrics: Optional[MetricsEndpoint] = None
    # The ids of objects that the program has marked; None stands for the daemon. Replaced, never changed.
    _not_serving: Set[Any] = frozenset()  # type: ignore[assignment]

    def intercept(self, interceptor: _F) -> _F:
        """Run a function around each call of a client, apart from those of the daemon's own object: use it as a decorator.

        It is called with the call (its attributes are object_id, method, args, kwargs, client, user, deadline, annotations,
        correlation_id) and a function ``proceed``, which makes the call and returns its result. It may call that any number
        of times, and returns the result for the client, or raises an exception. The one that was installed first runs
        outermost. Each call of a batch passes by itself. May be called from any thread; it has an effect on later calls.

        Raises:
            TypeError: it is not a function, or, for an asyncio daemon, not a coroutine function.
        """
        self._interceptors.add(interceptor)
        self._dispatcher.own_interceptors = self._interceptors.installed
        self._dispatcher.refresh_interceptors()
        return interceptor

    def remove_interceptor(self, interceptor: Callable[..., Any]) -> None:
        """Run a function no longer around calls; ignored if it was not installed."""
        self._interceptors.remove(interceptor)
        self._dispatcher.own_interceptors = self._interceptors.installed
        self._dispatcher.refresh_interceptors()

    @property
    def _interceptors(self) -> Interceptors:
        # Created when it is needed: the class has no constructor. Two threads that install the first ones at the same time
        # get the same object, because setdefault() is atomic.
        created = Interceptors(self._async_interceptors, "Pyro5.%s.Daemon" % ("api" if self._async_interceptors else "aio"))
        found: Interceptors = self.__dict__.setdefault("_own_interceptors", created)
        return found

    @property
    def metrics_port(self) -> Optional[int]:
        """The port of the HTTP server for monitoring systems; None if there is none."""
        return None if self._metrics is None else self._metrics.port

    def _serve_metrics(self, address: str, close: Callable[[], Any]) -> None:
        """Start the HTTP server for monitoring systems, unless the address is empty.

        Args:
            close: called if that fails, before the exception is raised.
        """
        if not address:
            return
        try:
            self._metrics = MetricsEndpoint(address, lambda: self.statistics(), lambda: self.health())
        except BaseException:
            close()
            raise

    def _end_metrics(self) -> None:
        """Stop the HTTP server for monitoring systems; the daemon has ended."""
        self._has_ended.set()
        metrics, self._metrics = self._metrics, None
        if metrics is not None:
            metrics.close()

    def statistics(self) -> Dict[str, Any]:
        """Return what was counted since the daemon was created, as clients get it from ``Pyro.Daemon.stats()``.

        For each object and method these are the number of calls and errors, durations in seconds (mean, p50, p99) and the
        last error; besides, the connections, threads, item streams, refused clients and bytes. Any thread may call this.
        """
        return report(self)

    def health(self, objectId: str = "") -> str:
        """Return ``SERVING`` or ``NOT_SERVING``, for an object or, without an id, for the daemon. Any thread may call this.

        An object is not served if it is not registered, if the program has said so (`set_health`), or if the daemon does not
        serve: it ends, or is about to end.
        """
        return health_of(self, objectId)

    def set_health(self, serving: bool, objectOrId: Any = None) -> None:
        """Set what `health` returns, for a registered object or, without one, for the daemon. Any thread may call this.

        Calls are served in any case: it is for load balancers and clients that ask, which then use other servers.

        Raises:
            DaemonError: the object is not registered in this daemon.
        """
        key = None if objectOrId is None else str(self.uriFor(objectOrId).object)  # type: ignore[attr-defined]
        if self._siblings is not None:
            self._siblings.mark(key, serving)
        else:
            self._not_serving = set(self._not_serving) - {key} if serving else set(self._not_serving) | {key}

    def drain(self, seconds: float = 10.0) -> None:
        """End the daemon without errors for its clients: shut it down after this time. Any thread may call this.

        Until then calls are served, but `health` says ``NOT_SERVING``, and names that are registered with `register_with` are
        removed from the name server, so that clients and load balancers go elsewhere.
        """
        self.set_health(False)
        if self._siblings is not None:
            self._siblings.mark(DRAINING, False)
        # In a thread, because a name server that is asked to remove names may take long to answer.
        threading.Thread(target=self._drain, args=(seconds,), name="Pyro-drain", daemon=True).start()

    def _drain(self, seconds: float) -> None:
        self._leases.close()
        if not self._has_ended.wait(seconds):
            self.shutdown()  # type: ignore[attr-defined]

    @property
    def _has_ended(self) -> threading.Event:
        found: threading.Event = self.__dict__.setdefault("_end_event", threading.Event())
        return found
