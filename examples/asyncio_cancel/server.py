"""Two observatories that search for comets, for different lengths of time."""
import argparse

from Pyro5.api import Daemon, behavior, current_context, expose


@expose
@behavior(instance_mode="single")
class Observatory:
    def __init__(self, name, seconds):
        self._name = name
        self._seconds = seconds

    def search(self, comet):
        # Waits for the end of the search, or until the client does not want it any more.
        if current_context.cancelled.wait(self._seconds):
            print("%s: the search for %s was cancelled" % (self._name, comet), flush=True)
        return "%s found %s" % (self._name, comet)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--slow", action="store_true", help="let one of them search for a minute")
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        daemon.register(Observatory("Calar Alto", 60 if options.slow else 1), "south")
        print("Ready:", daemon.register(Observatory("Tartu", 0.3), "north"), flush=True)
        daemon.requestLoop()
        print("The sun rises.")


if __name__ == "__main__":
    main()
