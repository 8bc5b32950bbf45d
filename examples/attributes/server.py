"""A telescope mount whose position is read and written like attributes of a local object."""
import argparse

from Pyro5.api import Daemon, expose


class Mount:
    maker = "Meridian Optics"           # a plain class attribute: never exposed

    def __init__(self):
        self._azimuth = 180.0
        self._moves = 0

    @expose
    @property
    def azimuth(self):
        """The direction in degrees, clockwise from north."""
        return self._azimuth

    @expose
    @azimuth.setter
    def azimuth(self, degrees):
        if not isinstance(degrees, (int, float)):
            raise TypeError("azimuth must be a number of degrees, not %r" % (degrees,))
        self._azimuth = degrees % 360.0
        self._moves += 1

    @expose
    @property
    def moves(self):                    # no setter: clients can only read it
        return self._moves

    @expose
    def __len__(self):                  # operators are exposed in the same way
        return self._moves

    @property
    def motor_voltage(self):            # a property, but not exposed
        return 48


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Mount(), "mount"), flush=True)
        daemon.requestLoop()
        print("The mount is parked.")


if __name__ == "__main__":
    main()
