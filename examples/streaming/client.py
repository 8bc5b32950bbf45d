"""Iterates over remote generators, in four ways."""
import argparse
import itertools

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:seismometer@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    with Proxy(options.uri) as seismometer:
        stream = seismometer.readings(options.seed)
        first = list(itertools.islice(stream, 3))
        print("the first three of endlessly many:", first)
        seismometer._pyroReconnect()        # the connection is lost: the server keeps the stream for a while
        print("and the next one, over another connection:", next(stream))
        stream.close()                      # closes the stream in the server; dropping the iterator does this, too
        strong = list(seismometer.strong(options.seed, 2.5, options.count))
        print("strong ones among %d: %d" % (options.count, len(strong)))
        blocks = list(seismometer.in_blocks(options.seed, options.count, 250))
        print("%d values in %d blocks" % (sum(map(len, blocks)), len(blocks)))
        print("the same numbers as before:", blocks[0][:3] == first)


if __name__ == "__main__":
    main()
