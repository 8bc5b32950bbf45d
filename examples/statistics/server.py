"""A kitchen whose dishes take different times, and whose oven is sometimes out of order."""
import argparse
import time

from Pyro5.api import Daemon, expose


@expose
class Kitchen:
    def __init__(self):
        self._cakes = 0

    def salad(self):
        return "salad"

    def soup(self):
        time.sleep(0.01)
        return "soup"

    def cake(self):
        self._cakes += 1
        if self._cakes % 3 == 0:
            raise RuntimeError("the oven is cold")
        return "cake"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Kitchen(), "kitchen"), flush=True)
        daemon.requestLoop()
        print("The kitchen is closed.")


if __name__ == "__main__":
    main()
