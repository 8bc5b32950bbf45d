"""Borrows an instrument from the store, uses it remotely, and returns it."""
import argparse

from Pyro5.api import Proxy
from Pyro5.errors import DaemonError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:store@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--label", default="scope-7", help="which instrument")
    options = parser.parse_args()
    with Proxy(options.uri) as store, store.borrow(options.label) as scope:
        print("Borrowed a", type(scope).__name__)
        print(scope.attach("pin 4"))
        print(scope.attach("clock"))
        try:
            store.borrow(options.label)
        except LookupError as x:
            print("Once more:", x)
        print("Brought back:", store.bring_back(scope))
        try:
            scope.attach("ground")
        except DaemonError:
            print("It is out of reach now.")


if __name__ == "__main__":
    main()
