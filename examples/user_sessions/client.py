"""Logs in, writes notes, and reads the notes of its user."""
import argparse

from Pyro5.api import Proxy
from Pyro5.errors import CommunicationError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:notebook@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--user", default="mira")
    parser.add_argument("--password", default="heron")
    parser.add_argument("--notes", nargs="*", default=["two herons at the pond"])
    options = parser.parse_args()
    with Proxy(options.uri) as notebook:
        notebook._pyroHandshake = "%s:%s" % (options.user, options.password)
        try:
            for note in options.notes:
                notebook.write(note)
            print("%s has written: %s" % (options.user, "; ".join(notebook.read())))
        except CommunicationError as x:
            print("Not logged in:", x)


if __name__ == "__main__":
    main()
