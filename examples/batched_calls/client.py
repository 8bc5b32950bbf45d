"""Draws the same squares three times: call by call, in one batch, and in one oneway batch."""
import argparse
import time

from Pyro5.api import BatchProxy, Proxy

DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def squares(strokes):
    """Return the strokes of nested squares that share a corner."""
    for number in range(strokes):
        dx, dy = DIRECTIONS[number % 4]
        size = 1 + number // 4 % 100
        yield dx * size, dy * size


def timed(label, draw):
    began = time.perf_counter()
    end = draw()
    print("%-12s ends at %s, %.1f ms" % (label, end, 1000 * (time.perf_counter() - began)))


def one_by_one(plotter, strokes):
    for dx, dy in squares(strokes):
        end = plotter.stroke(dx, dy)
    return end


def batched(plotter, strokes, oneway=False):
    batch = BatchProxy(plotter)
    for dx, dy in squares(strokes):
        batch.stroke(dx, dy)            # nothing is sent yet
    results = batch(oneway=oneway)      # one request, one reply
    return None if oneway else list(results)[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:plotter@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--strokes", type=int, default=2000)
    options = parser.parse_args()
    with Proxy(options.uri) as plotter:
        timed("one by one", lambda: one_by_one(plotter, options.strokes))
        timed("batch", lambda: batched(plotter, options.strokes))
        timed("oneway batch", lambda: batched(plotter, options.strokes, oneway=True))
        batch = BatchProxy(plotter)
        batch.stroke(1, 0)
        batch.stroke(1000, 0)           # this call fails and ends the batch
        batch.stroke(1, 0)
        results = batch()
        print("first of three:", len(next(results)), "numbers")
        try:
            next(results)
        except ValueError as x:
            print("second of three:", x)
        print("and the third was never made:", list(results))


if __name__ == "__main__":
    main()
