"""Measures the threads of one server on a free-threaded Python, with its lock switched off and on, and on this Python."""
from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Dict, Iterator, List, Sequence

from .figures import median
from .scaling import Group

WITHOUT, WITH, THIS = "without the lock", "with the lock", "this Python"
COMPUTING, CALCULATING, NOTHING = "computes for %g ms", "runs %d steps of Python code", "does nothing"


def groups(at_end: contextlib.ExitStack, python: str, clients: int, work: float, steps: int) -> Dict[str, Dict[str, Group]]:
    """Return what is compared: work -> where the server runs -> server and clients."""
    places = {WITHOUT: (python, {"PYTHON_GIL": "0"}), WITH: (python, {"PYTHON_GIL": "1"}), THIS: (sys.executable, {})}
    orders = {COMPUTING % work: ("call", repr(work / 1000)), CALCULATING % steps: ("calculate", str(steps)),
              NOTHING: ("call", "0")}

    def group(role: str, amount: str, where: str) -> Group:
        server_python, environment = places[where]
        return Group(at_end, ["serve", "1"], lambda uri, number: [role, uri, amount], clients, server_python, environment)

    return {title: {where: group(*order, where) for where in places} for title, order in orders.items()}


def main(arguments: Sequence[str]) -> None:
    """Measure, as the options say."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench threads", description=__doc__)
    parser.add_argument("python", help="a free-threaded Python that has the serpent library, such as .venvs/3.13t/bin/python "
                                       "after make test-freethreaded")
    parser.add_argument("--rounds", type=int, default=9, help="how often to measure each, by turns (9)")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long to measure each, in each round (0.5)")
    parser.add_argument("--clients", type=int, default=4, help="client processes (4)")
    parser.add_argument("--work", type=float, default=1.0, metavar="MS", help="processor time of the first method (1 ms)")
    parser.add_argument("--steps", type=int, default=5000, help="steps of the second method (5000)")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as at_end:
        found = groups(at_end, options.python, options.clients, options.work, options.steps)
        for _ in range(options.rounds):
            for by_place in found.values():
                for group in by_place.values():
                    group.run(options.seconds)
        for line in table({title: {place: group.rates for place, group in by_place.items()}
                           for title, by_place in found.items()}, options.clients):
            print(line)


def table(rates: Dict[str, Dict[str, List[float]]], clients: int) -> Iterator[str]:
    """Return the lines of the result. Ratios are medians of the ratios of each round."""
    layout = "%-45s %17s %15s %12s %7s %7s"
    yield layout % ("calls per second of %d client processes" % clients, WITHOUT, WITH, THIS, "ratio", "ratio")
    for title, by_place in rates.items():
        free = by_place[WITHOUT]
        ratios = ["%.2f" % median([b / a for a, b in zip(by_place[place], free)]) for place in (WITH, THIS)]
        means = ["%.0f" % median(by_place[place]) for place in (WITHOUT, WITH, THIS)]
        yield layout % ("a method that " + title, *means, *ratios)
