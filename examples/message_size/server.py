"""A tide gauge archive whose server refuses large messages."""
import argparse
import itertools

from Pyro5.api import Daemon, config, expose


@expose
class Archive:
    def __init__(self):
        self._lines = []

    def add(self, lines):
        if type(lines) is not list:
            raise TypeError("lines must be a list, not %s" % type(lines).__name__)
        self._lines.extend(lines)
        return len(self._lines)

    def everything(self):
        return self._lines

    def part(self, start, count):
        return list(itertools.islice(self._lines, start, start + count))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--limit", type=int, default=20000, help="bytes that a message may have")
    options = parser.parse_args()
    config.MAX_MESSAGE_SIZE = options.limit         # for requests and for replies
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Archive(), "archive"), flush=True)
        daemon.requestLoop()
        print("The archive is closed.")


if __name__ == "__main__":
    main()
