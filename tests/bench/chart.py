"""Draws the result as bars, a panel for each work: SVG, for light and dark backgrounds."""
from __future__ import annotations

import itertools
from html import escape
from typing import Any, Dict, Iterator, List

from .figures import OTHER, THIS, Figure, about_run, figures, median, spaced

COLUMNS = 3
MARGIN, HEAD_HEIGHT = 28, 112
PANEL_WIDTH, PANEL_GAP = 330, 34
TITLE_HEIGHT = 30
NAME_WIDTH, VALUE_WIDTH = 64, 62
BAR_WIDTH = PANEL_WIDTH - NAME_WIDTH - VALUE_WIDTH
BAR_HEIGHT, BAR_STEP, GROUP_GAP = 9, 12, 8
ARROW_GAP = 7
# A target that is further away than so many times the longest bar is an arrow at the edge.
FAR = 2.0

STYLE = """
  .paper { fill: #ffffff } text { font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2933 }
  .big { font-size: 20px; font-weight: 600 } .title { font-size: 13px; font-weight: 600 }
  .soft { fill: #5c6873 } .value { font-size: 10.5px; font-variant-numeric: tabular-nums; text-anchor: end }
  .name { text-anchor: end } .track { fill: #eef1f4 } .thread { fill: #2868c8 } .multiplex { fill: #e08a1e }
  .target { stroke: #1f2933; stroke-width: 2 } .arrow { fill: #1f2933 }
  .floor { stroke: #8794a0; stroke-width: 1.5; stroke-dasharray: 3 3 }
  .other { fill: #ffffff; stroke: #1f2933; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #12171d } text { fill: #e4e9ee } .soft { fill: #9aa7b3 } .track { fill: #1f2831 }
    .thread { fill: #5b9bf5 } .multiplex { fill: #f0a94a } .target { stroke: #f4f7fa } .arrow { fill: #f4f7fa }
    .floor { stroke: #7a8894 } .other { fill: #12171d; stroke: #f4f7fa }
  }"""


def text(x: float, y: float, words: str, style: str = "") -> str:
    return '<text x="%g" y="%g"%s>%s</text>' % (x, y, style and ' class="%s"' % style, escape(words))


def box(x: float, y: float, width: float, height: float, style: str) -> str:
    return '<rect x="%g" y="%g" width="%.1f" height="%g" rx="1.5" class="%s"/>' % (x, y, max(width, 1), height, style)


def line(x: float, top: float, bottom: float, style: str) -> str:
    return '<line x1="%.1f" y1="%g" x2="%.1f" y2="%g" class="%s"/>' % (x, top, x, bottom, style)


def arrow(x: float, y: float) -> str:
    return '<path d="M%g %g l6 4.5 l-6 4.5 z" class="arrow"/>' % (x, y)


def diamond(x: float, y: float) -> str:
    return '<path d="M%.1f %g l4.5 4.5 l-4.5 4.5 l-4.5 -4.5 z" class="other"/>' % (x, y)


