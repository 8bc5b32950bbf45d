"""Calls the echo server of the library with all serializers."""
import argparse
import importlib.util

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:test.echoserver@localhost:9200", help="URI that the server printed")
    parser.add_argument("--value", default="hello")
    parser.add_argument("--stop", action="store_true", help="stop the server in the end")
    options = parser.parse_args()
    with Proxy(options.uri) as server:
        for name in ("serpent", "json", "marshal", "msgpack"):
            if name != "msgpack" or importlib.util.find_spec("msgpack"):
                server._pyroSerializer = name
                print("%s: %r comes back as %r" % (name, (options.value, 1), server.echo((options.value, 1))))
        try:
            server.error()
        except Exception as x:      # an exception of any class
            print("error() raises", type(x).__name__)
        if options.stop:
            server.shutdown()
            print("The server was told to stop.")


if __name__ == "__main__":
    main()
