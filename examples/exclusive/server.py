"""A microscope that several people share."""
import argparse

from Pyro5.api import Daemon, expose


@expose
class Microscope:
    def __init__(self):
        self._position = (0, 0)

    def move(self, x, y):
        self._position = (x, y)

    def picture(self):
        return "cells at %d, %d" % self._position


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Microscope(), "microscope"), flush=True)
        daemon.requestLoop()
        print("The lamp is off.")


if __name__ == "__main__":
    main()
