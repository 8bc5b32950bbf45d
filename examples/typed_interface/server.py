"""Serves a lift. A type checker verifies that it implements the interface."""
from __future__ import annotations

import argparse
from typing import Iterator, List

from lift import Lift

from Pyro5.api import Daemon, expose

TOP = 7


@expose
class Paternoster:
    def __init__(self) -> None:
        self._floor = 0
        self._entries: List[str] = []

    @property
    def floor(self) -> int:
        return self._floor

    def call(self, floor: int) -> int:
        if not 0 <= floor <= TOP:
            raise ValueError("there is no floor %d in this house" % floor)
        distance = abs(floor - self._floor)
        self._floor = floor
        self._entries.append("called to %d" % floor)
        return distance

    def ride(self, *floors: int) -> Iterator[str]:
        for floor in floors:
            self.call(floor)
            yield "floor %d: mind the step" % floor

    def logbook(self) -> List[str]:
        return self._entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", help="address to listen on (default: the setting HOST, which is localhost)")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        lift: Lift = Paternoster()      # a type checker reports missing methods and wrong arguments here
        print("Ready:", daemon.register(lift, "lift"), flush=True)
        daemon.requestLoop()
        print("Out of service.")


if __name__ == "__main__":
    main()
