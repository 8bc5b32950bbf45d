"""Two customers buy the same goods; one of them leaves without paying."""
import argparse

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:shop@localhost:9200", help="the URI that the shop printed")
    parser.add_argument("--article", default="locomotive")
    parser.add_argument("--pieces", type=int, default=2)
    options = parser.parse_args()
    with Proxy(options.uri) as shop:
        cart = shop.enter("Nadia")
        cart.put(options.article, options.pieces)
        cart.put("signal")
        with Proxy(options.uri) as same_shop, same_shop.enter("Piet") as other_cart:
            other_cart.put("waggon", 4)
            try:
                other_cart.put(options.article, options.pieces)
            except ValueError as x:
                print("Piet:", x)
            print("on the shelves:", shop.shelves())
        # Piet has disconnected, and has not paid
        cart.take_out("signal")
        print("Nadia has %d things" % len(cart))
        print(cart.pay())
        cart._pyroRelease()


if __name__ == "__main__":
    main()
