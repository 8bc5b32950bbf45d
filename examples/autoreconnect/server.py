"""A water gauge that comes back at the same address after a restart, because its id and its port are fixed."""
import argparse
import itertools

from Pyro5.api import Daemon, expose


@expose
class Gauge:
    def __init__(self, start):
        self._levels = itertools.count(start)

    def level(self):
        return next(self._levels)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--start", type=int, default=100, help="the first level to report, in cm")
    options = parser.parse_args()
    # The id given here, and a port that stays, make up a URI that holds for every run of this program.
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Gauge(options.start), "gauge"), flush=True)
        daemon.requestLoop()
        print("The gauge is switched off.")


if __name__ == "__main__":
    main()
