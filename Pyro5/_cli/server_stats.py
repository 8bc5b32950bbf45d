"""Asking servers for their statistics, and tables of them, for the command line tools."""
from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

from .. import NamedTuple, errors
from .._client.parallel import ask_all
from .._observe.statistics import shown_id
from .._values import plain
from .._values.uri import URI
from ..client import Proxy
from ..constants import DAEMON_NAME
from . import console

READERS = 16  # servers that are asked at the same time

_TEXTS = ("location", "health")
_NUMBERS = ("pid", "since", "uptime", "streams")


def read_stats(proxy: Proxy) -> Dict[str, Any]:
    """Return the statistics of the server of an object.

    Raises:
        ProtocolError: the server has sent something else, or is of a release without statistics.
        CommunicationError, NamingError: as for any call.
    """
    try:
        found = proxy._pyroInvoke("stats", [], {}, objectId=DAEMON_NAME)
    except AttributeError as x:
        if not errors.is_remote(x):
            raise
        raise errors.ProtocolError("the server has no statistics: it is of another release") from x
    if not _is_report(found):
        raise errors.ProtocolError("the server did not send statistics, but %s" % plain.text_of(found))
    return found  # type: ignore[no-any-return]


def _is_report(found: Any) -> bool:
    # A server can send anything. Exact types: a subclass could run code of its own when it is formatted.
    return (type(found) is dict and all(type(found.get(name)) is str for name in _TEXTS)
            and all(type(found.get(name)) in (int, float) for name in _NUMBERS)
            and all(type(found.get(name)) is dict for name in ("connections", "queue_wait", "refusals", "bytes", "objects"))
            and all(_are_rows(object_id, rows) for object_id, rows in found["objects"].items()))


def _are_rows(object_id: Any, rows: Any) -> bool:
    return type(object_id) is str and type(rows) is dict and all(
        type(method) is str and type(row) is dict and type(row.get("calls")) is int and type(row.get("errors")) is int
        and all(row.get(name) is None or type(row[name]) in (int, float) for name in ("mean", "p50", "p99"))
        for method, row in rows.items())


def read_all(locations: Iterable[str], seconds: float) -> Dict[str, Any]:
    """Ask many servers at the same time.

    Args:
        seconds: that each may take.

    Returns:
        location -> statistics, or a text: why there are none.
    """
    def read(location: str) -> Dict[str, Any]:
        with Proxy("PYRO:%s@%s" % (DAEMON_NAME, location), timeout=seconds) as proxy:
            return read_stats(proxy)

    found, missing = ask_all(locations, read, 4 * seconds, READERS)
    return {**found, **missing}


def locations_of(uris: Iterable[Any]) -> List[str]:
    """Return the locations of the servers of these objects, each once."""
    found = [URI(str(uri)) for uri in uris]
    return sorted({str(uri.location) for uri in found if uri.protocol == "PYRO" and uri.location})


def names_of_generated_ids(registered: Mapping[str, Any]) -> Dict[str, str]:
    """Return object id -> name for registered objects whose ids say nothing to a reader.

    Args:
        registered: the URIs of objects by name.
    """
    found: Dict[str, str] = {}
    for name, uri in sorted(registered.items()):
        object_id = str(URI(str(uri)).object)
        if shown_id(object_id) != object_id:
            found.setdefault(object_id, name)
    return found


class Line(NamedTuple):
    """A line of a table."""

    object_id: str
    method: str
    calls: int
    rate: Optional[float]  # calls per second
    errors: int
    mean: Optional[float]
    p50: Optional[float]
    p99: Optional[float]


def lines_of(report: Mapping[str, Any], before: Optional[Mapping[str, Any]] = None) -> Iterator[Line]:
    """Yield a line for each method.

    Args:
        before: earlier statistics of the same server, from which the rate is computed; without them it is the average.
    """
    is_same = before is not None and before["since"] == report["since"] and report["uptime"] > before["uptime"]
    earlier: Mapping[str, Any] = before["objects"] if before is not None and is_same else {}
    seconds = report["uptime"] - (before["uptime"] if before is not None and is_same else 0)
    for object_id, rows in report["objects"].items():
        for method, row in rows.items():
            calls = row["calls"] - earlier.get(object_id, {}).get(method, {"calls": 0})["calls"]
            yield Line(object_id, method, row["calls"], calls / seconds if seconds > 0 else None, row["errors"],
                       row["mean"], row["p50"], row["p99"])


def duration(seconds: Optional[float]) -> str:
    """Return a short text for a duration, such as ``1.25 ms`` or ``2 h 5 min``."""
    if seconds is None:
        return "-"
    if seconds >= 60:
        minutes, hours, days = [int(seconds) // unit for unit in (60, 3600, 86400)]
        return ("%d d %d h" % (days, hours % 24) if days else
                "%d h %d min" % (hours, minutes % 60) if hours else "%d min %d s" % (minutes, seconds % 60))
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1 or unit == "us":
            return "%.3g %s" % (seconds * factor, unit)
    raise AssertionError("unreachable")


HEADING = ("OBJECT", "METHOD", "CALLS", "CALLS/S", "ERRORS", "MEAN", "P50", "P99")


def table(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of a table as text."""
    rows = [HEADING] + [(line.object_id, line.method, "%d" % line.calls,
                         "-" if line.rate is None else "%.1f" % line.rate, "%d" % line.errors, duration(line.mean),
                         duration(line.p50), duration(line.p99)) for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADING))]
    for number, row in enumerate(rows):
        texts = [text.ljust(width) if column < 2 else text.rjust(width)
                 for column, (text, width) in enumerate(zip(row, widths))]
        yield console.paint("bold", "  ".join(texts)) if number == 0 else "  ".join(texts)
