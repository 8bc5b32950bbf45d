"""A daemon and a UDP socket in one loop with the selectors module, on which many frameworks are built."""
import argparse
import selectors

from sensors import Logbook, Sensor

from Pyro5.api import Daemon, config


def watch(selector, daemon):
    """Update the selector with the current sockets of the daemon."""
    watched = {key.fileobj for key in selector.get_map().values() if key.data is daemon}
    for gone in watched - set(daemon.sockets):
        selector.unregister(gone)
    for new in set(daemon.sockets) - watched:
        selector.register(new, selectors.EVENT_READ, daemon)


def turn(selector, daemon):
    """Wait for events, and handle them."""
    watch(selector, daemon)
    ready = [key for key, _ in selector.select(5.0)]
    daemon.events([key.fileobj for key in ready if key.data is daemon])
    for key in ready:
        if key.data is not daemon:
            key.data.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--entries", type=int, default=3, help="end after this number")
    options = parser.parse_args()
    config.SERVERTYPE = "multiplex"
    logbook = Logbook(options.entries)
    sensor = Sensor(options.host, logbook)
    with Daemon(options.host, options.port) as daemon, selectors.DefaultSelector() as selector:
        selector.register(sensor, selectors.EVENT_READ, sensor)
        print("Ready:", daemon.register(logbook, "logbook"), "sensor on port", sensor.port, flush=True)
        try:
            while not logbook.full:
                turn(selector, daemon)
            print("The logbook is full.")
        except KeyboardInterrupt:
            print("The logbook is closed.")
    sensor.close()


if __name__ == "__main__":
    main()
