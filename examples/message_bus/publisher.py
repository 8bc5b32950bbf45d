"""A weather station that publishes readings under several topics."""
import argparse
import random

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:bus@localhost:9200", help="the URI that the bus printed")
    parser.add_argument("--station", default="hilltop")
    parser.add_argument("--topics", nargs="+", default=["wind", "rain"])
    parser.add_argument("--readings", type=int, default=5, help="for each topic")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    source = random.Random(options.seed)
    with Proxy(options.uri) as bus:
        for _ in range(options.readings):
            for topic in options.topics:
                bus.publish(topic, "%s: %d" % (options.station, source.randrange(100)))
        counts = ["%d of %s" % (count, topic) for topic, count in sorted(bus.topics().items())]
    print("published; the bus has", ", ".join(counts))


if __name__ == "__main__":
    main()
