"""A scale whose connection breaks now and then."""
import argparse

from Pyro5.api import Daemon, current_context, expose


@expose
class Scale:
    def __init__(self):
        self._calls = 0
        self._poured = 0

    @expose(idempotent=True)
    def weight(self):
        """Return the weight in grams. Asking twice does no harm."""
        self._fail_sometimes()
        return self._poured

    def pour(self, grams):
        """Pour something. Doing this twice is not the same as doing it once."""
        self._poured += grams
        self._fail_sometimes()
        return self._poured

    def _fail_sometimes(self):
        self._calls += 1
        if self._calls % 3 == 1:
            current_context.client.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Scale(), "scale"), flush=True)
        daemon.requestLoop()
        print("The scale is off.")


if __name__ == "__main__":
    main()
