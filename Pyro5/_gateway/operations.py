"""What monitoring systems and load balancers ask a gateway: its own health, and the metrics of the servers behind it."""
from __future__ import annotations

import json
from typing import Any, Callable, Dict, Mapping, Optional

from .. import errors
from .._client.parallel import ask_all
from .._observe.metrics_text import CONTENT_TYPE, Family, metrics_text
from .._observe.statistics import shown_id
from .._values.uri import URI
from ..constants import DAEMON_NAME
from . import calls, responses
from .calls import NameServerGone, Registration
from .responses import Response
from .status import ASK_SECONDS

HEALTHZ, READYZ, METRICS = PATHS = ("/healthz", "/readyz", "/metrics")

MAX_REPORT_BYTES = 8 << 20
_SINGLE_NAMES = frozenset(("<others>",))


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
            reply = calls.as_json(proxy._pyroInvoke("stats", [], {}))
        if not reply.ok:
            raise errors.PyroError("the server has no statistics")
        report = json.loads(reply.payload)
        if type(report) is not dict:
            raise errors.ProtocolError("the server did not send its statistics")
        return report


def _visible_rows(rows: Mapping[str, Any], exposed: Mapping[str, str]) -> Dict[str, Any]:
    """Return the rows of exposed objects.

    Args:
        exposed: the names of the objects by id.
    """
    found = {object_id: each for object_id, each in rows.items() if object_id in exposed or object_id in _SINGLE_NAMES}
    for object_id, name in exposed.items():
        # A generated id is another one after each start of the server, which the reader of a chart takes for another object.
        if object_id in found and shown_id(object_id) != object_id and name not in found:
            found[name] = found.pop(object_id)
    return found


def _check_size(size: int) -> None:
    if size > MAX_REPORT_BYTES:
        raise errors.MessageTooLargeError("the statistics of a server have %d bytes" % size)


def _up(is_up: Mapping[str, int]) -> str:
    family = Family("pyro_server_up", "gauge", "1 if the server has sent its statistics.")
    for location, up in is_up.items():
        family.add(up, {"location": location})
    return "".join(line + "\n" for line in family.lines) if is_up else ""
