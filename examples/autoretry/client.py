"""Calls the buoy over its unreliable link: first without retries, then with retries."""
import argparse

from Pyro5.api import Proxy
from Pyro5.errors import CommunicationError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:buoy@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--timeout", type=float, default=0.5, help="seconds to wait for an answer")
    parser.add_argument("--retries", type=int, default=3)
    options = parser.parse_args()
    with Proxy(options.uri) as buoy:
        buoy._pyroTimeout = options.timeout
        for attempt in range(2):
            try:
                print("Without retries:", buoy.temperature())
            except CommunicationError as x:
                print("Without retries, attempt %d: %s" % (attempt + 1, type(x).__name__))
        print("The link is fine for two calls:", buoy.temperature(), buoy.temperature())
        buoy._pyroMaxRetries = options.retries      # for all proxies: Pyro5.config.MAX_RETRIES
        print("With retries:", buoy.temperature())
        print("The buoy was called %d times." % buoy.calls_so_far())


if __name__ == "__main__":
    main()
