"""Breaks springs, catches the server's exceptions, and shows where they were raised."""
import argparse
import sys

import Pyro5.errors
from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:rig@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--crash", action="store_true", help="in the end, do not catch an exception")
    options = parser.parse_args()
    with Proxy(options.uri) as rig:
        print("10 N:", rig.stretch(10), "m")
        try:
            rig.stretch(-1)
        except ValueError as x:                     # Python's exceptions keep their class
            print("-1 N:", x)
        try:
            rig.stretch(1000)
        except Pyro5.errors.PyroError as x:         # a class that this program does not know
            print("1000 N: %s with arguments %r" % (x.remote_class, x.remote_args))
        try:
            rig.stretch(700)
        except ZeroDivisionError:
            print("700 N:")
            print("".join(Pyro5.errors.get_pyro_traceback()))
        if options.crash:
            sys.excepthook = Pyro5.errors.excepthook    # prints the server's part of every uncaught exception
            rig.stretch(700)


if __name__ == "__main__":
    main()
