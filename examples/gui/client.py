"""Shows texts in the window of another program."""
import argparse
import time

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:dial@localhost:9200", help="what the window's program printed")
    parser.add_argument("--texts", nargs="+", default=["three", "two", "one"])
    parser.add_argument("--seconds", type=float, default=1.0, help="between the texts")
    options = parser.parse_args()
    with Proxy(options.uri) as dial:
        for text in options.texts:
            print("%s is shown: %s" % (text, dial.show(text) > 0))
            time.sleep(options.seconds)
        dial.close()


if __name__ == "__main__":
    main()
