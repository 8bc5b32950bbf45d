"""Phase 3: a warehouse with a name in the name server; there can be several."""
import argparse

from crates import Warehouse

from Pyro5.api import Daemon, locate_ns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="dockside")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--shelves", type=int, default=10)
    options = parser.parse_args()
    name = "example.warehouse." + options.name
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        uri = daemon.register(Warehouse(options.shelves))
        names.register(name, uri)
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        names.remove(name)
        print("The gates are shut.")


if __name__ == "__main__":
    main()
