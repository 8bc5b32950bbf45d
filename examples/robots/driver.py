"""Drives a rover: towards the nearest crystal, or at random."""
import argparse
import random

from Pyro5.api import Proxy


def greedy(way, source):
    east, south = way
    if abs(east) >= abs(south):
        return "east" if east > 0 else "west"
    return "south" if south > 0 else "north"


def drunk(way, source):
    return source.choice(["north", "south", "east", "west"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:arena@localhost:9200", help="the URI that the arena printed")
    parser.add_argument("--name", default="Kira")
    parser.add_argument("--style", choices=["greedy", "drunk"], default="greedy")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    choose = {"greedy": greedy, "drunk": drunk}[options.style]
    source = random.Random(options.seed)
    crystals = 0
    with Proxy(options.uri) as arena, arena.land(options.name) as rover:
        way = rover.look()
        while way is not None:
            crystals = rover.drive(choose(way, source))
            way = rover.look()
    print("%s has collected %d crystals" % (options.name, crystals))


if __name__ == "__main__":
    main()
