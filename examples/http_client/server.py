"""A greenhouse, registered under a name that the HTTP gateway exposes."""
import argparse

from Pyro5.api import Daemon, current_context, expose, locate_ns

NAME = "http.greenhouse"


@expose
class Greenhouse:
    def __init__(self):
        self._litres = {"tomatoes": 0.0, "basil": 0.0, "figs": 0.0}
        self._roof = "closed"

    @property
    def roof(self):
        return self._roof

    def beds(self):
        return self._litres

    def water(self, bed, litres):
        if litres <= 0:
            raise ValueError("water cannot be taken out of a bed")
        self._litres[bed] += litres
        return self._litres[bed]

    def move_roof(self, position):
        if type(position) is not str:
            raise TypeError("the position of the roof must be text")
        self._roof = position
        print("The roof is %s, by order %s" % (position, current_context.correlation_id), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        uri = daemon.register(Greenhouse())
        names.register(NAME, uri, metadata={"plants", "water"})
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        names.remove(NAME)
        print("Night falls.")


if __name__ == "__main__":
    main()
