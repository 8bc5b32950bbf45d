"""A semaphore station in a ring of stations; it passes messages on to the next one, which it finds by name."""
import argparse

from Pyro5.api import Daemon, Proxy, expose, locate_ns


class Station:
    def __init__(self, name, following):
        self._name = name
        self._following = following

    @expose
    def signal(self, message, seen):
        """Return the route of the message when it has been at all stations."""
        if type(message) is not str or type(seen) is not list:
            raise TypeError("expected a text and a list of stations")
        if self._name in seen:
            return seen + [self._name]
        print("%s passes on %r" % (self._name, message), flush=True)
        # a new proxy per call: another thread enters this method before this call returns
        with Proxy("PYRONAME:example.station." + self._following) as following:
            return following.signal(message, seen + [self._name])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="oak")
    parser.add_argument("following", nargs="?", default="oak", help="name of the next station")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        uri = daemon.register(Station(options.name, options.following))
        names.register("example.station." + options.name, uri)
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        names.remove("example.station." + options.name)
        print("The arms are down.")


if __name__ == "__main__":
    main()
