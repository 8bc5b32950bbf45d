"""Exchanges times with a server in another time zone."""
import argparse
import datetime

import moments

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:observatory@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--offset", type=float, default=2.0, help="hours east of Greenwich")
    parser.add_argument("--serializers", nargs="+", default=["serpent", "json", "marshal"])
    options = parser.parse_args()
    here = datetime.timezone(datetime.timedelta(hours=options.offset))
    call = datetime.datetime(2031, 6, 21, 22, 0, tzinfo=here)
    with Proxy(options.uri) as observatory:
        moments.register()
        for name in options.serializers:
            observatory._pyroSerializer = name
            sunset = observatory.sunset()
            print("%s: sunset at %s there, %s here, in %s" % (
                name, sunset.strftime("%H:%M"), sunset.astimezone(here).strftime("%H:%M"), sunset - call))
            print("%s: 22:00 here is %s" % (name, observatory.on_local_clock(call)))
        try:
            observatory.on_local_clock(datetime.datetime(2031, 6, 21, 22, 0))
        except ValueError as x:
            print("Refused:", x)


if __name__ == "__main__":
    main()
