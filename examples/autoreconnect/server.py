"""A water gauge that has the same URI after a restart, because its object id and its port are fixed."""
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
    # With this object id and a fixed port, the URI is the same in every run of this program.
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Gauge(options.start), "gauge"), flush=True)
        daemon.requestLoop()
        print("The gauge is switched off.")


if __name__ == "__main__":
    main()
