"""One audio guide: signs out, stays out for a while, and signs in again (or crashes)."""
import argparse
import os
import time

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:desk@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--number", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the visit takes")
    parser.add_argument("--break", action="store_true", dest="broken", help="end without signing in, like a crash")
    options = parser.parse_args()
    with Proxy(options.uri) as desk:
        desk.sign_out(options.number)
        print("Guide %d is out; the desk knows of %s." % (options.number, desk.guides()), flush=True)
        time.sleep(options.seconds)
        if options.broken:
            os._exit(0)         # no clean-up at all; the system closes the connection
    print("Guide %d is back." % options.number)


if __name__ == "__main__":
    main()
