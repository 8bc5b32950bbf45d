"""A light whose name is registered as long as it runs."""
import argparse

from Pyro5.api import Daemon, expose, locate_ns


@expose
class Light:
    def __init__(self, colour):
        self._colour = colour

    def flash(self):
        return "a %s flash" % self._colour


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("colour", nargs="?", default="red")
    parser.add_argument("--ttl", type=float, default=5.0, help="seconds until the name of a dead light disappears")
    parser.add_argument("--take-over", action="store_true", help="also if another light has the name")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    safe = False if options.take_over else None
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        lease = daemon.register_with(names, "example.light." + options.colour, Light(options.colour), options.ttl, safe=safe)
        lease.on_lost(lambda: print("Another light has the name now.", flush=True))
        print("Ready:", lease.uri, flush=True)
        daemon.requestLoop()
    print("Switched off.")


if __name__ == "__main__":
    main()
