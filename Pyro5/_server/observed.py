"""The part of a daemon that shows what happens inside: statistics and health."""
from __future__ import annotations

from typing import Any, Dict, Set

from .counted import health_of, report

__all__ = ["Observed"]


class Observed:
    """Base class of Daemon, which sets the attributes."""

    _dispatcher: Any
    _objects: Any
    _streams: Any
    transportServer: Any
    # The ids of objects that the program has marked; None stands for the daemon. Replaced, never changed.
    _not_serving: Set[Any] = frozenset()  # type: ignore[assignment]

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
        self._not_serving = set(self._not_serving) - {key} if serving else set(self._not_serving) | {key}
