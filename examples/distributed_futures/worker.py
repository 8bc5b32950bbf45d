"""Counts the solutions of the queens problem for a given first queen."""
import argparse

from Pyro5.api import Daemon, expose


def count(size, columns, rising, falling):
    row = len(columns)
    if row == size:
        return 1
    return sum(count(size, columns | {column}, rising | {column - row}, falling | {column + row})
               for column in range(size)
               if column not in columns and column - row not in rising and column + row not in falling)


@expose
class Chessboard:
    def solutions(self, size, first):
        """Count the ways to place a queen in each row so that none attacks another; the first column is given."""
        if not 0 <= first < size:
            raise ValueError("there is no column %d on a board of %d" % (first, size))
        return count(size, frozenset([first]), frozenset([first]), frozenset([first]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Chessboard(), "chessboard"), flush=True)
        daemon.requestLoop()
        print("Checkmate.")


if __name__ == "__main__":
    main()
