"""An unreliable radio link to a buoy: some calls take too long, others lose the connection."""
import argparse
import threading

from Pyro5.api import Daemon, current_context, expose


@expose
class Buoy:
    def __init__(self, storm_is_over):
        self._calls = 0
        self._storm_is_over = storm_is_over

    def temperature(self):
        self._calls += 1
        if self._calls % 4 == 1:
            self._storm_is_over.wait(10)            # longer than the timeout of the client
        elif self._calls % 4 == 2:
            current_context.client.close()          # the connection is lost
        return 7.5

    def calls_so_far(self):
        return self._calls


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    storm_is_over = threading.Event()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Buoy(storm_is_over), "buoy"), flush=True)
        daemon.requestLoop()
        print("The link is down.")
        storm_is_over.set()


if __name__ == "__main__":
    main()
