"""Phase 3: a robot that visits every warehouse in the name server."""
import argparse

from robot import do_a_round

from Pyro5.api import Proxy, locate_ns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robot", default="Rusty")
    parser.add_argument("--crates", nargs="+", default=["rice", "tea"])
    options = parser.parse_args()
    with locate_ns() as names:
        found = names.list(prefix="example.warehouse.")
    for name, uri in sorted(found.items()):
        print("to", name.rpartition(".")[2])
        with Proxy(uri) as warehouse:
            do_a_round(warehouse, options.robot, options.crates)


if __name__ == "__main__":
    main()
