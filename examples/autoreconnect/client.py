"""Reads the gauge repeatedly; when the server is stopped, it waits until it is running again."""
import argparse
import time

from Pyro5.api import Proxy
from Pyro5.errors import ConnectionClosedError


def read(gauge, tries):
    while True:
        try:
            return gauge.level()
        except ConnectionClosedError:
            print("Lost the gauge, waiting for it.", flush=True)
            gauge._pyroReconnect(tries)     # the pause grows after each failure
            print("There it is again.", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:gauge@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--readings", type=int, default=20)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between readings")
    parser.add_argument("--tries", type=int, default=60, help="how often to try to reconnect")
    options = parser.parse_args()
    with Proxy(options.uri) as gauge:
        try:
            for _ in range(options.readings):
                print("Level: %d cm" % read(gauge, options.tries), flush=True)
                time.sleep(options.interval)
        except KeyboardInterrupt:
            print("No more readings.")


if __name__ == "__main__":
    main()
