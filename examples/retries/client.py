"""Waits for the scale, and repeats the calls that can be repeated."""
import argparse

from Pyro5.api import Retry, wait_for
from Pyro5.errors import ConnectionClosedError


def pour(scale, grams):
    try:
        print("poured, weight now:", scale.pour(grams))
    except ConnectionClosedError as x:
        print("pouring failed; was it sent?", x.sent)   # None: this is not known, so it was not repeated


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:scale@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds to wait for the server")
    options = parser.parse_args()
    with wait_for(options.uri, options.patience, retry=Retry(attempts=3)) as scale:
        print("weight:", scale.weight())    # an attempt that fails is repeated
        pour(scale, 5)
        pour(scale, 5)
        print("weight:", scale.weight())



if __name__ == "__main__":
    main()
