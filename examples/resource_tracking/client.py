"""Reserves telescopes, and releases only some of them."""
import argparse
import os

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:observing@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--reserve", type=int, default=2)
    parser.add_argument("--release", type=int, default=1)
    parser.add_argument("--crash", action="store_true", help="end without closing the connection")
    options = parser.parse_args()
    with Proxy(options.uri) as observing:
        telescopes = []
        try:
            for _ in range(options.reserve):
                telescopes.append(observing.reserve())
        except LookupError as x:
            print(x)
        print("reserved:", *telescopes)
        for telescope in telescopes[:options.release]:
            observing.release(telescope)
            print("given back:", telescope, flush=True)
        if options.crash:
            os._exit(0)


if __name__ == "__main__":
    main()
