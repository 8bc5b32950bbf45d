"""Counts primes in several processes, at one address."""
import argparse
import os

from Pyro5.api import Daemon, expose


@expose
class Counter:
    def primes_below(self, limit):
        """Return the number of primes, and the process that has counted them."""
        found = sum(all(number % divisor for divisor in range(2, int(number ** 0.5) + 1)) for number in range(2, limit))
        return found, os.getpid()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with Daemon(options.host, options.port, processes=options.processes) as daemon:
        # A class: each process creates its own instances. An object would be copied into each of them.
        uri = daemon.register(Counter, "counter")
        print("Ready: %s in %d processes" % (uri, options.processes), flush=True)
        daemon.requestLoop()        # forks the processes, and supervises them
        print("All processes have ended.")


if __name__ == "__main__":
    main()
