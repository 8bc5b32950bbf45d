"""Phase 2: the warehouse in its own program, which prints its URI."""
import argparse

from crates import Warehouse

from Pyro5.api import Daemon


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--shelves", type=int, default=10)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Warehouse(options.shelves), "warehouse"), flush=True)
        daemon.requestLoop()
        print("The gates are shut.")


if __name__ == "__main__":
    main()
