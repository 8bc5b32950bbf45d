"""Puts letters into the letter box on this machine."""
import argparse
import os
import tempfile

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", default=os.path.join(tempfile.gettempdir(), "letterbox.sock"))
    parser.add_argument("--abstract", metavar="NAME", help="the name that the server was started with, if any")
    parser.add_argument("--texts", nargs="+", default=["a bill", "a postcard"])
    options = parser.parse_args()
    # ./u: replaces host and port; a zero byte in front marks an abstract name
    uri = "PYRO:letterbox@./u:" + ("\0" + options.abstract if options.abstract else options.path)
    with Proxy(uri) as box:
        for text in options.texts:
            print("dropped number", box.drop(text))


if __name__ == "__main__":
    main()
