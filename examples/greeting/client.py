"""Requests a greeting for each given name."""
import argparse
import sys

from Pyro5.api import Proxy


def ask_for_name():
    """Ask for a name on a terminal; otherwise use a default."""
    if sys.stdin is not None and sys.stdin.isatty():
        return input("What is your name? ").strip()
    return "stranger"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--uri", default="PYRONAME:example.greeting", help="what the server printed, or a name (default)")
    options = parser.parse_args()
    with Proxy(options.uri) as greeter:
        for name in options.names or [ask_for_name()]:
            print(greeter.greet(name))


if __name__ == "__main__":
    main()
