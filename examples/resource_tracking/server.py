"""Lends telescopes of an observatory, and releases those of a client when its connection ends, for any reason."""
import argparse
import threading

from Pyro5.api import Daemon, behavior, current_context, expose


class Reservation:
    """A reservation. Objects with a close() method can be tracked."""

    def __init__(self, dome, telescope):
        self._dome, self._telescope = dome, telescope

    def close(self):
        self._dome.give_back(self._telescope)


class Dome:
    def __init__(self, telescopes):
        self._free = list(telescopes)
        self._lock = threading.Lock()

    def take(self):
        with self._lock:
            if not self._free:
                raise LookupError("all telescopes are in use")
            return self._free.pop(0)

    def give_back(self, telescope):
        with self._lock:
            self._free.insert(0, telescope)
        print("%s is free again" % telescope, flush=True)


@behavior(instance_mode="session")
class Observing:
    dome = Dome(["refractor", "mirror"])

    def __init__(self):
        self._reservations = {}

    @expose
    def reserve(self):
        telescope = self.dome.take()
        # tracking does not keep an object alive; the dict of this session does
        self._reservations[telescope] = Reservation(self.dome, telescope)
        current_context.track_resource(self._reservations[telescope])
        return telescope

    @expose
    def release(self, telescope):
        reservation = self._reservations.pop(telescope)
        current_context.untrack_resource(reservation)
        reservation.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Observing, "observing"), flush=True)
        daemon.requestLoop()
        print("The dome is closed.")


if __name__ == "__main__":
    main()
