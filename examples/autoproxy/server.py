"""An instrument store whose clients borrow instruments: they get proxies, the instruments stay in this process."""
import argparse

from Pyro5.api import Daemon, expose


class Oscilloscope:
    def __init__(self, label):
        self.label = label
        self._probes = []

    @expose
    def attach(self, probe):
        self._probes.append(probe)
        return "%s watches %s" % (self.label, ", ".join(self._probes))


@expose
class Store:
    def __init__(self):
        self._lent = {}

    def borrow(self, label):
        if type(label) is not str:
            raise TypeError("a label must be text")
        if label in self._lent:
            raise LookupError("%s is lent already" % label)
        self._lent[label] = Oscilloscope(label)
        self._pyroDaemon.register(self._lent[label])    # registered objects are sent as proxies ...
        return self._lent[label]                        # ... so the client gets one of those

    def bring_back(self, instrument):
        # the argument is a proxy for an object of this server; its URI contains the object id
        label = next(label for label, lent in self._lent.items() if lent._pyroId == instrument._pyroUri.object)
        self._pyroDaemon.unregister(self._lent.pop(label))
        return label


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Store(), "store"), flush=True)
        daemon.requestLoop()
        print("The store is closed.")


if __name__ == "__main__":
    main()
