"""Serves one object, under a name that the name server knows, or without a name server."""
import argparse

from Pyro5.api import Daemon, expose, locate_ns

NAME = "example.greeting"


@expose
class Greeter:
    def __init__(self):
        self._greeted = 0

    def greet(self, name):
        self._greeted += 1
        return "Hello %s, you are visitor number %d." % (name, self._greeted)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", help="address to listen on (default: the setting HOST, which is localhost)")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-name-server", action="store_true", help="clients then need the URI")
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        uri = daemon.register(Greeter())
        if not options.no_name_server:
            with locate_ns() as name_server:
                name_server.register(NAME, uri)
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        if not options.no_name_server:
            with locate_ns() as name_server:
                name_server.remove(NAME)
        print("Stopped.")


if __name__ == "__main__":
    main()
