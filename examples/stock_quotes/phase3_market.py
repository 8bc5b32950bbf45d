"""Phase 3, stream: viewers iterate over the trades; there can be several named markets."""
import argparse

from market import COMPANIES, Market

from Pyro5.api import Daemon, expose, locate_ns


class Exchange:
    def __init__(self, symbols, seed):
        self._symbols, self._seed = symbols, seed

    @expose
    def trades(self, wanted):
        """Yield trades without end, as fast as the client fetches them."""
        if type(wanted) not in (list, tuple, set):
            raise TypeError("expected a list of symbols")
        market = Market(self._symbols, self._seed)
        while set(wanted) & set(self._symbols):
            symbol, price = market.trade()
            if symbol in wanted:
                yield symbol, price


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="east")
    parser.add_argument("--symbols", nargs="+", choices=sorted(COMPANIES), default=sorted(COMPANIES))
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    name = "example.exchange." + options.name
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        uri = daemon.register(Exchange(options.symbols, options.seed))
        names.register(name, uri, metadata={"example:exchange"})
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        names.remove(name)
        print("The exchange is closed.")


if __name__ == "__main__":
    main()
