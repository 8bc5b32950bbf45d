"""What the page shows about servers: whether they serve, how many calls they run, how long these take, and what failed; and
what monitoring systems and load balancers ask: the health of the gateway, and the metrics of the servers behind it.
"""
from __future__ import annotations

import json
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, List, Mapping, Optional, Tuple

from .. import NamedTuple, errors
from .._client.parallel import ask_all
from .._observe.histogram import percentile, total
from .._observe.metrics_text import CONTENT_TYPE, Family, metrics_text
from .._observe.statistics import GENERATED_IDS, shown_id
from .._values import plain
from .._values.uri import URI
from ..client import Proxy
from ..constants import DAEMON_NAME
from . import calls, responses
from .calls import NameServerGone, Registration
from .responses import Response

ASK_SECONDS = 3.0           # until servers that have not answered are left out
WINDOW_SECONDS = 20.0       # over which the rate of calls is computed
HEALTH_QUESTIONS = 200      # objects of one server whose health is asked for
REPORT_BYTES = 8 << 20
# The paths that monitoring systems and load balancers ask.
HEALTHZ, READYZ, METRICS = PATHS = ("/healthz", "/readyz", "/metrics")

Row = Dict[str, Any]


class _Totals(NamedTuple):
    """What was counted for an object until some time."""

    calls: int
    buckets: Tuple[int, ...]


class _Sample(NamedTuple):
    """The totals of all objects of a server at some time."""

    at: float
    since: Any      # identifies the processes: their counters begin at zero when they are started again
    totals: Mapping[str, _Totals]


