"""Prints the messages of some topics; after a restart it continues where it ended."""
import argparse

from Pyro5.api import Proxy


def listen(bus, options):
    missing = options.messages
    while missing > 0:
        for number, topic, text in bus.fetch(options.name, options.wait, missing):
            print("%s: %s" % (topic, text), flush=True)
            bus.acknowledge(options.name, number)       # only after the work is done: better twice than never
            missing -= 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:bus@localhost:9200", help="the URI that the bus printed")
    parser.add_argument("--name", default="farm", help="name of the subscription")
    parser.add_argument("--topics", nargs="+", default=["rain"])
    parser.add_argument("--messages", type=int, default=10, help="end after this number")
    parser.add_argument("--wait", type=float, default=20.0, help="seconds that one call waits for messages")
    options = parser.parse_args()
    with Proxy(options.uri) as bus:
        for topic in options.topics:
            bus.subscribe(options.name, topic)
        print("Ready: %s listens to %s" % (options.name, ", ".join(options.topics)), flush=True)
        try:
            listen(bus, options)
        except KeyboardInterrupt:
            print("Enough for today.")


if __name__ == "__main__":
    main()
