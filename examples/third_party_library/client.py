"""Calls the library's class, published in two ways."""
import argparse

from Pyro5.api import URI, Proxy


def show(table, what, call):
    try:
        print("    %s: %s" % (what, call(table)))
    except Exception as x:      # to show the class
        print("    %s: %s" % (what, type(x).__name__))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:adapter@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--hour", type=int, default=6)
    options = parser.parse_args()
    uri = URI(options.uri)
    for how in ("whole", "adapter"):
        print("The %s:" % ("class as a whole" if how == "whole" else "adapter"))
        uri.object = how
        with Proxy(uri) as table:
            show(table, "height at %d" % options.hour, lambda table: table.height(options.hour))
            show(table, "highest", lambda table: table.highest(list(range(3, 20))))
            show(table, "erase_everything", lambda table: table.erase_everything())


if __name__ == "__main__":
    main()