class ServerStatus:
    """Asks servers for their statistics. Thread-safe.

    Args:
        seconds: time limit for one server; None for no other than ASK_SECONDS.
        clock: returns monotonic seconds.
    """

    def __init__(self, seconds: Optional[float], clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = ASK_SECONDS if seconds is None else min(seconds, ASK_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()   # guards _samples
        self._samples: Dict[str, Deque[_Sample]] = {}

    def read(self, registrations: Mapping[str, Registration]) -> Dict[str, Any]:
        """Return ``servers``, location -> dict; and ``objects``, name -> dict, without those of servers that do not answer."""
        # location of a server -> name -> object id
        names = {location: {name: str(uri.object) for name, uri in uris.items()}
                 for location, uris in calls.by_location(registrations).items()}
        with self._lock:
            self._samples = {location: samples for location, samples in self._samples.items() if location in names}
        found, missing = ask_all(list(names), lambda location: self._ask(location, names[location].values()), ASK_SECONDS)
        servers: Dict[str, Any] = {location: {"reachable": False, "reason": reason} for location, reason in missing.items()}
        objects: Dict[str, Any] = {}
        for location, (report, health) in found.items():
            servers[location] = {"reachable": True, **_about_server(report)}
            rows = self._rows(location, report)
            for name, object_id in names[location].items():
                row = rows.get(object_id)
                # Objects with generated ids are counted together.
                is_shared = row is None and object_id.startswith("obj_")
                row = rows.get(GENERATED_IDS) if is_shared else row
                objects[name] = {**(row or {}), "health": health.get(object_id), "shared": is_shared and row is not None}
        return {"servers": servers, "objects": objects}

    def methods(self, uri: URI) -> Dict[str, Any]:
        """Return what was counted for each method of one object: method -> dict. Raises PyroError."""
        report, _ = self._ask(str(uri.location), ())
        counted = plain.dict_in(report, "objects")
        rows = plain.dict_in(counted, str(uri.object)) or (
            plain.dict_in(counted, GENERATED_IDS) if str(uri.object).startswith("obj_") else {})
        return {method: {key: value for key, value in row.items() if key not in ("buckets", "seconds")}
                for method, row in rows.items() if type(row) is dict}

    def _ask(self, location: str, object_ids: Iterable[str]) -> Tuple[Row, Dict[str, str]]:
        """Return the statistics of a server, empty if it has none; and object id -> health."""
        with calls.connected_proxy(URI("PYRO:%s@%s" % (DAEMON_NAME, location)), self._seconds, lambda size: None) as proxy:
            report: Row = _value(proxy, "stats", []) if "stats" in proxy._pyroMethods else {}
            health: Dict[str, str] = {}
            if "health" in proxy._pyroMethods:
                for object_id in list(object_ids)[:HEALTH_QUESTIONS]:
                    health[object_id] = calls.exact(str, _value(proxy, "health", [object_id]))
            return (report if type(report) is dict else {}), health

    def _rows(self, location: str, report: Row) -> Dict[str, Row]:
        """Return object id -> what is shown of its statistics."""
        merged = {object_id: _merged(methods) for object_id, methods in plain.dict_in(report, "objects").items()
                  if type(methods) is dict}
        totals = {object_id: _Totals(row["calls"], tuple(row.pop("buckets"))) for object_id, row in merged.items()}
        # Of several processes, any may answer; the sums are those of all of them.
        processes = report.get("processes") or report.get("pid")
        sample = _Sample(self._clock(), (report.get("since"), processes), totals)
        oldest = self._oldest(location, sample)
        for object_id, row in merged.items():
            row.update(_recent(oldest, sample, object_id))
        return merged

    def _oldest(self, location: str, sample: _Sample) -> Optional[_Sample]:
        """Store a sample, and return the oldest one that is still of use; None if there is none."""
        with self._lock:
            samples = self._samples.setdefault(location, deque())
            while samples and (samples[0].since != sample.since or sample.at - samples[0].at > WINDOW_SECONDS):
                samples.popleft()
            oldest = samples[0] if samples else None
            samples.append(sample)
        return oldest


def _value(proxy: Proxy, method: str, arguments: List[Any]) -> Any:
    reply = calls.as_json(proxy._pyroInvoke(method, arguments, {}))
    if not reply.ok or len(reply.payload) > REPORT_BYTES:
        raise errors.ProtocolError("%s of the server cannot be used" % method)
    return json.loads(reply.payload)


def _about_server(report: Row) -> Row:
    """Return the part of the statistics that is not about objects."""
    keys = ("health", "uptime", "pid", "processes", "connections", "workers", "streams", "refusals", "bytes", "counting")
    shown = {key: report.get(key) for key in keys}
    waits = plain.dict_in(report, "queue_wait")
    return {**shown, "statistics": bool(report), "queue_wait": {key: waits.get(key) for key in ("requests", "mean", "p99")}}


def _merged(methods: Mapping[str, Any]) -> Row:
    """Return the sum of the statistics of all methods of an object, and the last of their errors."""
    calls_made, failed, histograms = 0, 0, []  # type: int, int, List[List[int]]
    last: Optional[Row] = None
    for method, row in methods.items():
        if type(row) is not dict:
            continue
        calls_made += _number(row, "calls")
        failed += _number(row, "errors")
        histograms.append([each for each in row.get("buckets") or () if type(each) is int])
        error = row.get("last_error")
        if type(error) is dict and (last is None or _number(error, "time") > _number(last, "time")):
            last = {**error, "method": method}
    return {"calls": calls_made, "errors": failed, "last_error": last, "buckets": total(histograms)}


def _number(row: Row, key: str) -> Any:
    value = row.get(key)
    return value if type(value) in (int, float) else 0


def _recent(oldest: Optional[_Sample], sample: _Sample, object_id: str) -> Row:
    """Return the calls per second, and how long calls take: the recent ones, or all if there were none."""
    now = sample.totals[object_id]
    before = None if oldest is None else oldest.totals.get(object_id, _Totals(0, ()))
    if oldest is None or before is None or sample.at <= oldest.at:
        return {"rate": None, "p99": percentile(now.buckets, 0.99)}
    # Asking for the health, and the statistics, is not a call of these objects.
    earlier = (*before.buckets, *[0] * (len(now.buckets) - len(before.buckets)))
    recent = [max(one - other, 0) for one, other in zip(now.buckets, earlier)]
    made = now.calls - before.calls
    return {"rate": max(made, 0) / (sample.at - oldest.at), "p99": percentile(recent if any(recent) else now.buckets, 0.99)}


# ---------------------------------------------------------------- monitoring systems

def ready(locate: Callable[[], Any]) -> Response:
    """Return the response to ``/readyz``: whether the name server can be reached.

    Args:
        locate: asks the name server; raises NameServerGone.
    """
    try:
        locate()
    except NameServerGone:
        return responses.text(503, "NOT_SERVING\n")
    return responses.text(200, "SERVING\n")


class ServerMetrics:
    """The metrics of all servers whose objects the gateway exposes.

    Args:
        registrations: returns the exposed objects by name; raises the errors of the name server.
        seconds: that a server has to answer; None for no other limit than ASK_SECONDS.
    """

    def __init__(self, registrations: Callable[[], Mapping[str, Registration]], seconds: Optional[float]) -> None:
        self._registrations = registrations
        self._seconds = ASK_SECONDS if seconds is None else min(seconds, ASK_SECONDS)

    def response(self) -> Response:
        """Return the response to ``/metrics``."""
        # The ids of the objects, each with the first of its names, by the location of their server.
        exposed = {location: {str(uri.object): name for name, uri in sorted(uris.items(), reverse=True)}
                   for location, uris in calls.by_location(self._registrations()).items()}
        # All servers are asked at the same time, each of them once.
        found, missing = ask_all(sorted(exposed), self._report, ASK_SECONDS)
        reports, is_up = [], dict.fromkeys(sorted({**found, **missing}), 0)
        for location, report in sorted(found.items()):
            try:
                visible = {**report, "objects": _visible_rows(report["objects"], exposed[location])}
                labels = {"location": location}
                metrics_text([(labels, visible)])  # alone first: one server that sends nonsense must not spoil the rest
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
                continue
            reports.append((labels, visible))
            is_up[location] = 1
        body = metrics_text(reports) + _up(is_up)
        return Response(200, CONTENT_TYPE, body.encode("utf-8", "replace"), (("Cache-Control", "no-store"),))

    def _report(self, location: str) -> Dict[str, Any]:
        """Ask a server for its statistics. Raises PyroError."""
        with calls.connected_proxy(URI("PYRO:%s@%s" % (DAEMON_NAME, location)), self._seconds, _check_size) as proxy:
            return calls.exact(dict, _value(proxy, "stats", []))


def _visible_rows(rows: Mapping[str, Any], exposed: Mapping[str, str]) -> Dict[str, Any]:
    """Return the rows of exposed objects.

    Args:
        exposed: the names of the objects by id.
    """
    found = {object_id: each for object_id, each in rows.items() if object_id in exposed or object_id == "<others>"}
    for object_id, name in exposed.items():
        # A generated id is another one after each start of the server, which the reader of a chart takes for another object.
        if object_id in found and shown_id(object_id) != object_id and name not in found:
            found[name] = found.pop(object_id)
    return found


def _check_size(size: int) -> None:
    if size > REPORT_BYTES:
        raise errors.MessageTooLargeError("the statistics of a server have %d bytes" % size)


def _up(is_up: Mapping[str, int]) -> str:
    family = Family("pyro_server_up", "gauge", "1 if the server has sent its statistics.")
    for location, up in is_up.items():
        family.add(up, {"location": location})
    return "".join(line + "\n" for line in family.lines) if is_up else ""
