"""A pottery kiln that reports its progress by calling an object of the client."""
import argparse

from Pyro5.api import Daemon, Proxy, expose


class Kiln:
    @expose
    def fire(self, peak, watcher):
        """Heat up to the peak temperature. The watcher is a proxy for an object in the client."""
        if type(peak) is not int or not isinstance(watcher, Proxy):
            raise TypeError("expected a number of degrees and a proxy")
        for degrees in range(200, peak + 1, 200):
            watcher.heating(degrees)
        try:
            watcher.finished(peak)
        except ValueError as x:
            print("The watcher is not content:", x, flush=True)
            return "fired, but the watcher failed"
        return "fired"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Kiln(), "kiln"), flush=True)
        daemon.requestLoop()
        print("The kiln cools down.")


if __name__ == "__main__":
    main()
