"""Fires the kiln, which calls an object of this client: this program is a client and a server."""
import argparse
import logging
import sys
import threading

from Pyro5.api import Daemon, Proxy, callback, expose


class Watcher:
    @expose
    def heating(self, degrees):
        print("It has %d degrees." % degrees)

    @expose
    @callback                   # an exception of this method is logged here, and also sent to the kiln
    def finished(self, peak):
        if peak > 1000:
            raise ValueError("%d degrees are too much for earthenware" % peak)
        print("Finished at %d degrees." % peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:kiln@localhost:9200", help="the URI that the kiln printed")
    parser.add_argument("--peaks", type=int, nargs="+", default=[600, 1200], help="degrees of each firing")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="LOG %(name)s: %(message)s")
    with Daemon(options.host, options.port) as daemon, Proxy(options.uri) as kiln:
        watcher = Watcher()
        daemon.register(watcher)
        # The main thread waits for fire() to return; another thread handles the calls of the kiln in the meantime.
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        for peak in options.peaks:
            print("The kiln says:", kiln.fire(peak, watcher))
        daemon.shutdown()
        thread.join()


if __name__ == "__main__":
    main()
