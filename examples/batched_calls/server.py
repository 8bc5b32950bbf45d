"""A pen plotter; each stroke is a small call."""
import argparse

from Pyro5.api import Daemon, expose


@expose
class Plotter:
    def __init__(self):
        self._x = self._y = self._strokes = 0

    def stroke(self, dx, dy):
        if not -500 <= self._x + dx <= 500 or not -500 <= self._y + dy <= 500:
            raise ValueError("the pen would leave the paper")
        self._x += dx
        self._y += dy
        self._strokes += 1
        return self._x, self._y

    def strokes(self):
        return self._strokes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Plotter(), "plotter"), flush=True)
        daemon.requestLoop()
        print("Pen up.")


if __name__ == "__main__":
    main()
