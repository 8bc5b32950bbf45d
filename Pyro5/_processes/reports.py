"""What a daemon reports about itself, in all of its processes: its calls, connections, threads and streams."""
from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Dict, Optional

from .._observe.statistics import merged_reports

SERVING, NOT_SERVING = "SERVING", "NOT_SERVING"


def health_of(daemon: Any, object_id: str = "") -> str:
    """Return whether a daemon, or an object of it, serves clients: `SERVING` or `NOT_SERVING`."""
    marked = daemon._not_serving if daemon._siblings is None else daemon._siblings.marks()
    if daemon.transportServer.stopping or None in marked:
        return NOT_SERVING
    is_served = not object_id or object_id in daemon._objects and object_id not in marked
    return SERVING if is_served else NOT_SERVING


def report(daemon: Any) -> Dict[str, Any]:
    """Return what a daemon has counted since it was created, in all of its processes, as plain data. Times are in seconds."""
    siblings = daemon._siblings
    if siblings is None:
        return report_of_process(daemon)
    # Of the process that supervises the others, which serves no clients, another thread may fork in this moment.
    with siblings.no_fork if siblings.is_supervisor else contextlib.nullcontext():
        own = report_of_process(daemon)
        answers = siblings.ask("statistics", None)
        others = [answer.value for answer in answers]
        ended = siblings.kept_counts({siblings.own_place, *[answer.place for answer in answers]})
    return merged_reports(others if others and siblings.is_supervisor else [own, *others], ended)


def report_of_process(daemon: Any) -> Dict[str, Any]:
    """Return what this process has counted; of a daemon with several processes, also what those in its place have before."""
    siblings, found = daemon._siblings, _report_of_process(daemon)
    return found if siblings is None or siblings.is_supervisor else siblings.with_kept_counts(found)


def _report_of_process(daemon: Any) -> Dict[str, Any]:
    dispatcher, server = daemon._dispatcher, daemon.transportServer
    statistics = dispatcher.statistics
    connections = server.all_connections()
    # Calls whose client has disconnected may still run.
    busy = len({id(call.connection) for call in list(dispatcher.running._running)} & set(map(id, connections)))
    return {
        "pid": os.getpid(), "location": daemon.locationStr, "health": health_of(daemon),
        "since": statistics.since, "uptime": time.monotonic() - statistics.started,
        "counting": dispatcher.running.statistics is not None,
        "objects": statistics.rows(),
        "connections": {"idle": len(connections) - busy, "busy": busy},
        "workers": _workers(getattr(server, "pool", None)),
        "queue_wait": statistics.waits(),
        "refusals": statistics.refusals(),
        "streams": len(daemon._streams),
        "bytes": statistics.bytes_of(connections),
    }


def _workers(pool: Any) -> Optional[Dict[str, int]]:
    """Return the numbers of threads of a pool; None for a server without one."""
    if pool is None:
        return None
    waiting = pool.waiting_jobs()
    return {"threads": len(pool), "busy": pool.busy() - waiting, "maximum": pool.maximum, "waiting_calls": waiting}
