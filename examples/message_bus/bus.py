"""A message bus: publishers send messages to topics; subscribers get all messages of their topics, even after a restart."""
import argparse
import os
import tempfile
import threading

from storage import Storage

from Pyro5.api import Daemon, expose


def check(kind, *values):
    """Clients can send anything, such as a proxy, which would be called when the database looks at it."""
    for value in values:
        if type(value) is not kind:
            raise TypeError("expected %s, not %s" % (kind.__name__, type(value).__name__))


@expose
class Bus:
    def __init__(self, storage):
        self._storage = storage
        self._arrived = threading.Condition()

    def publish(self, topic, text):
        """Store a message; it is in the database when this returns."""
        check(str, topic, text)
        number = self._storage.add(topic, text)
        with self._arrived:
            self._arrived.notify_all()
        return number

    def subscribe(self, subscriber, topic):
        check(str, subscriber, topic)
        self._storage.subscribe(subscriber, topic)

    def fetch(self, subscriber, seconds, limit=100):
        """Return unacknowledged messages as (number, topic, text); if there are none, wait for some."""
        check(str, subscriber)
        check(int, limit)
        with self._arrived:
            messages = self._storage.unseen(subscriber, limit)
            if not messages and self._arrived.wait(seconds):
                messages = self._storage.unseen(subscriber, limit)
        return messages

    def acknowledge(self, subscriber, number):
        check(str, subscriber)
        check(int, number)
        self._storage.mark_seen(subscriber, number)

    def topics(self):
        return self._storage.topics()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--database", default=os.path.join(tempfile.gettempdir(), "message_bus.db"))
    options = parser.parse_args()
    storage = Storage(options.database)
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Bus(storage), "bus"), flush=True)
        daemon.requestLoop()
        print("The bus stops here:", storage.topics())
    storage.close()


if __name__ == "__main__":
    main()
