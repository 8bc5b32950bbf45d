"""A counter of birds, for clients with several threads."""
import argparse
import threading

from Pyro5.api import Daemon, current_context, expose


@expose
class Census:
    def __init__(self):
        self._lock = threading.Lock()       # in the server, methods run in several threads, too
        self._birds = 0
        self._connections = set()
        self._met = threading.Condition(self._lock)
        self._meeting = 0

    def add(self, birds):
        if type(birds) is not int:
            raise TypeError("expected a number of birds, not %s" % type(birds).__name__)
        with self._lock:
            self._birds += birds
            self._connections.add(current_context.client_sock_addr)
            return self._birds

    def meet(self, number):
        """Wait until this number of clients has called."""
        with self._met:
            self._connections.add(current_context.client_sock_addr)
            self._meeting += 1
            self._met.notify_all()
            return self._met.wait_for(lambda: self._meeting >= number, timeout=10)

    def connections(self):
        with self._lock:
            return len(self._connections)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Census(), "census"), flush=True)
        daemon.requestLoop()
        print("All birds are counted.")


if __name__ == "__main__":
    main()
