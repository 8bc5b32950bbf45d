"""Calls a name server from several threads, and checks every answer."""
import argparse
import random
import threading
import time
from collections import Counter

from Pyro5.api import locate_ns
from Pyro5.errors import NamingError


class Visitor(threading.Thread):
    """Uses its own names, so that it knows the correct answers."""

    def __init__(self, number, operations):
        super().__init__()
        self._prefix = "example.stress.%d." % number
        self._operations = operations
        self._random = random.Random(number)
        self._known = {}
        self.done = Counter()
        self.mistakes = []

    def run(self):
        with locate_ns() as names:
            for _ in range(self._operations):
                action = self._random.choice([self._register, self._look_up, self._list, self._remove])
                if not action(names, self._prefix + str(self._random.randrange(20))):
                    self.mistakes.append(action.__name__)
                self.done[action.__name__.strip("_")] += 1
            names.remove(prefix=self._prefix)

    def _register(self, names, name):
        self._known[name] = "PYRO:thing%d@localhost:55555" % self._random.randrange(1000)
        names.register(name, self._known[name], metadata={"stress"})
        return True

    def _look_up(self, names, name):
        try:
            return str(names.lookup(name)) == self._known[name]
        except NamingError:
            return name not in self._known

    def _list(self, names, name):
        return names.list(prefix=self._prefix) == self._known

    def _remove(self, names, name):
        return names.remove(name) == (self._known.pop(name, None) is not None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--operations", type=int, default=1000, help="for each thread")
    options = parser.parse_args()
    visitors = [Visitor(number, options.operations) for number in range(options.threads)]
    began = time.perf_counter()
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    seconds = time.perf_counter() - began
    done = sum((visitor.done for visitor in visitors), Counter())
    print("%d operations, %d a second: %s" % (sum(done.values()), sum(done.values()) / seconds,
                                              ", ".join("%s %d" % item for item in sorted(done.items()))))
    print("wrong answers:", sum((visitor.mistakes for visitor in visitors), []) or "none")


if __name__ == "__main__":
    main()
