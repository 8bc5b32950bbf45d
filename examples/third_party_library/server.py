"""Publishes a class of a library without changing it: as a whole, and with an adapter."""
import argparse

import tides

from Pyro5.api import Daemon, expose


class TideService:
    """The adapter: selects the exposed methods, and converts their types."""

    def __init__(self, harbour):
        self._table = tides.TideTable(harbour)

    @expose
    def height(self, hour):
        return self._table.height(hour)

    @expose
    def highest(self, hours):
        if type(hours) is not list:     # clients can send anything; the library would iterate over it
            raise TypeError("hours must be a list of numbers")
        moment = self._table.highest(hours)         # an object that cannot be sent ...
        return {"hour": moment.hour, "cm": moment.centimetres}     # ... becomes a dict


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        # expose() can also be called as a function. It marks the class of the library with all of its methods.
        daemon.register(expose(tides.TideTable), "whole")
        print("Ready:", daemon.register(TideService("Vrist"), "adapter"), flush=True)
        daemon.requestLoop()
        print("Low tide.")


if __name__ == "__main__":
    main()
