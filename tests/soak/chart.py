"""Draws the samples of a soak as lines, a panel for each quantity: SVG, for light and dark backgrounds."""
from __future__ import annotations

import math
import textwrap
from typing import Any, Dict, Iterator, List, Tuple

from ..bench.chart import MARGIN, STYLE, box, text
from .figures import QUANTITIES, SERVERS, Series, all_series, total, verdict

PANEL_WIDTH, PANEL_HEIGHT, PANEL_GAP, COLUMNS = 480, 210, 40, 2
HEAD_HEIGHT, TITLE_HEIGHT, FOOT_HEIGHT = 104, 34, 26
SCALE_WIDTH, NAME_WIDTH = 40, 112
NAME_STEP = 14  # names of lines that end close to each other are this far apart
VERDICT_CHARACTERS = 130
STEPS = (1, 2, 2.5, 5, 10)

# For light and dark backgrounds.
COLOURS = (("#2868c8", "#5b9bf5"), ("#e08a1e", "#f0a94a"), ("#2f8f5b", "#58c48a"), ("#a04fb5", "#c98ada"),
           ("#c23b4b", "#ef7583"), ("#4d7f88", "#84b7c0"), ("#7a6a3a", "#b9a76a"))
LINES = "\n".join(
    "  .c%d { stroke: %s } .t%d { fill: %s } @media (prefers-color-scheme: dark) { .c%d { stroke: %s } .t%d { fill: %s } }"
    % (number, light, number, light, number, dark, number, dark) for number, (light, dark) in enumerate(COLOURS))
OWN_STYLE = """
  .curve { fill: none; stroke-width: 1.5; stroke-linejoin: round } .grid { stroke: #dfe4e9 } .scale { text-anchor: end }
  .mark { text-anchor: middle } .half { fill: #eef1f4; opacity: 0.6 }
  @media (prefers-color-scheme: dark) { .grid { stroke: #2a3540 } .half { fill: #1f2831 } }
"""


def step_of(largest: float) -> float:
    """Return a round distance of marks, so that there are two to five of them up to this."""
    size = 10.0 ** math.floor(math.log10(max(largest, 1e-6) / 2))
    return next(size * step for step in STEPS if size * step * 5 >= largest)


def corners(one: Series) -> Iterator[Tuple[float, float]]:
    """Return the samples that a line needs: not those in the middle of a level piece."""
    last = len(one.values) - 1
    for index, sample in enumerate(zip(one.times, one.values)):
        if index in (0, last) or not one.values[index - 1] == sample[1] == one.values[index + 1]:
            yield sample


class Panel:
    """The lines of a quantity."""

    def __init__(self, title: str, group: List[Series], x: float, y: float) -> None:
        self._title = title
        self._group = group
        self._x, self._y = x, y
        self._left, self._right = x + SCALE_WIDTH, x + PANEL_WIDTH - NAME_WIDTH
        self._bottom = y + PANEL_HEIGHT - FOOT_HEIGHT
        self._top = y + TITLE_HEIGHT
        self._seconds = max(one.times[-1] for one in group)
        self._marks = self._choose_marks([value for one in group for value in one.values])

    def _choose_marks(self, values: List[float]) -> List[float]:
        """Return the values that get a line across, the edges of the panel among them."""
        step = step_of(max(values))
        return [number * step for number in range(max(1, math.ceil(max(values) / step)) + 1)]

    def _height(self, value: float) -> float:
        """Return where a value is: 0 is the bottom of the panel, 1 is its top."""
        return value / self._marks[-1]

    def _at(self, seconds: float, value: float) -> str:
        return "%.1f,%.1f" % (self._across(seconds), self._up(value))

    def _across(self, seconds: float) -> float:
        return self._left + (self._right - self._left) * seconds / self._seconds

    def _up(self, value: float) -> float:
        return self._bottom - (self._bottom - self._top) * self._height(value)

    def draw(self) -> Iterator[str]:
        yield text(self._x, self._y + 14, self._title, "title")
        yield box(self._across(self._seconds / 2), self._top, self._across(self._seconds / 2) - self._left,
                  self._bottom - self._top, "half")
        yield from self._scales()
        yield from self._lines()

    def _scales(self) -> Iterator[str]:
        for mark in self._marks:
            y = self._up(mark)
            yield '<line x1="%g" y1="%.1f" x2="%g" y2="%.1f" class="grid"/>' % (self._left, y, self._right, y)
            yield text(self._left - 6, round(y + 4, 1), "%g" % mark, "scale soft")
        minutes = self._seconds / 60
        step = step_of(minutes)
        for number in range(int(minutes / step + 1e-6) + 1):
            yield text(round(self._across(number * step * 60), 1), self._bottom + 17, "%g" % (number * step), "mark soft")
        yield text(self._right + NAME_WIDTH / 2, self._bottom + 17, "minutes", "mark soft")

    def _lines(self) -> Iterator[str]:
        ends = []
        for number, one in enumerate(self._group):
            yield '<polyline points="%s" class="curve c%d"><title>%s</title></polyline>' % (
                " ".join(self._at(*sample) for sample in corners(one)), number, one.title)
            ends.append((self._up(one.values[-1]), number, one))
        y = self._top - NAME_STEP
        shift = max(0.0, self._top + NAME_STEP * (len(ends) - 1) - self._bottom)
        for up, number, one in sorted(ends, key=lambda end: end[0]):
            y = max(y + NAME_STEP, min(up, self._bottom - NAME_STEP * (len(ends) - 1) + shift))
            yield text(self._right + 8, round(y + 4, 1), "%s %.3g" % (one.process.replace(" client", ""), one.values[-1]),
                       "t%d" % number)


