"""A dispatcher with a queue of orders, which free workers take, and queues of results, which clients pick up."""
import argparse
import queue

from Pyro5.api import Daemon, expose


class Bench:
    """The queues. They do their own locking."""

    def __init__(self):
        self._orders = queue.Queue()
        self._results = queue.Queue()

    @expose
    def order(self, number, start, end):
        if not {type(number), type(start), type(end)} <= {int}:
            raise TypeError("an order must consist of integers")
        self._orders.put((number, start, end))

    @expose
    def take(self, seconds):
        """Return an order, or None if there is none within that time."""
        try:
            return self._orders.get(timeout=seconds)
        except queue.Empty:
            return None

    @expose
    def deliver(self, number, worker, result):
        self._results.put((number, worker, result))

    @expose
    def pick_up(self, seconds):
        try:
            return self._results.get(timeout=seconds)
        except queue.Empty:
            return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Bench(), "bench"), flush=True)
        daemon.requestLoop()
        print("The bench is cleared.")


if __name__ == "__main__":
    main()