class Panel:
    """The bars of a work. All lengths in it are in proportion to things per second."""

    def __init__(self, group: List[Figure], floor: float, x: float, y: float) -> None:
        self._group = group
        self._floor = floor
        self._x, self._y = x, y
        self._left = x + NAME_WIDTH
        longest = max([one.per_second for one in group] + [one.other_per_second or 0 for one in group] + [1e-9])
        targets = [self._target(one) for one in group if one.target is not None]
        self._full = max([longest] + [target for target in targets if target <= FAR * longest])
        if longest < floor < FAR * longest:
            self._full = max(self._full, floor)

    def _target(self, one: Figure) -> float:
        return (one.target or 0.0) * self._floor

    def _at(self, per_second: float) -> float:
        return self._left + BAR_WIDTH * per_second / self._full

    def draw(self) -> Iterator[str]:
        work = self._group[0].work
        yield text(self._x, self._y + 12, work.title, "title")
        if work.unit != "calls":
            yield text(self._x + PANEL_WIDTH, self._y + 12, work.unit + " per second", "value soft")
        y = self._y + TITLE_HEIGHT
        serializers = dict.fromkeys(one.serializer for one in self._group)
        for serializer in serializers:
            bars = [one for one in self._group if one.serializer == serializer]
            yield text(self._left - 8, y + BAR_STEP * len(bars) / 2 + 3.5, serializer, "name")
            for one in bars:
                yield from self._bar(one, y)
                y += BAR_STEP
            y += GROUP_GAP
        if self._floor <= self._full:
            yield line(self._at(self._floor), self._y + TITLE_HEIGHT - 3, y - GROUP_GAP, "floor")

    def _bar(self, one: Figure, y: float) -> Iterator[str]:
        yield "<g><title>%s</title>" % escape("%s, %s, %s: %s %s per second, %.2f of the framed floor" % (
            one.work.title, one.serializer, one.server, spaced(one.per_second), one.work.unit, one.of_floor))
        yield box(self._left, y, BAR_WIDTH, BAR_HEIGHT, "track")
        if not one.error:
            yield box(self._left, y, BAR_WIDTH * one.per_second / self._full, BAR_HEIGHT, one.server)
        yield text(self._x + PANEL_WIDTH, y + 8.5, "failed" if one.error else spaced(one.per_second), "value")
        if one.target is not None and self._target(one) <= self._full:
            yield line(self._at(self._target(one)), y - 1.5, y + BAR_HEIGHT + 1.5, "target")
        elif one.target is not None:
            yield arrow(self._left + BAR_WIDTH + ARROW_GAP, y)
        if one.other_per_second is not None:
            yield diamond(self._at(one.other_per_second), y)
        yield "</g>"


def legend(result: Dict[str, Any], servers: List[str], y: float) -> Iterator[str]:
    """Say what the colours and signs mean."""
    signs = [(box(0, y - 9, 14, 10, server), "%s server" % server, 112) for server in servers]
    signs.append((line(5, y - 11, y + 2, "target"), "to be reached", 98))
    signs.append((arrow(4, y - 9), "beyond the edge", 122))
    signs.append((line(5, y - 11, y + 2, "floor"), "framed floor, bare sockets: %s per second" % (
        spaced(median(result["framed"]))), 320))
    if OTHER in result["sides"]:
        other = result["sides"][OTHER]
        signs.append((diamond(6, y - 9), "Pyro5 %s, %s" % (other["pyro"], other["python"]), 200))
    x = float(MARGIN)
    for sign, words, width in signs:
        yield '<g transform="translate(%g 0)">%s%s</g>' % (x, sign, text(20, y, words))
        x += width + 18


def panel_height(group: List[Figure]) -> float:
    serializers = len({one.serializer for one in group})
    return TITLE_HEIGHT + len(group) * BAR_STEP + serializers * GROUP_GAP


def draw(result: Dict[str, Any]) -> str:
    """Return the chart as the text of an SVG file."""
    groups = [list(group) for _, group in itertools.groupby(figures(result), lambda one: one.work.name)]
    floor = median(result["framed"])
    parts: List[str] = []
    y = float(HEAD_HEIGHT)
    for start in range(0, len(groups), COLUMNS):
        row = groups[start:start + COLUMNS]
        for column, group in enumerate(row):
            parts += Panel(group, floor, MARGIN + column * (PANEL_WIDTH + PANEL_GAP), y).draw()
        y += max(panel_height(group) for group in row) + 18
    servers = list(dict.fromkeys(one["server"] for one in result["measurements"]))
    width = 2 * MARGIN + COLUMNS * PANEL_WIDTH + (COLUMNS - 1) * PANEL_GAP
    head = [text(MARGIN, 40, "Pyro5 %s: calls per second" % result["sides"][THIS]["pyro"], "big"),
            text(MARGIN, 62, about_run(result), "soft"), *legend(result, servers, 90)]
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}" role="img">'.format(
            width, y),
        "<title>Calls per second</title>", "<style>%s\n</style>" % STYLE, box(0, 0, width, y, "paper"), *head, *parts,
        "</svg>", ""])
