"""Ticket machines with three instance modes: one machine per visitor, one for all visitors, one per ticket."""
import argparse
import itertools

from Pyro5.api import Daemon, behavior, expose

serial_numbers = itertools.count(1)


class Machine:
    def __init__(self, paper="white"):
        self._serial_number = next(serial_numbers)
        self._tickets = 0
        self._paper = paper

    @expose
    def ticket(self):
        self._tickets += 1
        return "machine %d, %s ticket %d" % (self._serial_number, self._paper, self._tickets)


@behavior(instance_mode="session")              # the default without @behavior
class PerVisitor(Machine):
    pass


@behavior(instance_mode="single")
class ForAll(Machine):
    pass


def load_paper(machine_class):
    """Create an instance of a class whose constructor needs arguments."""
    return machine_class("yellow")


@behavior(instance_mode="percall", instance_creator=load_paper)
class PerTicket(Machine):
    pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        for machine_class in (PerTicket, ForAll, PerVisitor):
            uri = daemon.register(machine_class, machine_class.__name__)     # the class, not an instance
        print("Ready:", uri, flush=True)
        daemon.requestLoop()
        print("%d machines were built." % (next(serial_numbers) - 1))


if __name__ == "__main__":
    main()
