"""Tells the result to people: a table on the terminal, and the tables in docs/performance.md."""
from __future__ import annotations

import itertools
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .figures import (
    THIS,
    Figure,
    PeerFigure,
    about_run,
    about_sides,
    figures,
    idle_figures,
    median,
    peer_figures,
    share_text,
    spaced,
    start_figures,
)

# The comments in the document between which the figures stand, and the comparison of serializers.
MARKS = "<!-- {0}: begin -->", "<!-- {0}: end -->"
COMPARED = ("add", "record", "records", "text", "blob", "large", "batch")
WORDS = {True: "reached", False: "not reached"}
COLUMNS = "  %-10s %-10s %11s %9s %9s %9s %9s %9s"
OTHER_COLUMNS = " %11s %9s"


def optional(layout: str, number: Optional[float]) -> str:
    return "" if number is None else layout % number


def table(result: Dict[str, Any]) -> str:
    """Return the result as text for a terminal."""
    lines = [about_run(result), *about_sides(result),
             floors_line(result), ""]
    has_other = "other" in result["sides"]
    heads = COLUMNS % ("server", "serializer", "per second", "of limit", "client us", "server us", "of floor", "of target") + (
        OTHER_COLUMNS % ("other", "of other") if has_other else "")
    lines += [heads.rstrip(), ""]
    peers = peer_figures(result)
    for name, group in itertools.groupby(figures(result), lambda one: one.work.name):
        lines += [*work_lines(list(group)), *peer_lines([one for one in peers if one.work.name == name]), ""]
    return "\n".join([*lines, *footprint_lines(result)]).rstrip() + "\n"


def floors_line(result: Dict[str, Any]) -> str:
    floors = [("bare socket echo", result["bare"]), ("framed floor", result["framed"])]
    return ", ".join("%s %s per second" % (name, spaced(median(rates))) for name, rates in floors if rates)


def work_lines(group: List[Figure]) -> Iterator[str]:
    work = group[0].work
    yield "%s (%s per second)" % (work.title, work.unit)
    for one in group:
        if one.error:
            yield "  %-10s %-10s %s" % (one.server, one.serializer, one.error)
            continue
        line = COLUMNS % (one.server, one.serializer, spaced(one.per_second), optional("%.2f", one.of_limit),
                          optional("%.1f", one.client_us), optional("%.1f", one.server_us), share_text(one.of_floor),
                          optional("%.2f", one.of_target))
        if one.other_per_second is not None and one.times_other is not None:
            line += OTHER_COLUMNS % (spaced(one.other_per_second), "%.2f" % one.times_other)
        if one.of_beside is not None:
            line += "   %.2f of %s" % (one.of_beside, work.beside) + optional(
                ", target %.2f", one.beside_target)
        if one.other_error:
            line += "   the other: " + one.other_error
        yield line.rstrip()


def peer_lines(peers: List[PeerFigure]) -> Iterator[str]:
    for one in peers:
        yield "  %s" % one.error if one.error else (COLUMNS % (
            one.peer, "", spaced(one.per_second), "", "%.1f" % one.client_us, "%.1f" % one.server_us, "", "")).rstrip()


def footprint_lines(result: Dict[str, Any]) -> Iterator[str]:
    """Return what idle connections and starting take."""
    for idle in idle_figures(result):
        yield "idle connections, %s, %s" % (idle.server, idle.side)
        if idle.error:
            yield "  " + idle.error
            continue
        yield "  %d of %d connected%s; %s bytes each; calls beside them %.2f of an empty server  %s" % (
            idle.held, idle.asked, idle.why and " (%s)" % idle.why, spaced(idle.bytes_each), idle.share, WORDS[idle.reached])
    for start in start_figures(result):
        yield "start-up, %s" % start.side
        yield "  nsc ping %.0f ms, bare python %.0f ms, difference %.0f ms  %s" % (
            start.ping * 1e3, start.bare * 1e3, start.longer * 1e3, WORDS[start.reached])
        if start.above_plain is not None:
            yield "  nsc ping %.0f ms more than a python that imports nothing" % (start.above_plain * 1e3)
        yield "  import of Pyro5.api %.0f ms%s, large modules that it loads: %s" % (
            start.importing * 1e3, optional(" (%.2f of the modules of others that it needs)", start.of_needed),
            ", ".join(start.heavy) or "none")


def cell(one: Figure) -> str:
    if one.error:
        return "failed"
    return "%s (%s)" % (spaced(one.per_second), optional("%.2f", one.of_limit) or "-")


def markdown(result: Dict[str, Any]) -> str:
    """Return the result as tables for the documentation."""
    lines = ["Pyro5 %s; %s. Medians of %d rounds; %s." % (
        result["sides"][THIS]["pyro"], about_run(result), result["rounds"], floors_line(result)),
        "Calls per second, and in parentheses the share of the limit."]
    found = list(figures(result))
    for server in dict.fromkeys(one.server for one in found):
        lines += ["", "Server type `%s`:" % server, "", *server_table([one for one in found if one.server == server])]
    for table_lines in (list(processor_table(found)), list(peer_table(found, peer_figures(result))), list(beside_table(found)),
                        list(footprint_table(result))):
        lines += ["", *table_lines] if table_lines else []
    return "\n".join(lines).rstrip() + "\n"


