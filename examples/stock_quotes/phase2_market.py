"""Phase 2, push: viewers subscribe to symbols, and are called for each trade."""
import argparse
import threading

from market import Market

from Pyro5.api import Daemon, Proxy, expose
from Pyro5.errors import CommunicationError


class Exchange(threading.Thread):
    def __init__(self, seed, interval):
        super().__init__()
        self._market, self._interval = Market(seed=seed), interval
        self._lock, self._viewers = threading.Lock(), []
        self._closing = threading.Event()

    @expose
    def subscribe(self, symbols, viewer):
        if type(symbols) not in (list, tuple, set) or not isinstance(viewer, Proxy):
            raise TypeError("expected a proxy and a list of symbols")
        viewer._pyroTimeout = 5.0           # a viewer that hangs must not stop the exchange
        with self._lock:
            self._viewers.append((set(symbols), viewer))

    def run(self):
        while not self._closing.wait(self._interval):
            with self._lock:
                if self._viewers:
                    self._tell(*self._market.trade())

    def _tell(self, symbol, price):
        for entry in list(self._viewers):
            symbols, viewer = entry
            if symbol in symbols:
                try:
                    viewer._pyroClaimOwnership()    # the proxy arrived in another thread
                    viewer.price_changed(symbol, price)
                except CommunicationError:
                    viewer._pyroRelease()
                    self._viewers.remove(entry)
                    print("a viewer has left", flush=True)

    def close(self):
        self._closing.set()
        self.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--interval", type=float, default=0.2, help="seconds between trades")
    options = parser.parse_args()
    exchange = Exchange(options.seed, options.interval)
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(exchange, "exchange"), flush=True)
        exchange.start()
        daemon.requestLoop()
        print("The exchange is closed.")
        exchange.close()


if __name__ == "__main__":
    main()
