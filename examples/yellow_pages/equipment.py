"""A piece of equipment on a campus: registered in the name server with tags for its kind and place."""
import argparse

from Pyro5.api import Daemon, expose, locate_ns, type_meta


@expose
class Equipment:
    def __init__(self, name):
        self._name = name
        self._jobs = 0

    def work(self):
        self._jobs += 1
        return "%s has done %d jobs" % (self._name, self._jobs)


@expose
class Printer(Equipment):
    def print_page(self, text):
        return "%s prints %r" % (self._name, text)


@expose
class Laser(Equipment):
    def cut(self, material):
        return "%s cuts %s" % (self._name, material)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="inky")
    parser.add_argument("--kind", choices=["printer", "laser"], default="printer")
    parser.add_argument("--tags", nargs="*", default=["building:north"])
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    kind = {"printer": Printer, "laser": Laser}[options.kind]
    name = "example.equipment." + options.name
    with Daemon(options.host, options.port) as daemon, locate_ns() as names:
        uri = daemon.register(kind(options.name))
        # type_meta() returns a tag for the class and one for each of its base classes
        names.register(name, uri, metadata=set(options.tags) | {"equipment:" + options.kind} | type_meta(kind))
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        names.remove(name)
        print("Switched off.")


if __name__ == "__main__":
    main()
