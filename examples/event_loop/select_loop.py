"""A daemon and a UDP socket in one loop around select.select."""
import argparse
import select

from sensors import Logbook, Sensor

from Pyro5.api import Daemon, config


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--entries", type=int, default=3, help="end after this number")
    options = parser.parse_args()
    config.SERVERTYPE = "multiplex"         # run all calls in this thread
    logbook = Logbook(options.entries)
    sensor = Sensor(options.host, logbook)
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(logbook, "logbook"), "sensor on port", sensor.port, flush=True)
        try:
            while not logbook.full:
                # read it each time: the daemon has one more socket for each client
                ready, _, _ = select.select([sensor, *daemon.sockets], [], [], 5.0)
                if sensor in ready:
                    ready.remove(sensor)
                    sensor.read()
                if ready:
                    daemon.events(ready)
            print("The logbook is full.")
        except KeyboardInterrupt:
            print("The logbook is closed.")
    sensor.close()


if __name__ == "__main__":
    main()
