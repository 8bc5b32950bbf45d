"""Waits for letters and opens them."""
import argparse

import letters  # noqa: F401 (registers the class with the serializers)
from Pyro5.api import Daemon, Proxy, expose


class Addressee:
    def __init__(self, expected):
        self._expected = expected

    @expose
    def receive(self, blob):
        for letter in blob.deserialized():      # instances of letters.Letter
            print("%s from %s:" % (type(letter).__name__, letter.sender), *letter.lines, sep="\n    ", flush=True)
        self._expected -= 1
        if not self._expected:
            self._pyroDaemon.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:post@localhost:9200", help="what the post office printed")
    parser.add_argument("--street", default="Mill Lane")
    parser.add_argument("--letters", type=int, default=2, help="end after this number")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        addressee = Addressee(options.letters)
        daemon.register(addressee)
        with Proxy(options.uri) as office:
            office.subscribe(options.street, addressee)
        print("Ready: waiting in", options.street, flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
