"""Sends and receives megabytes with each serializer, as bytes and text, at once and in parts; prints the rates."""
import argparse
import importlib.util
import time

import serpent

from Pyro5.api import Proxy


def length(value):
    return len(serpent.tobytes(value) if isinstance(value, dict) else value)


def measure(what, size, transfer):
    began = time.perf_counter()
    transferred = transfer()
    seconds = max(time.perf_counter() - began, 1e-6)
    print("%-28s %8.1f MB/s%s" % (what, size / 1e6 / seconds, "" if transferred == size else ", BUT INCOMPLETE"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:reservoir@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--megabytes", type=float, default=50.0)
    parser.add_argument("--serializers", nargs="+", default=["serpent", "json", "marshal", "msgpack"])
    options = parser.parse_args()
    size = int(options.megabytes * 1e6)
    with Proxy(options.uri) as reservoir:
        for name in options.serializers:
            if name == "msgpack" and not importlib.util.find_spec("msgpack"):
                continue
            reservoir._pyroSerializer = name
            measure(name + ", text to the server", size, lambda: reservoir.fill("~" * size))
            measure(name + ", text from there", size, lambda: len(reservoir.drain(size, True)))
            if name != "json":          # json has no bytes
                measure(name + ", bytes to the server", size, lambda: reservoir.fill(b"~" * size))
                measure(name + ", bytes from there", size, lambda: length(reservoir.drain(size, False)))
                measure(name + ", bytes in parts", size,
                        lambda: sum(length(part) for part in reservoir.pipe(size, 1000000)))


if __name__ == "__main__":
    main()
