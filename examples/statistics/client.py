"""Orders dishes, and then asks the server what it has counted."""
import argparse

from Pyro5.api import Proxy


def order(kitchen, dish):
    try:
        getattr(kitchen, dish)()
    except RuntimeError as x:
        print("No %s: %s" % (dish, x))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:kitchen@localhost:9200", help="the URI that the server printed")
    options = parser.parse_args()
    with Proxy(options.uri) as kitchen:
        for _ in range(4):
            for dish in ("salad", "soup", "cake"):
                order(kitchen, dish)
        location = kitchen._pyroUri.location
    with Proxy("PYRO:Pyro.Daemon@" + location) as daemon:
        found = daemon.stats()
        print("kitchen is", daemon.health("kitchen"))
    for method, row in found["objects"]["kitchen"].items():
        print("%-6s %d calls, %d errors, %s" % (
            method, row["calls"], row["errors"], "10 ms or more" if row["p50"] >= 0.008 else "quick"))
    print("last error of cake:", found["objects"]["kitchen"]["cake"]["last_error"]["text"])


if __name__ == "__main__":
    main()
