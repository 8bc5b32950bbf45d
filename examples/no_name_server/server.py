"""A barometer that can be found without a name server: by a fixed address, and by a file."""
import argparse
import os
import tempfile

from Pyro5.api import Daemon, expose


@expose
class Barometer:
    def hectopascal(self):
        return 1013


def write_file(path, uri):
    """Write the file atomically, so that no client reads half a URI."""
    with open(path + ".new", "w") as file:
        file.write("%s\n" % uri)
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--file", default=os.path.join(tempfile.gettempdir(), "barometer.uri"))
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        uri = daemon.register(Barometer(), "barometer")     # without this id, it would get a random one
        write_file(options.file, uri)
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        print("The barometer is taken down.")
        os.remove(options.file)


if __name__ == "__main__":
    main()
