"""Finds the barometer in three ways without a name server."""
import argparse
import os
import tempfile

from Pyro5.api import URI, Proxy


def ask(how, uri):
    with Proxy(uri) as barometer:
        print("%s: %d hPa" % (how, barometer.hectopascal()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--file", default=os.path.join(tempfile.gettempdir(), "barometer.uri"))
    options = parser.parse_args()
    ask("by an address that everybody knows", "PYRO:barometer@%s:%d" % (options.host, options.port))
    with open(options.file) as file:
        uri = URI(file.readline().strip())
    ask("by the file that the server wrote", uri)
    # every daemon lists its objects
    with Proxy("PYRO:Pyro.Daemon@%s:%d" % (uri.host, uri.port)) as daemon:
        names = [name for name in daemon.registered() if not name.startswith("Pyro.")]
    ask("by asking the daemon", "PYRO:%s@%s:%d" % (names[0], uri.host, uri.port))


if __name__ == "__main__":
    main()