def server_table(found: List[Figure]) -> Iterator[str]:
    serializers = list(dict.fromkeys(one.serializer for one in found))
    cells: Dict[Tuple[str, str], str] = {(one.work.name, one.serializer): cell(one) for one in found}
    yield "| per second | %s |" % " | ".join(serializers)
    yield "| --- |" + " ---: |" * len(serializers)
    for work in dict.fromkeys(one.work.name for one in found):
        yield "| %s | %s |" % (titles(found)[work], " | ".join(cells.get((work, name), "") for name in serializers))


def processor_table(found: List[Figure]) -> Iterator[str]:
    """Return the processor time of both sides, of the first server type."""
    found = [one for one in found if one.client_us is not None and one.server == found[0].server]
    serializers = list(dict.fromkeys(one.serializer for one in found))
    cells = {(one.work.name, one.serializer): "%.1f / %.1f" % (one.client_us or 0, one.server_us or 0) for one in found}
    if found:
        yield "| processor time of client / server, microseconds | %s |" % " | ".join(serializers)
        yield "| --- |" + " ---: |" * len(serializers)
    for work in dict.fromkeys(one.work.name for one in found):
        yield "| %s | %s |" % (titles(found)[work], " | ".join(cells.get((work, name), "") for name in serializers))


def peer_table(found: List[Figure], peers: List[PeerFigure]) -> Iterator[str]:
    """Compare the rows beside which other libraries were measured, with msgpack if that was measured."""
    peers = [one for one in peers if not one.error]
    serializers = [one.serializer for one in found]
    serializer = "msgpack" if "msgpack" in serializers else "".join(serializers[-1:])
    columns = list(dict.fromkeys(one.server for one in found)) + list(dict.fromkeys(one.peer for one in peers))
    cells = {(one.work.name, one.server): spaced(one.per_second) for one in found if one.serializer == serializer}
    cells.update({(one.work.name, one.peer): spaced(one.per_second) for one in peers})
    if peers:
        yield "| per second, servers with %s | %s |" % (serializer, " | ".join(columns))
        yield "| --- |" + " ---: |" * len(columns)
    for name, title in {one.work.name: one.work.title for one in peers}.items():
        yield "| %s | %s |" % (title, " | ".join(cells.get((name, column), "") for column in columns))


def beside_table(found: List[Figure]) -> Iterator[str]:
    """Return the shares of what was measured beside the works, of all server types."""
    found = [one for one in found if one.of_beside is not None]
    cells = {(one.work.name, one.server, one.serializer): "%.2f" % (one.of_beside or 0) for one in found}
    serializers = list(dict.fromkeys(one.serializer for one in found))
    if found:
        yield "| how many times as fast as what stands beside | beside | server | %s |" % " | ".join(serializers)
        yield "| --- | --- | --- |" + " ---: |" * len(serializers)
    for name, title, beside, server in dict.fromkeys(
            (one.work.name, one.work.title, one.work.beside, one.server) for one in found):
        yield "| %s | %s | `%s` | %s |" % (title, beside, server, " | ".join(
            cells.get((name, server, serializer), "") for serializer in serializers))


def titles(found: List[Figure]) -> Dict[str, str]:
    return {one.work.name: one.work.title + ("" if one.work.unit == "calls" else ", " + one.work.unit) for one in found}


def serializer_table(result: Dict[str, Any]) -> Iterator[str]:
    """Compare the serializers, of one server type: how many times as fast as the first one each of them is."""
    found = [one for one in figures(result) if not one.error]
    found = [one for one in found if one.server == found[0].server and one.work.name in COMPARED]
    serializers = list(dict.fromkeys(one.serializer for one in found))
    if len(serializers) < 2:
        return
    shares = {(one.work.name, one.serializer): one.of_floor for one in found}
    yield "| times as fast as %s | %s |" % (serializers[0], " | ".join(serializers[1:]))
    yield "| --- |" + " ---: |" * (len(serializers) - 1)
    for work, title in titles(found).items():
        first = shares.get((work, serializers[0]))
        cells = ["%.1f" % (shares[work, name] / first) if first and (work, name) in shares else "" for name in serializers[1:]]
        yield "| %s | %s |" % (title, " | ".join(cells))


def footprint_table(result: Dict[str, Any]) -> Iterator[str]:
    rows = [("%d idle connections, `%s`" % (idle.held, idle.server),
             "%s bytes of the server's memory each; calls beside them at %.2f of an empty server" % (
                 spaced(idle.bytes_each), idle.share))
            for idle in idle_figures(result) if idle.side == THIS and not idle.error]
    for start in start_figures(result):
        if start.side == THIS:
            rows.append(("`python -m Pyro5.nsc ping`", "%.0f ms; %.0f ms more than `python -c \"import socket, ssl\"`" % (
                start.ping * 1e3, start.longer * 1e3)))
            rows.append(("`import Pyro5.api`", "%.0f ms%s" % (start.importing * 1e3, optional(
                "; %.2f times as long as the modules of the standard library and serpent that it needs", start.of_needed))))
    if rows:
        yield "| what | takes |"
        yield "| --- | --- |"
    for what, takes in rows:
        yield "| %s | %s |" % (what, takes)


def rewrite(text: str, result: Dict[str, Any]) -> str:
    """Return the text of a document with its figures replaced by those of the result.

    Raises:
        ValueError: there are no marks in it that say where they stand.
    """
    for name, tables in (("figures", markdown(result)), ("serializers", "\n".join(serializer_table(result)) + "\n")):
        begin, end = (mark.format(name) for mark in MARKS)
        before, found_begin, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_begin or not found_end:
            raise ValueError("there is no %s with a %s after it" % (begin, end))
        text = "%s%s\n%s%s%s" % (before, begin, tables, end, after)
    return text
