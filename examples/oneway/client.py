"""Turns the lamp: first with a normal call, then with oneway calls."""
import argparse
import time

from Pyro5.api import Proxy


def timed(what, call):
    began = time.perf_counter()
    result = call()
    print("%s: %r after %.2f s" % (what, result, time.perf_counter() - began))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:lighthouse@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with Proxy(options.uri) as lighthouse:
        timed("a normal call", lighthouse.turn)
        for _ in range(options.turns):
            timed("a oneway call", lighthouse.turn_some_time)
        # a normal call returns the progress of the others
        timed("until all turns are done", lambda: lighthouse.wait_for_turns(options.turns + 1))


if __name__ == "__main__":
    main()
