"""What a daemon reports about itself: the statistics of its calls, and of its connections, threads and streams."""
from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Dict, Mapping, Optional, Tuple

from .. import errors
from .._messages import requests
from .._messages.requests import Call
from .._observe.merging import merged_reports
from .._observe.statistics import BATCH, OTHERS, shown_id
from ..constants import DAEMON_NAME
from . import permissions
from .objects import ObjectTable

__all__ = ["NOT_SERVING", "SERVING", "health_of", "report", "report_of_process", "row_of", "visible_rows"]

SERVING, NOT_SERVING = "SERVING", "NOT_SERVING"
_NO_MEMBERS = frozenset((requests.GETATTR_METHOD, requests.SETATTR_METHOD, BATCH))


def row_of(objects: ObjectTable, object_id: str, method: str) -> Tuple[str, str]:
    """Return the object and the method under which a call is counted. Names that do not exist are counted together."""
    # Requests can contain any names: they must neither fill the memory nor appear in reports.
    try:
        published = objects.get(object_id)
    except errors.DaemonError:
        return OTHERS
    own = object_id == DAEMON_NAME and not method.startswith("_") and callable(getattr(published.target, method, None))
    if not (method in published.members.methods or method in _NO_MEMBERS or own):
        return OTHERS
    return shown_id(object_id), method


def health_of(daemon: Any, object_id: str = "") -> str:
    """Return whether a daemon, or an object of it, serves clients: `SERVING` or `NOT_SERVING`."""
    marked = daemon._not_serving
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


def visible_rows(objects: Mapping[str, Mapping[str, Any]], gate: Any, connection: Any, table: ObjectTable) -> Dict[str, Any]:
    """Return the rows of those methods that a client may call. The texts of errors can contain arguments, so a client that
    may not call a method learns nothing about its calls.
    """
    return {object_id: rows for object_id, rows in (
        (object_id, {method: row for method, row in methods.items() if _may_see(gate, connection, table, object_id, method)})
        for object_id, methods in objects.items()) if rows}


def _may_see(gate: Any, connection: Any, table: ObjectTable, object_id: str, method: str) -> bool:
    try:
        published = table.get(object_id)
    except errors.DaemonError:
        # Of several objects, or of one that is not registered any more: its rules cannot be looked up.
        return gate is None or gate.users is None
    try:
        names = published.members.methods | published.members.attrs if method in _NO_MEMBERS else (method,)
        for name in names:
            permissions.check_call(gate, connection, published, Call(object_id, name, (), {}))
    except permissions.Refused:
        return False
    return True
