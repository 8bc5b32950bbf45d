"""A soup kitchen, with one cook (server type multiplex) or several (thread)."""
import argparse
import threading

from Pyro5.api import Daemon, config, expose


class Kitchen:
    def __init__(self, seconds):
        self._seconds = seconds
        self._lock = threading.Lock()
        self._busy = self._most_busy = 0

    @expose
    def soup(self):
        with self._lock:            # with the server type thread, several threads run this
            self._busy += 1
            self._most_busy = max(self._busy, self._most_busy)
        threading.Event().wait(self._seconds)
        with self._lock:
            self._busy -= 1

    @expose
    def most_soups_at_once(self):
        return self._most_busy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--servertype", choices=["thread", "multiplex"], default="thread")
    parser.add_argument("--cooks", type=int, default=10, help="maximum number of calls at once, with the type thread")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long a soup takes")
    options = parser.parse_args()
    config.SERVERTYPE = options.servertype
    config.THREADPOOL_SIZE = options.cooks
    config.THREADPOOL_SIZE_MIN = min(options.cooks, config.THREADPOOL_SIZE_MIN)
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Kitchen(options.seconds), "kitchen"), flush=True)
        daemon.requestLoop()
        print("The kitchen is closed.")


if __name__ == "__main__":
    main()
