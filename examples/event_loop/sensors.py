"""What the loops of this example have in common: an object, and a UDP socket that has nothing to do with Pyro."""
import socket

from Pyro5.api import expose


@expose
class Logbook:
    """Keeps what came in by call or by datagram; ends the loop after so many entries."""

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
    """Listens for datagrams. It has what a loop needs: fileno(), and something to call when there is something to read."""

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
