"""Sends a message around the ring of stations, and prints its route."""
import argparse

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", nargs="?", default="oak", help="name of the station to begin with")
    parser.add_argument("--message", default="fog is coming")
    options = parser.parse_args()
    with Proxy("PYRONAME:example.station." + options.first) as station:
        print("The way it went:", " -> ".join(station.signal(options.message, [])))


if __name__ == "__main__":
    main()
