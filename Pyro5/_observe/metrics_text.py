"""The statistics of daemons as text in the format of Prometheus (version 0.0.4).

The names follow the conventions of OpenTelemetry for remote procedure calls: ``rpc.server.call.duration`` is
``rpc_server_call_duration_seconds`` here.
"""
from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from .histogram import SHOWN, upper_bound

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

_HISTOGRAM, _COUNTER, _GAUGE = "histogram", "counter", "gauge"


class Family:
    """All samples of one metric."""

    def __init__(self, name: str, kind: str, meaning: str) -> None:
        self.lines: List[str] = ["# HELP %s %s" % (name, meaning), "# TYPE %s %s" % (name, kind)]
        self._name = name

    def add(self, value: float, labels: Labels, suffix: str = "") -> None:
        """Add a sample."""
        text = ",".join('%s="%s"' % (label, str(of).translate(_ESCAPES)) for label, of in labels.items())
        self.lines.append("%s%s%s %s" % (self._name, suffix, "{%s}" % text if text else "", _number(value)))

    def add_histogram(self, counts: Sequence[int], seconds: float, labels: Labels) -> None:
        """Add the samples of a histogram."""
        for bound in SHOWN:
            self.add(sum(counts[:bound + 1]), {**labels, "le": _number(upper_bound(bound))}, "_bucket")
        self.add(sum(counts), {**labels, "le": "+Inf"}, "_bucket")
        self.add(seconds, labels, "_sum")
        self.add(sum(counts), labels, "_count")


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) else str(int(value))


def metrics_text(reports: Iterable[Tuple[Labels, Mapping[str, Any]]]) -> str:
    """Return the metrics of daemons as text.

    Args:
        reports: the labels of each daemon, and what its method statistics() has returned. Labels must tell daemons apart.
    """
    families = _families()
    for labels, report in reports:
        _add_calls(families, labels, report)
        _add_server(families, labels, report)
    return "".join(line + "\n" for family in families.values() if len(family.lines) > 2 for line in family.lines)


def _families() -> Dict[str, Family]:
    return {name: Family(name, kind, meaning) for name, kind, meaning in (
        ("rpc_server_call_duration_seconds", _HISTOGRAM, "Durations of calls."),
        ("rpc_server_call_errors_total", _COUNTER, "Calls that raised an exception."),
        ("pyro_server_serving", _GAUGE, "1 if the health of the daemon is SERVING."),
        ("pyro_server_start_time_seconds", _GAUGE, "When the daemon was created, in seconds since 1970."),
        ("pyro_server_connections", _GAUGE, "Connected clients."),
        ("pyro_server_workers", _GAUGE, "Threads of the pool."),
        ("pyro_server_workers_maximum", _GAUGE, "Threads that the pool may have."),
        ("pyro_server_waiting_calls", _GAUGE, "Requests that wait for a thread."),
        ("pyro_server_queue_wait_seconds", _HISTOGRAM, "How long requests have waited for a thread."),
        ("pyro_server_refusals_total", _COUNTER, "Clients and requests that were refused."),
        ("pyro_server_streams", _GAUGE, "Open item streams."),
        ("pyro_server_received_bytes_total", _COUNTER, "Bytes of received messages."),
        ("pyro_server_sent_bytes_total", _COUNTER, "Bytes of sent messages."),
    )}


def _add_calls(families: Dict[str, Family], labels: Labels, report: Mapping[str, Any]) -> None:
    for object_id, methods in report["objects"].items():
        for method, row in methods.items():
            of_method = {**labels, "rpc_system": "pyro5", "rpc_service": object_id, "rpc_method": method}
            families["rpc_server_call_duration_seconds"].add_histogram(row["buckets"], row["seconds"], of_method)
            families["rpc_server_call_errors_total"].add(row["errors"], of_method)


def _add_server(families: Dict[str, Family], labels: Labels, report: Mapping[str, Any]) -> None:
    families["pyro_server_serving"].add(report["health"] == "SERVING", labels)
    families["pyro_server_start_time_seconds"].add(float(report["since"]), labels)
    for state in "idle", "busy":
        families["pyro_server_connections"].add(report["connections"][state], {**labels, "state": state})
    workers = report["workers"]
    if workers is not None:
        families["pyro_server_workers"].add(workers["threads"] - workers["busy"], {**labels, "state": "idle"})
        families["pyro_server_workers"].add(workers["busy"], {**labels, "state": "busy"})
        families["pyro_server_workers_maximum"].add(workers["maximum"], labels)
        families["pyro_server_waiting_calls"].add(workers["waiting_calls"], labels)
    waits = report["queue_wait"]
    families["pyro_server_queue_wait_seconds"].add_histogram(waits["buckets"], waits["seconds"], labels)
    for reason, number in sorted(report["refusals"].items()):
        families["pyro_server_refusals_total"].add(number, {**labels, "reason": reason})
    families["pyro_server_streams"].add(report["streams"], labels)
    families["pyro_server_received_bytes_total"].add(report["bytes"]["received"], labels)
    families["pyro_server_sent_bytes_total"].add(report["bytes"]["sent"], labels)
