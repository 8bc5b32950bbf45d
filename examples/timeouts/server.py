"""An elevator that is slow, and sometimes gets stuck."""
import argparse
import threading

from Pyro5.api import Daemon, expose


class Elevator:
    def __init__(self, closing):
        self._closing = closing
        self._floor = 0

    @expose
    def go_to(self, floor):
        self._closing.wait(abs(floor - self._floor) / 10.0)
        self._floor = floor
        return floor


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    closing = threading.Event()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Elevator(closing), "elevator"), flush=True)
        daemon.requestLoop()
        print("Take the stairs.")
        closing.set()           # ends the calls that are still running


if __name__ == "__main__":
    main()
