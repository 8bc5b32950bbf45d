"""Calls a lift. Type checkers know its members, and editors complete them."""
from __future__ import annotations

import argparse

from lift import Lift, LiftProxy

from Pyro5.api import Proxy


def inspect(lift: Lift) -> None:
    for number, entry in enumerate(lift.logbook(), start=1):
        print("%d. %s" % (number, entry))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:lift@localhost:9200")
    parser.add_argument("--floors", nargs="+", type=int, default=[3, 1])
    options = parser.parse_args()
    with Proxy[LiftProxy](options.uri) as lift:
        lift._pyroTimeout = 10.0
        print("The cabin is at floor %d." % lift.floor)
        print("It came %d floors." % lift.call(5))
        for announcement in lift.ride(*options.floors):
            print(announcement.capitalize())
        inspect(lift)
        # With these lines mypy reports an error each; without it, they fail when they run.
        #     lift.cal(5)               "LiftProxy" has no attribute "cal"; maybe "call"?
        #     lift.call("fifth")        Argument 1 to "call" of "Lift" has incompatible type "str"; expected "int"
        #     lift.floor = 2            Property "floor" defined in "Lift" is read-only


if __name__ == "__main__":
    main()
