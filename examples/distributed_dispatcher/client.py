"""Submits orders for a range of numbers, and waits for the results, in the order of their arrival."""
import argparse
from collections import Counter

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:bench@localhost:9200", help="the URI that the dispatcher printed")
    parser.add_argument("--end", type=int, default=300000, help="look at all numbers below")
    parser.add_argument("--size", type=int, default=20000, help="numbers in an order")
    parser.add_argument("--wait", type=float, default=60.0, help="give up after this number of seconds without a result")
    options = parser.parse_args()
    starts = range(1, options.end, options.size)
    results, done_by = {}, Counter()
    with Proxy(options.uri) as bench:
        for number, start in enumerate(starts):
            bench.order(number, start, min(start + options.size, options.end))
        while len(results) < len(starts):
            delivered = bench.pick_up(options.wait)
            if delivered is None:
                raise SystemExit("no worker is running: start some")
            number, worker, results[number] = delivered
            done_by[worker] += 1
    best, steps = max(results.values(), key=lambda result: result[1])
    print("%d orders were done by %d workers" % (len(starts), len(done_by)))
    print("below %d, the longest way to 1 is that of %d, with %d steps" % (options.end, best, steps))


if __name__ == "__main__":
    main()
