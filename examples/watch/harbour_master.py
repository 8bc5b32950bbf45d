"""Prints the lights of the harbour, and each change."""
import argparse

from Pyro5.api import locate_ns
from Pyro5.errors import ConnectionClosedError

PREFIX = "example.light."


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    with locate_ns() as names, names.watch(PREFIX) as events:
        try:
            for event in events:
                if event.name is not None:
                    print(event.kind, event.name[len(PREFIX):], flush=True)
                else:
                    print("Watching." if event.kind == "ready" else "Too slow: here are all lights again.", flush=True)
        except ConnectionClosedError as x:
            print("The name server has stopped:", x)
        except KeyboardInterrupt:
            print("The harbour master goes home.")


if __name__ == "__main__":
    main()