class TimesPanel(Panel):
    """For times, which differ by powers of ten: these are its marks, at equal distances."""

    def _choose_marks(self, values: List[float]) -> List[float]:
        lowest, highest = (math.log10(max(value, 1e-3)) for value in (min(values), max(values)))
        first = math.floor(lowest)
        return [10.0 ** power for power in range(first, max(first + 1, math.ceil(highest)) + 1)]

    def _height(self, value: float) -> float:
        first, last = math.log10(self._marks[0]), math.log10(self._marks[-1])
        return (math.log10(max(value, self._marks[0])) - first) / (last - first)


def panels(series: List[Series]) -> Iterator[Any]:
    """Return the kinds, titles and lines of the panels."""
    for quantity, about in QUANTITIES.items():
        for whose, wanted in (("servers", True), ("clients", False)):
            group = [one for one in series if one.quantity == quantity and (one.process in SERVERS) == wanted]
            if group:
                unit = ", " + about.unit if about.unit else ""
                if quantity in ("p50", "p99"):
                    yield TimesPanel, about.title + unit, group
                else:
                    yield Panel, "%s%s: %s" % (about.title, unit, whose), group


def draw(result: Dict[str, Any]) -> str:
    """Return the chart as the text of an SVG file."""
    drawn: List[str] = []
    y = float(HEAD_HEIGHT)
    shown = list(panels(list(all_series(result))))
    for number, (panel, title, group) in enumerate(shown):
        column = number % COLUMNS
        y = HEAD_HEIGHT + (PANEL_HEIGHT + PANEL_GAP) * (number // COLUMNS)
        drawn += panel(title, group, MARGIN + column * (PANEL_WIDTH + PANEL_GAP), y).draw()
    width, height = 2 * MARGIN + COLUMNS * PANEL_WIDTH + (COLUMNS - 1) * PANEL_GAP, y + PANEL_HEIGHT + 10
    done = total(result)["done"]
    about = "%s, %s, %d cores; %s" % (result["date"], result["python"], result["cores"], ", ".join(
        "%s: %d steps" % (where, done.get(where, 0)) for where in SERVERS))
    judged = "over the second half (shaded), " + textwrap.shorten(verdict(result), VERDICT_CHARACTERS)
    head = [text(MARGIN, 40, "Pyro5 %s: %g minutes of mixed clients" % (result["pyro"], result["minutes"]), "big"),
            text(MARGIN, 62, about, "soft"), text(MARGIN, 82, judged, "soft")]
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}" role="img">'.format(
            width, height),
        "<title>Soak</title>", "<style>%s%s%s\n</style>" % (STYLE, OWN_STYLE, LINES), box(0, 0, width, height, "paper"),
        *head, *drawn, "</svg>", ""])
