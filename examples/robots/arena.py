"""A field on Mars where rovers collect crystals; each rover is driven by its own program."""
import argparse

from field import Arena

from Pyro5.api import Daemon


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--size", type=int, default=12)
    parser.add_argument("--crystals", type=int, default=8)
    parser.add_argument("--rovers", type=int, default=2, help="number of rovers that must land before the game begins")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        arena = Arena(options.size, options.crystals, options.rovers, options.seed)
        print("Ready:", daemon.register(arena, "arena"), flush=True)
        daemon.requestLoop()
        print("Dust settles.")


if __name__ == "__main__":
    main()
