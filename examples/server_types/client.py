"""Several guests order soup at the same time; prints the total time."""
import argparse
import threading
import time

from Pyro5.api import Proxy


def eat(uri):
    with Proxy(uri) as kitchen:     # each thread needs its own proxy
        kitchen.soup()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:kitchen@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--guests", type=int, default=10)
    options = parser.parse_args()
    guests = [threading.Thread(target=eat, args=(options.uri,)) for _ in range(options.guests)]
    began = time.perf_counter()
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.join()
    with Proxy(options.uri) as kitchen:
        print("%d soups in %.2f s, at most %d at once"
              % (options.guests, time.perf_counter() - began, kitchen.most_soups_at_once()))


if __name__ == "__main__":
    main()
