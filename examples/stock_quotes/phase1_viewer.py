"""Phase 1, pull: asks repeatedly, and misses changes in between."""
import argparse
import time

from market import text

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:exchange@localhost:9200", help="the URI that the market printed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between rounds")
    options = parser.parse_args()
    with Proxy(options.uri) as exchange:
        symbols = exchange.symbols()
        for _ in range(options.rounds):
            print("  ".join(text(symbol, exchange.price(symbol)) for symbol in symbols))
            time.sleep(options.interval)


if __name__ == "__main__":
    main()
