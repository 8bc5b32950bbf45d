"""Tells the result to people: a table on the terminal, and the tables in docs/performance.md."""
from __future__ import annotations

import itertools
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .figures import THIS, Figure, about_run, about_sides, figures, idle_figures, median, share_text, spaced, start_figures

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
MARKS = {True: "reached", False: "not reached"}
COLUMNS = "  %-10s %-10s %11s %9s %9s"
OTHER_COLUMNS = " %11s %9s"


def optional(layout: str, number: Optional[float]) -> str:
    return "" if number is None else layout % number


def table(result: Dict[str, Any]) -> str:
    """Give the result as text for a terminal."""
    lines = [about_run(result), *about_sides(result),
             "bare socket echo %s/s, framed floor %s/s" % (spaced(median(result["bare"])), spaced(median(result["framed"]))),
             ""]
    has_other = "other" in result["sides"]
    heads = COLUMNS % ("server", "serializer", "per second", "of floor", "of target") + (
        OTHER_COLUMNS % ("other", "of other") if has_other else "")
    lines += [heads.rstrip(), ""]
    for _, group in itertools.groupby(figures(result), lambda one: one.work.name):
        lines += [*work_lines(list(group)), ""]
    return "\n".join([*lines, *footprint_lines(result)]).rstrip() + "\n"


def work_lines(group: List[Figure]) -> Iterator[str]:
    work = group[0].work
    yield "%s (%s per second)" % (work.title, work.unit)
    for one in group:
        if one.error:
            yield "  %-10s %-10s %s" % (one.server, one.serializer, one.error)
            continue
        line = COLUMNS % (one.server, one.serializer, spaced(one.per_second), share_text(one.of_floor),
                          optional("%.2f", one.of_target))
        if one.other_per_second is not None and one.times_other is not None:
            line += OTHER_COLUMNS % (spaced(one.other_per_second), "%.2f" % one.times_other)
        if one.of_beside is not None:
            line += "   %.2f of %s" % (one.of_beside, work.beside) + optional(
                ", target %.2f", one.beside_target)
        yield line.rstrip()


def footprint_lines(result: Dict[str, Any]) -> Iterator[str]:
    """Tell what idle connections and starting take."""
    for idle in idle_figures(result):
        yield "idle connections, %s, %s" % (idle.server, idle.side)
        if idle.error:
            yield "  " + idle.error
            continue
        yield "  %d of %d connected%s; %s bytes each; calls beside them %.2f of an empty server  %s" % (
            idle.held, idle.asked, idle.why and " (%s)" % idle.why, spaced(idle.bytes_each), idle.share, MARKS[idle.reached])
    for start in start_figures(result):
        yield "start-up, %s" % start.side
        yield "  nsc ping %.0f ms, bare python %.0f ms, difference %.0f ms  %s" % (
            start.ping * 1e3, start.bare * 1e3, start.longer * 1e3, MARKS[start.reached])
        yield "  import of Pyro5.api %.0f ms, large modules that it loads: %s" % (
            start.importing * 1e3, ", ".join(start.heavy) or "none")


def cell(one: Figure) -> str:
    if one.error:
        return "failed"
    return "%s (%s)" % (spaced(one.per_second), share_text(one.of_floor))


def markdown(result: Dict[str, Any]) -> str:
    """Give the result as tables for the documentation."""
    lines = ["Measured with %s: Pyro5 %s; %d rounds. Bare socket echo %s per second, framed floor %s per second." % (
        about_run(result), result["sides"][THIS]["pyro"], result["rounds"], spaced(median(result["bare"])),
        spaced(median(result["framed"])))]
    found = list(figures(result))
    for server in dict.fromkeys(one.server for one in found):
        lines += ["", "Server type `%s`:" % server, "", *server_table([one for one in found if one.server == server])]
    lines += ["", *footprint_table(result)]
    return "\n".join(lines).rstrip() + "\n"


def server_table(found: List[Figure]) -> Iterator[str]:
    serializers = list(dict.fromkeys(one.serializer for one in found))
    cells: Dict[Tuple[str, str], str] = {(one.work.name, one.serializer): cell(one) for one in found}
    yield "| per second | %s |" % " | ".join(serializers)
    yield "| --- |" + " ---: |" * len(serializers)
    for work in dict.fromkeys((one.work.name, one.work.title, one.work.unit) for one in found):
        name, title, unit = work
        row = [cells.get((name, serializer), "") for serializer in serializers]
        yield "| %s, %s | %s |" % (title, unit, " | ".join(row)) if unit not in title else "| %s | %s |" % (
            title, " | ".join(row))


def footprint_table(result: Dict[str, Any]) -> Iterator[str]:
    rows = [("%d idle connections, `%s`" % (idle.held, idle.server),
             "%s bytes of the server's memory each; calls beside them at %.2f of an empty server" % (
                 spaced(idle.bytes_each), idle.share))
            for idle in idle_figures(result) if idle.side == THIS and not idle.error]
    for start in start_figures(result):
        if start.side == THIS:
            rows.append(("`python -m Pyro5.nsc ping`", "%.0f ms; %.0f ms more than `python -c \"import socket, ssl\"`" % (
                start.ping * 1e3, start.longer * 1e3)))
            rows.append(("`import Pyro5.api`", "%.0f ms" % (start.importing * 1e3)))
    if rows:
        yield "| what | takes |"
        yield "| --- | --- |"
    for what, takes in rows:
        yield "| %s | %s |" % (what, takes)


def rewrite(text: str, result: Dict[str, Any]) -> str:
    """Give the text of a document with its figures replaced by those of the result.

    Raises:
        ValueError: there are no marks in it that say where they stand.
    """
    if BEGIN not in text or END not in text:
        raise ValueError("there is no %s with a %s after it" % (BEGIN, END))
    figures_now = "%s\n%s%s" % (BEGIN, markdown(result), END)
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: figures_now, text, flags=re.DOTALL)
