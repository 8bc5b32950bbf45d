"""Phase 2: a robot that gets the URI of the warehouse as an argument."""
import argparse

from robot import do_a_round

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:warehouse@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--robot", default="Rusty")
    parser.add_argument("--crates", nargs="+", default=["rice", "tea"])
    options = parser.parse_args()
    with Proxy(options.uri) as warehouse:
        do_a_round(warehouse, options.robot, options.crates)


if __name__ == "__main__":
    main()
