"""Uses the safe: first without a name, then with an interceptor that adds it to all calls of this program."""
import argparse

from Pyro5.api import Proxy, intercept_clients


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:safe@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--name", default="ada")
    options = parser.parse_args()
    with Proxy(options.uri) as safe:
        try:
            safe.put("ring", "gold")
        except PermissionError as x:
            print("Refused:", x)

        @intercept_clients
        def add_name(call, proceed):
            call.annotations["NAME"] = options.name.encode("ascii")
            return proceed()

        safe.put("ring", "gold")
        print("In the safe:", safe.look("ring"))
        try:
            safe.look("crown")
        except KeyError as x:
            print("Not there:", x)


if __name__ == "__main__":
    main()
