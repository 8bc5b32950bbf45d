"""A telescope that takes long exposures, and stops when its client does not wait any more."""
import argparse

from Pyro5.api import Daemon, current_context, expose
from Pyro5.errors import PyroError


@expose
class Telescope:
    def expose_plate(self, seconds):
        """Expose a plate; return the time that the shutter was open."""
        print("shutter open, time left: %s" % current_context.time_remaining(), flush=True)
        if current_context.cancelled.wait(seconds):     # set by a deadline, by cancel(), and by the end of the connection
            try:
                current_context.check()
            except PyroError as x:
                print("shutter closed early:", x, flush=True)
                raise
        return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Telescope(), "telescope"), flush=True)
        daemon.requestLoop()
        print("The dome is closed.")


if __name__ == "__main__":
    main()
