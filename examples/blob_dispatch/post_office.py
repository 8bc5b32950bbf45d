"""Passes letters on to the addressees that are registered for a street, without opening them."""
import argparse
import threading

from Pyro5.api import Daemon, Proxy, SerializedBlob, expose
from Pyro5.errors import CommunicationError


class PostOffice:
    def __init__(self):
        self._addressees = {}           # street -> list of proxies
        self._lock = threading.Lock()   # calls run in several threads, and each proxy allows one at a time

    @expose
    def subscribe(self, street, addressee):
        if type(street) is not str or not isinstance(addressee, Proxy):
            raise TypeError("expected the name of a street and a proxy")
        addressee._pyroTimeout = 5.0    # an addressee that hangs must not delay the letters of others
        with self._lock:
            self._addressees.setdefault(street, []).append(addressee)
        print("new addressee in", street, flush=True)

    @expose
    def post(self, blob):
        if type(blob) is not SerializedBlob or type(blob.info) is not str:
            raise TypeError("expected a blob whose info is the name of a street")
        street = blob.info              # only the info of the blob; the rest is not decoded
        with self._lock:
            for addressee in list(self._addressees.get(street, ())):
                self._deliver(addressee, street, blob)
        print("%s: letter for %s" % (type(blob).__name__, street), flush=True)

    def _deliver(self, addressee, street, blob):
        addressee._pyroClaimOwnership()
        try:
            addressee.receive(blob)
        except CommunicationError:
            self._addressees[street].remove(addressee)
            addressee._pyroRelease()

    def close(self):
        for addressees in self._addressees.values():
            for addressee in addressees:
                addressee._pyroRelease()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    office = PostOffice()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(office, "post"), flush=True)
        daemon.requestLoop()
        office.close()
        print("The post office is closed.")


if __name__ == "__main__":
    main()
