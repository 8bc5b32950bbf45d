"""Takes orders from the dispatcher, and finds the number in a range whose Collatz sequence is the longest."""
import argparse
import os

from Pyro5.api import Proxy
from Pyro5.errors import CommunicationError


def steps(number):
    """Count the steps of the Collatz sequence: halve, or triple and add one, until the number is 1."""
    count = 0
    while number != 1:
        number = 3 * number + 1 if number % 2 else number // 2
        count += 1
    return count


def work(bench, name, seconds):
    while True:
        order = bench.take(seconds)
        if order is None:
            print("%s found nothing more to do" % name)
            return
        number, start, end = order
        best = max(range(start, end), key=steps)
        bench.deliver(number, name, (best, steps(best)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:bench@localhost:9200", help="the URI that the dispatcher printed")
    parser.add_argument("--name", default="worker-%d" % os.getpid())
    parser.add_argument("--wait", type=float, default=60.0, help="end after this number of seconds without an order")
    options = parser.parse_args()
    with Proxy(options.uri) as bench:
        print("Ready:", options.name, flush=True)
        try:
            work(bench, options.name, options.wait)
        except CommunicationError as x:
            print("The bench is gone:", type(x).__name__)
        except KeyboardInterrupt:
            print("%s goes home" % options.name)


if __name__ == "__main__":
    main()
