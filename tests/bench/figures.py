"""What the measurements say: medians, and ratios to what was measured right beside.

A ratio is the median of the ratios of the single rounds, not the ratio of two medians: what slowed the machine down in one
round did so on both sides of the ratio.
"""
from __future__ import annotations

import statistics
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .works import ALL_WORKS, BARE_SOCKET, Work

THIS, OTHER = "this", "other"
# What idle connections and the start are to reach.
IDLE_BYTES_EACH = 6000
IDLE_SHARE = 0.9
START_SECONDS = 0.060


class Figure(NamedTuple):
    """What is known about a work with one server type and serializer."""

    work: Work
    server: str
    serializer: str
    error: str
    per_second: float
    of_floor: float
    of_beside: Optional[float]
    target: Optional[float]
    beside_target: Optional[float]
    other_per_second: Optional[float]
    times_other: Optional[float]
    other_error: str = ""
    of_limit: Optional[float] = None
    limit_per_second: Optional[float] = None
    client_us: Optional[float] = None
    server_us: Optional[float] = None

    @property
    def of_target(self) -> Optional[float]:
        """How much of its targets it reaches, of the one that is furthest away; None if there is none."""
        pairs = ((self.of_floor, self.target), (self.of_beside, self.beside_target))
        known = [share / target for share, target in pairs if share is not None and target is not None]
        return min(known) if known and not self.error else None


class Idle(NamedTuple):
    """What idle connections cost."""

    server: str
    side: str
    error: str
    asked: int
    held: int
    why: str
    bytes_each: float
    share: float

    @property
    def reached(self) -> bool:
        return self.held >= self.asked and self.bytes_each < IDLE_BYTES_EACH and self.share >= IDLE_SHARE


class Start(NamedTuple):
    """How long starting takes, in seconds: the tool, a bare Python, what the tool takes longer, and importing Pyro5.api.

    Last, where known: what the tool takes longer than a Python that imports nothing, and the ratio of importing Pyro5.api to
    importing the modules of others that it loads.
    """

    side: str
    ping: float
    bare: float
    longer: float
    importing: float
    heavy: Sequence[str]
    above_plain: Optional[float] = None
    of_needed: Optional[float] = None

    @property
    def reached(self) -> bool:
        return self.longer < START_SECONDS and not self.heavy


def median(numbers: Sequence[float]) -> float:
    return statistics.median(numbers) if numbers else 0.0


def median_ratio(numbers: Sequence[float], beside: Sequence[float]) -> Optional[float]:
    """Return the median of the ratios in each round; None if there was nothing beside."""
    ratios = [number / other for number, other in zip(numbers, beside) if other]
    return statistics.median(ratios) if ratios else None


def figures(result: Dict[str, Any]) -> Iterator[Figure]:
    """Return a figure for each work, server type and serializer that was measured."""
    works = {work.name: work for work in ALL_WORKS}
    others = {(m["work"], m["server"], m["serializer"]): m for m in result["measurements"] if m["side"] == OTHER}
    for one in result["measurements"]:
        if one["side"] == THIS and one["work"] in works:
            yield figure(works[one["work"]], one, others.get((one["work"], one["server"], one["serializer"])))


def figure(work: Work, one: Dict[str, Any], other: Optional[Dict[str, Any]]) -> Figure:
    has_targets = one["server"] in work.target_servers
    has_other = other is not None and bool(other["rates"])
    return Figure(
        work, one["server"], one["serializer"], one["error"], median(one["rates"]),
        median_ratio(one["rates"], one["floors"]) or 0.0, median_ratio(one["rates"], one["besides"]),
        work.share.get(one["serializer"]) if has_targets else None,
        work.beside_share.get(one["serializer"]) if has_targets else None,
        median(other["rates"]) if other and has_other else None,
        median_ratio(one["rates"], other["rates"]) if other and has_other else None,
        other["error"] if other else "",
        *limit_of(work, one), median_or_none(one.get("client_us")), median_or_none(one.get("server_us")))


def limit_of(work: Work, one: Dict[str, Any]) -> Tuple[Optional[float], Optional[float]]:
    """Return the share of the limit of the row, and the limit: the least program, or the bare socket beside the row."""
    limits = one.get("limits") or (one["besides"] if work.beside == BARE_SOCKET else [])
    return median_ratio(one["rates"], limits), median_or_none(limits)


def median_or_none(numbers: Optional[Sequence[float]]) -> Optional[float]:
    return statistics.median(numbers) if numbers else None


class PeerFigure(NamedTuple):
    """What is known about another library with a row."""

    work: Work
    peer: str
    error: str
    per_second: float
    client_us: float
    server_us: float


def peer_figures(result: Dict[str, Any]) -> List[PeerFigure]:
    works = {work.name: work for work in ALL_WORKS}
    return [PeerFigure(works[one["work"]], one["peer"], one["error"], *[
        median([sample[name] for sample in one["samples"]]) for name in ("rate", "client_us", "server_us")])
        for one in result.get("peers", []) if one["work"] in works]


def idle_figures(result: Dict[str, Any]) -> List[Idle]:
    return [Idle(one["server"], one["side"], one["error"], one.get("asked", 0), one.get("held", 0), one.get("why", ""),
                 one.get("bytes_each", 0.0), median_ratio(one.get("beside", []), one.get("alone", [])) or 0.0)
            for one in result["idle"]]


def start_figures(result: Dict[str, Any]) -> List[Start]:
    return [Start(one["side"], median(one["ping"]), median(one["bare"]),
                  median([ping - bare for ping, bare in zip(one["ping"], one["bare"])]), median(one["import"]), one["heavy"],
                  median_or_none([ping - plain for ping, plain in zip(one["ping"], one.get("plain", []))]),
                  median_ratio(one["import"], one.get("needed", [])))
            for one in result["start_up"]]


def spaced(number: float) -> str:
    """Write a number with three or more digits that mean something, and its thousands apart."""
    return "{:,.{}f}".format(number, 0 if number >= 100 else 1).replace(",", " ")


def share_text(share: float) -> str:
    return "%.2f" % share if share >= 0.1 else "%.2g" % share


def about_sides(result: Dict[str, Any]) -> List[str]:
    """Say what was measured, in a line for each side."""
    return ["%s: Pyro5 %s, %s" % (name, side["pyro"], side["python"]) for name, side in result["sides"].items()]


def about_run(result: Dict[str, Any]) -> str:
    """Say on what, and when, in one line."""
    placed = {"apart": "clients and servers on processors apart", "together": "clients and servers on one processor"}
    return "%d cores, %s, loopback TCP, %s, %s" % (
        result["machine"]["cores"], result["sides"][THIS]["python"],
        placed.get(result["placement"], "anywhere on the processors"), result["date"])
