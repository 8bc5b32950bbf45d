"""Calls async methods: nothing in the client shows that they are."""
import argparse
import time

from Pyro5.api import Proxy

STATIONS = ["Oslo", "Reykjavik", "Rome"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:weather@localhost:9201", help="the URI that the server printed")
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    with Proxy(options.uri) as weather:
        print("the warmest one:", weather.warmest(STATIONS))
        proxies = [Proxy(options.uri) for _ in range(options.calls)]
        begin = time.monotonic()
        futures = [proxy.temperature.future(STATIONS[number % 3], 0.5) for number, proxy in enumerate(proxies)]
        print("answers:", len([future.result() for future in futures]))
        waited = time.monotonic() - begin
        print("one after the other:", "no" if waited < 0.5 * options.calls else "yes")
        for proxy in proxies:
            proxy._pyroRelease()
        for wind in weather.updates(100):
            print("wind:", wind)
            if wind == 12:
                break                               # the generator in the server is closed


if __name__ == "__main__":
    main()
