"""Two people use one microscope: each needs it for itself while it moves and takes a picture."""
import argparse
import threading

from Pyro5.api import Proxy
from Pyro5.errors import BusyError


def observe(uri, name, positions, print_line):
    with Proxy(uri) as microscope:
        for x, y in positions:
            with microscope._pyroExclusive():       # waits until no other client uses it
                microscope.move(x, y)
                print_line("%s sees %s" % (name, microscope.picture()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:microscope@localhost:9200", help="the URI that the server printed")
    options = parser.parse_args()
    lines = []
    people = [threading.Thread(target=observe, args=(options.uri, name, [(n, place) for place in range(3)], lines.append))
              for n, name in enumerate(["Ada", "Rosalind"])]
    for person in people:
        person.start()
    for person in people:
        person.join()
    print("\n".join(sorted(lines)))
    with Proxy(options.uri) as mine, Proxy(options.uri) as theirs:
        with mine._pyroExclusive():
            try:
                theirs.move(9, 9)
            except BusyError as x:
                print("refused:", x)
        theirs.move(9, 9)
        print("afterwards:", theirs.picture())


if __name__ == "__main__":
    main()
