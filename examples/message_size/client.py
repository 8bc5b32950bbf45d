"""Prints the size of a message with each serializer, then sends too much at once, and then in smaller parts."""
import argparse
import importlib.util
import zlib

from Pyro5.api import Proxy
from Pyro5.errors import MessageTooLargeError
from Pyro5.serializers import get_serializer


def show_sizes(lines):
    for name in ("serpent", "json", "marshal", "msgpack"):
        if name != "msgpack" or importlib.util.find_spec("msgpack"):
            data = get_serializer(name).dumpsCall("archive", "add", (lines,), {})
            print("%-8s %6d bytes, compressed %6d" % (name, len(data), len(zlib.compress(data))))


def attempt(what, call):
    try:
        print("%s: %s" % (what, call()))
    except MessageTooLargeError as x:
        print("%s: %s" % (what, type(x).__name__))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:archive@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--lines", type=int, default=1000, help="size of the data, in lines")
    parser.add_argument("--step", type=int, default=200, help="lines to send at a time")
    options = parser.parse_args()
    lines = [{"hour": hour, "cm": 300 + hour * 37 % 250, "by": "gauge"} for hour in range(options.lines)]
    show_sizes(lines)
    with Proxy(options.uri) as archive:
        attempt("all at once", lambda: archive.add(lines))
        for start in range(0, len(lines), options.step):
            stored = archive.add(lines[start:start + options.step])
        print("in steps: %d lines are there" % stored)
        attempt("everything back", lambda: len(archive.everything()))
        parts = [archive.part(start, options.step) for start in range(0, stored, options.step)]
        print("back in %d parts, complete: %s" % (len(parts), sum(parts, []) == lines))


if __name__ == "__main__":
    main()
