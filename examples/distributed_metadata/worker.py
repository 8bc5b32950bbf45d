"""Estimates volumes with random points; registered in the name server with a tag."""
import argparse
import os
import random

from Pyro5.api import Daemon, expose, locate_ns

TAG = "example:raindrops"


@expose
class Worker:
    def drops(self, seed, count, dimensions):
        """Count how many random points of a cube are in the ball inside it."""
        source = random.Random(seed)
        return sum(1 for _ in range(count) if sum(source.uniform(-1, 1) ** 2 for _ in range(dimensions)) <= 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="worker-%d" % os.getpid())
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    name = "example.raindrops." + options.name
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        uri = daemon.register(Worker())
        names.register(name, uri, metadata={TAG})
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        names.remove(name)
        print("No more rain.")


if __name__ == "__main__":
    main()
