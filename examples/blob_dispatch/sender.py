"""Sends a letter to each of the given streets."""
import argparse

from letters import Letter

from Pyro5.api import Proxy, SerializedBlob


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:post@localhost:9200", help="what the post office printed")
    parser.add_argument("--name", default="Aunt Vera", help="who writes")
    parser.add_argument("--streets", nargs="+", default=["Mill Lane", "Harbour Road", "Mill Lane"])
    options = parser.parse_args()
    with Proxy(options.uri) as office:
        for number, street in enumerate(options.streets, start=1):
            letter = Letter(options.name, ["Dear all in %s," % street, "this is my letter number %d." % number])
            office.post(SerializedBlob(street, [letter]))    # a blob must be the only argument
            print("Posted to", street)


if __name__ == "__main__":
    main()
