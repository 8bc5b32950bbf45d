"""Shared by the loops of this example: an object, and a UDP socket that does not belong to Pyro."""
import socket

from Pyro5.api import expose


@expose
class Logbook:
    """Keeps the entries from calls and datagrams; ends the loop after a number of entries."""

    def __init__(self, limit):
        self._entries = []
        self._limit = limit

    def write(self, text):
        self._entries.append(text)
        print("entry %d: %s" % (len(self._entries), text), flush=True)
        return len(self._entries)

    @property
    def full(self):
        return len(self._entries) >= self._limit


class Sensor:
    """Listens for datagrams. It has the two methods that a loop needs: fileno(), and one to call when data has arrived."""

    def __init__(self, host, logbook):
        self._logbook = logbook
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))

    @property
    def port(self):
        return self._socket.getsockname()[1]

    def fileno(self):
        return self._socket.fileno()

    def read(self):
        self._logbook.write("sensor says " + self._socket.recv(100).decode())

    def close(self):
        self._socket.close()
