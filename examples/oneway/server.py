"""A lighthouse that takes its time: turning the lamp is slow, whether somebody waits for it or not."""
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
        """Clients never see what this returns, or raises."""
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
