"""Two visitors draw tickets from machines of all three kinds."""
import argparse

from Pyro5.api import URI, Proxy


def draw(machine, visitor, tickets):
    for _ in range(tickets):
        print("    visitor %d: %s" % (visitor, machine.ticket()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:PerVisitor@localhost:9200", help="what the server printed")
    parser.add_argument("--tickets", type=int, default=2, help="how many each visitor draws")
    options = parser.parse_args()
    uri = URI(options.uri)
    for kind in ("PerVisitor", "ForAll", "PerTicket"):
        print(kind)
        uri.object = kind
        with Proxy(uri) as first, Proxy(uri) as second:     # a proxy is a connection is a session
            draw(first, 1, options.tickets)
            draw(second, 2, options.tickets)


if __name__ == "__main__":
    main()
