"""A shop for model railways: each customer gets a cart, and all of them use the same shelves."""
import argparse

from goods import Cart, Shelves

from Pyro5.api import Daemon, current_context, expose

STOCK = {"locomotive": (3, 8900), "waggon": (10, 1950), "signal": (6, 1200)}     # pieces, price in cents


@expose
class Shop:
    def __init__(self, shelves):
        self._shelves = shelves

    def enter(self, customer):
        cart = Cart(self._shelves, customer)
        self._pyroDaemon.register(cart)
        current_context.track_resource(cart)        # calls cart.close() when this connection ends
        return cart

    def shelves(self):
        return self._shelves.pieces()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Shop(Shelves(STOCK)), "shop"), flush=True)
        daemon.requestLoop()
        print("The shop is closed.")


if __name__ == "__main__":
    main()
