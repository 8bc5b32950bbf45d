"""Starts exposures that are too long: one is cancelled, one has a deadline."""
import argparse
import concurrent.futures

from Pyro5.api import Proxy
from Pyro5.errors import TimeoutError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:telescope@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with Proxy(options.uri) as telescope:
        print("a short one:", telescope.expose_plate(0.1))
        future = telescope.expose_plate.future(options.seconds)     # in the background
        try:
            future.result(timeout=0.2)
        except concurrent.futures.TimeoutError:
            print("clouds are coming, cancelled:", future.cancel())
        try:
            telescope.expose_plate.options(timeout=0.2)(options.seconds)
        except TimeoutError:
            print("the deadline has passed")
        print("the next one:", telescope.expose_plate(0.1))


if __name__ == "__main__":
    main()
