"""Calls the elevator with a timeout."""
import argparse
import time

import Pyro5.errors
from Pyro5.api import Proxy, config


def ride(elevator, floor):
    began = time.perf_counter()
    try:
        print("at floor %d" % elevator.go_to(floor), end="")
    except Pyro5.errors.TimeoutError:       # not Python's own TimeoutError
        print("no patience for floor %d" % floor, end="")
    print(", after %.1f s" % (time.perf_counter() - began))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:elevator@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--patience", type=float, default=1.0, help="seconds")
    parser.add_argument("--floors", type=int, nargs="+", default=[3, 90, 93])
    options = parser.parse_args()
    config.COMMTIMEOUT = options.patience       # for all proxies created from now on
    with Proxy(options.uri) as elevator:
        for floor in options.floors:
            ride(elevator, floor)
        elevator._pyroTimeout = None            # for this proxy: no timeout
        ride(elevator, options.floors[0])
    # the timeout applies to connecting, too: 192.0.2.1 is an address that is not used
    with Proxy("PYRO:elevator@192.0.2.1:9200") as nowhere:
        nowhere._pyroTimeout = options.patience
        try:
            nowhere.go_to(1)
        except Pyro5.errors.CommunicationError as x:
            print("an elevator that does not exist:", type(x).__name__)


if __name__ == "__main__":
    main()
