"""A test rig for springs that fails in several ways, and prints a list of its failures."""
import argparse

from Pyro5.api import Daemon, config, expose


class SpringBroken(Exception):
    """An exception class that the client does not know."""


@expose
class Rig:
    def stretch(self, newtons):
        if newtons > 900:
            raise SpringBroken("the spring broke at %d N" % newtons, newtons)
        if newtons < 0:
            raise ValueError("the force must be positive")
        return newtons / self._stiffness(newtons)

    def _stiffness(self, newtons):
        wear = newtons - 700
        return 50 / wear if newtons == 700 else 50


def note(daemon, client_sock, method, vargs, kwargs, exception):
    """Print an exception of a method, whether or not the client handles it."""
    print("%s%r failed: %s" % (method.__name__, tuple(vargs), type(exception).__name__), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--detailed", action="store_true", help="send the values of local variables too")
    options = parser.parse_args()
    config.DETAILED_TRACEBACK = options.detailed
    with Daemon(options.host, options.port) as daemon:
        daemon.methodcall_error_handler = note
        print("Ready:", daemon.register(Rig(), "rig"), flush=True)
        daemon.requestLoop()
        print("The rig is off.")


if __name__ == "__main__":
    main()
