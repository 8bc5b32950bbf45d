"""Prints the lights of the harbour, and each change."""
import argparse

from Pyro5.api import locate_ns
from Pyro5.errors import ConnectionClosedError

PREFIX = "example.light."


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=1000, help="end after this many changes")
    options = parser.parse_args()
    left = options.changes
    with locate_ns() as names, names.watch(PREFIX) as events:
        try:
            for event in events:
                if event.name is None:
                    print("Watching." if event.kind == "ready" else "Too slow: here are all lights again.", flush=True)
                    continue
                print(event.kind, event.name[len(PREFIX):], flush=True)
                left -= event.kind != "current"
                if not left:
                    break
        except ConnectionClosedError as x:
            print("The name server has stopped:", x)


if __name__ == "__main__":
    main()
