"""Sends samples to the laboratory with each serializer, and shows that it returns objects, not dicts."""
import argparse
import fractions
import importlib.util

from samples import Contaminated, Rock, Sample

from Pyro5.api import Proxy
from Pyro5.errors import SerializeError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:laboratory@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--serializers", nargs="+", default=["serpent", "json", "marshal", "msgpack"])
    options = parser.parse_args()
    with Proxy(options.uri) as laboratory:
        for name in options.serializers:
            if name == "msgpack" and not importlib.util.find_spec("msgpack"):
                print("msgpack is not installed")
                continue
            laboratory._pyroSerializer = name
            print("%-8s" % name, laboratory.weigh(Sample("B-17", Rock.BASALT, 50.0)))
            print("         found in", laboratory.found_in(Rock.BASALT))
            try:
                laboratory.weigh(Sample("G-3", Rock.GRANITE, 400.0))
            except Contaminated as x:
                print("         Contaminated: %s" % x.substance)
        try:
            laboratory._pyroSerializer = "serpent"
            laboratory.weigh(fractions.Fraction(1, 3))
        except SerializeError as x:
            print("Without converters: %s" % type(x).__name__)


if __name__ == "__main__":
    main()
