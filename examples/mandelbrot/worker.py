"""Computes rows of a picture of the Mandelbrot set."""
import argparse

from Pyro5.api import Daemon, expose, locate_ns


def escape(x, y, limit):
    """Return after how many iterations a point leaves the circle; at most the limit."""
    z, c = 0j, complex(x, y)
    for rounds in range(limit):
        z = z * z + c
        if z.real * z.real + z.imag * z.imag > 4.0:
            return rounds
    return limit


@expose
class RowMaker:
    def row(self, y, left, right, width, limit):
        """Return the grey values of a row as hexadecimal digits, which are compact with every serializer."""
        step = (right - left) / width
        return bytes(255 - 255 * escape(left + step * column, y, limit) // limit for column in range(width)).hex()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="one")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    name = "example.mandelbrot." + options.name
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        uri = daemon.register(RowMaker())
        names.register(name, uri)
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        names.remove(name)
        print("Brushes are clean.")


if __name__ == "__main__":
    main()
