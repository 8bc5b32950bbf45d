"""Looks through the telescope, and tries to move it. The environment says who it is."""
import argparse

from Pyro5.api import Proxy
from Pyro5.errors import CommunicationError, SecurityError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:telescope@localhost:9200", help="the URI that the server printed")
    options = parser.parse_args()
    with Proxy(options.uri) as telescope:
        try:
            print(telescope.look())
            telescope.move("Vega")
            print(telescope.look())
        except SecurityError as x:
            print("not allowed:", x)
        except CommunicationError as x:
            print("not accepted:", str(x).rpartition("server: ")[2])


if __name__ == "__main__":
    main()
