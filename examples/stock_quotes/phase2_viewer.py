"""Phase 2, push: runs its own daemon, and is called for every trade of its symbols."""
import argparse

from market import text

from Pyro5.api import Daemon, Proxy, expose


class Viewer:
    def __init__(self, changes):
        self._missing = changes

    @expose
    def price_changed(self, symbol, price):
        if self._missing > 0:
            print(text(symbol, price), flush=True)
            self._missing -= 1
        if self._missing == 0:
            self._pyroDaemon.shutdown()     # ends the request loop after the reply to this call


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:exchange@localhost:9200", help="the URI that the market printed")
    parser.add_argument("--symbols", nargs="+", default=["KELP", "SALT"])
    parser.add_argument("--changes", type=int, default=10, help="end after this number")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    viewer = Viewer(options.changes)
    with Daemon(options.host, options.port) as daemon:
        daemon.register(viewer)
        with Proxy(options.uri) as exchange:
            exchange.subscribe(options.symbols, viewer)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
