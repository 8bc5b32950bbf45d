"""The gauges of a river, read by name."""
import argparse

from Pyro5.api import Daemon, behavior, expose


@expose
@behavior(instance_mode="single")
class River:
    def __init__(self):
        self._warning_level = 300

    @property
    def warning_level(self):
        return self._warning_level

    @warning_level.setter
    def warning_level(self, centimetres):
        self._warning_level = centimetres

    def level(self, gauge):
        return 100 + 37 * gauge % 250

    def follow(self, gauge):
        """Yield the levels of a gauge while the water rises, without end."""
        level = self.level(gauge)
        try:
            while True:
                yield level
                level += 15
        finally:
            print("the stream is closed", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(River(), "river"), flush=True)
        daemon.requestLoop()
        print("The water falls.")


if __name__ == "__main__":
    main()
