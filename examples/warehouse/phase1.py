"""Phase 1: everything in one program, without a network."""
import argparse

from crates import Warehouse
from robot import do_a_round


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robots", nargs="+", default=["Rusty", "Bolt"])
    parser.add_argument("--crates", nargs="+", default=["rice", "tea"])
    options = parser.parse_args()
    warehouse = Warehouse(shelves=10)
    for name in options.robots:
        do_a_round(warehouse, name, options.crates)


if __name__ == "__main__":
    main()
