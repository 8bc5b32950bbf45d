"""A lighthouse whose lamp turns slowly, with a normal and a oneway method."""
import argparse
import threading

from Pyro5.api import Daemon, expose, oneway


class Lighthouse:
    def __init__(self, seconds):
        self._seconds = seconds
        self._changed = threading.Condition()
        self._turns = 0

    @expose
    def turn(self):
        threading.Event().wait(self._seconds)      # a slow motor
        with self._changed:
            self._turns += 1
            self._changed.notify_all()
        return "turned"

    @expose
    @oneway
    def turn_some_time(self):
        """Turn the lamp. Clients get neither the result nor an exception."""
        return self.turn()

    @expose
    def wait_for_turns(self, number):
        with self._changed:
            self._changed.wait_for(lambda: self._turns >= number)
            return self._turns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a turn takes")
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Lighthouse(options.seconds), "lighthouse"), flush=True)
        daemon.requestLoop()
        print("Out goes the light.")


if __name__ == "__main__":
    main()
