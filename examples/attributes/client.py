"""Turns the telescope mount by assigning to an attribute of its proxy."""
import argparse

from Pyro5.api import Proxy


def try_to(what, action):
    try:
        action()
    except (AttributeError, TypeError) as x:
        print("%s: %s" % (what, type(x).__name__))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:mount@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--turns", type=float, nargs="*", default=[45.0, 300.0], help="degrees to turn by")
    options = parser.parse_args()
    with Proxy(options.uri) as mount:
        print("It looks towards %.0f degrees." % mount.azimuth)
        for degrees in options.turns:
            mount.azimuth += degrees    # two calls: one to read, one to assign
            print("Turned by %.0f, it looks towards %.0f." % (degrees, mount.azimuth))
        print("Moves so far: %d, and len() says %d." % (mount.moves, len(mount)))
        print("Has it an azimuth? %s. A maker? %s." % (hasattr(mount, "azimuth"), hasattr(mount, "maker")))
        try_to("Reading what is not exposed", lambda: mount.motor_voltage)
        try_to("Writing what is read-only", lambda: setattr(mount, "moves", 0))
        try_to("Writing what does not exist", lambda: setattr(mount, "colour", "white"))
        try_to("Writing nonsense", lambda: setattr(mount, "azimuth", "north"))


if __name__ == "__main__":
    main()
