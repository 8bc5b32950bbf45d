"""Phase 1, pull: clients ask for prices."""
import argparse

from market import Market

from Pyro5.api import Daemon, expose


class Exchange:
    def __init__(self, seed):
        self._market = Market(seed=seed)

    @expose
    def symbols(self):
        return sorted(self._market.prices)

    @expose
    def price(self, symbol):
        self._market.trade()        # a trade between two questions
        return self._market.prices[symbol]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Exchange(options.seed), "exchange"), flush=True)
        daemon.requestLoop()
        print("The exchange is closed.")


if __name__ == "__main__":
    main()
