"""An observatory whose clock has another offset than those of its clients."""
import argparse
import datetime

import moments

from Pyro5.api import Daemon, expose


@expose
class Observatory:
    def __init__(self, zone):
        self._zone = zone

    def sunset(self):
        return datetime.datetime(2031, 6, 21, 17, 43, tzinfo=self._zone)

    def on_local_clock(self, moment):
        """Return the local time as text, and the type of the argument."""
        if not isinstance(moment, datetime.datetime):
            raise TypeError("expected a datetime, not %s" % type(moment).__name__)
        return "%s there (%s)" % (moment.astimezone(self._zone).strftime("%H:%M"), type(moment).__name__)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--offset", type=float, default=-4.0, help="hours east of Greenwich")
    options = parser.parse_args()
    moments.register()
    zone = datetime.timezone(datetime.timedelta(hours=options.offset))
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Observatory(zone), "observatory"), flush=True)
        daemon.requestLoop()
        print("The dome is closed.")


if __name__ == "__main__":
    main()
