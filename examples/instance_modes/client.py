"""Two visitors draw tickets from machines with all three instance modes."""
import argparse

from Pyro5.api import URI, Proxy


def draw(machine, visitor, tickets):
    for _ in range(tickets):
        print("    visitor %d: %s" % (visitor, machine.ticket()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:PerVisitor@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--tickets", type=int, default=2, help="how many each visitor draws")
    options = parser.parse_args()
    uri = URI(options.uri)
    for kind in ("PerVisitor", "ForAll", "PerTicket"):
        print(kind)
        uri.object = kind
        with Proxy(uri) as first, Proxy(uri) as second:     # each proxy has one connection, and each connection is a session
            draw(first, 1, options.tickets)
            draw(second, 2, options.tickets)


if __name__ == "__main__":
    main()
